package hailotest_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"primespark/hailo/hailotest"
	"primespark/hailo/hef/synth"
	"primespark/shared/worker/frame"
)

// clean fails if a sanitizer had something to say.
func clean(t *testing.T, p *hailotest.Process) {
	t.Helper()
	err := p.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() != 1 || strings.Contains(p.Stderr.String(), "Sanitizer") ||
		strings.Contains(p.Stderr.String(), "runtime error") {
		t.Errorf("%v\n%s", err, p.Stderr)
	}
}

// The whole work of the worker with gcc's sanitizers watching it and the double.
func TestSanitized(t *testing.T) {
	t.Parallel()
	kit := hailotest.Sanitized(t)
	for _, version := range []string{"4.17.0", "4.23.0"} {
		p := kit.Start(t, "HAILORT_DOUBLE_VERSION="+version, "HAILORT_DOUBLE_POWER=2")
		for _, m := range models() {
			load(t, p, m).work(t, 8)
		}
		for _, k := range []frame.Type{frame.Hello, frame.Device, frame.Sense, frame.Ping, frame.Bye} {
			if err := p.Ask(t.Context(), k, nil); err != nil {
				t.Errorf("%v: %v", k, err)
			}
		}
		clean(t, p)
	}
}

// Requests that only a broken agent sends are answered, or end the worker with a
// word; they never get it to touch what is not its own.
func TestNonsense(t *testing.T) {
	t.Parallel()
	kit := hailotest.Sanitized(t)
	s := load(t, kit.Start(t), synth.Tensors("one", 64, 1, 100))
	_, size := s.plan.Slot(depth)
	for name, h := range map[string]frame.Header{
		"no such type":         {Type: 99},
		"no such model":        {Type: frame.Infer, Model: 1},
		"a huge model":         {Type: frame.Infer, Model: 1 << 31},
		"beyond the arena":     {Type: frame.Infer, A: uint64(len(s.arena.Bytes())) - 64},
		"output beyond":        {Type: frame.Infer, B: uint64(len(s.arena.Bytes()))},
		"an offset that wraps": {Type: frame.Infer, A: ^uint64(0) - 63},
		"not aligned":          {Type: frame.Infer, A: 1},
		"a map without arena":  {Type: frame.Map, A: uint64(size)},
		"a map of nothing":     {Type: frame.Map, Model: 7},
		"a load of nothing":    {Type: frame.Load},
	} {
		if _, err := s.Call(t.Context(), frame.Message{Header: h}, nil); status(err) != frame.Malformed {
			t.Errorf("%s: %v, want Malformed", name, err)
		}
	}
	file := hailotest.File(t, []byte("not sealed"))
	if _, err := s.Call(t.Context(), frame.Message{Header: frame.Header{Type: frame.Map, A: 10}}, file); status(err) != frame.Malformed {
		t.Errorf("an arena that is a file: %v", err)
	}
	if err := s.Map(t.Context(), s.model, s.arena); status(err) != frame.Malformed {
		t.Errorf("a second arena: %v", err)
	}
	good, err := request(s.group).Lines()
	if err != nil {
		t.Fatal(err)
	}
	model := hailotest.File(t, synth.Tensors("two", 64, 1, 100).Bytes())
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 { // lines that were changed somewhere
		b := append([]byte(nil), good[:random.IntN(len(good))+1]...)
		for range random.IntN(4) {
			b[random.IntN(len(b))] = byte(random.IntN(256))
		}
		if _, err := frame.ParseLoad(b); err == nil {
			continue
		}
		_, err := s.Call(t.Context(), frame.Message{Header: frame.Header{Type: frame.Load}, Payload: b}, model)
		if got := status(err); got != frame.Malformed && got != frame.Layout {
			t.Errorf("%q: %v", b, err)
		}
	}
	s.work(t, 8) // and it still works
	if err := s.Ask(t.Context(), frame.Bye, nil); err != nil {
		t.Error(err)
	}
	clean(t, s.Process)
}

// What is no packet of the protocol ends the worker, with a word.
func TestGarbage(t *testing.T) {
	t.Parallel()
	kit := hailotest.Sanitized(t)
	for name, packet := range map[string]string{"short": "hello", "no magic": strings.Repeat("x", 40), "long": strings.Repeat("x", 70000)} {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		ours, theirs := os.NewFile(uintptr(fds[0]), "agent"), os.NewFile(uintptr(fds[1]), "worker")
		if _, err := ours.WriteString(packet); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(kit.Worker, "--library", kit.Library)
		cmd.ExtraFiles = []*os.File{theirs}
		out, _ := cmd.CombinedOutput() // how it ended is asked below
		if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "no request of this protocol") || strings.Contains(string(out), "Sanitizer") {
			t.Errorf("%s: %v, %s", name, cmd.ProcessState, out)
		}
		if err := errors.Join(ours.Close(), theirs.Close()); err != nil {
			t.Error(err)
		}
	}
}
