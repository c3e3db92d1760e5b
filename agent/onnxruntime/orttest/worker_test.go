package orttest_test

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"primespark/agent/onnxruntime/orttest"
	"primespark/shared/worker/frame"
	"primespark/shared/worker/nativetest"
)

const depth = 2

// A loaded model in a worker.
type loaded struct {
	*nativetest.Process
	id    uint32
	reply frame.LoadReply
	plan  frame.Plan
	arena *frame.Arena
}

func request(shapes ...frame.Shape) frame.LoadRequest {
	return frame.LoadRequest{Name: "model", Depth: depth, Timeout: time.Second, Shapes: shapes}
}

func load(t testing.TB, p *nativetest.Process, model []byte, shapes ...frame.Shape) loaded {
	t.Helper()
	return give(t, p, model, request(shapes...))
}

func give(t testing.TB, p *nativetest.Process, model []byte, r frame.LoadRequest) loaded {
	t.Helper()
	id, reply, err := p.Load(t.Context(), r, nativetest.File(t, model))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := frame.PlanSlots(reply, depth)
	if err != nil {
		t.Fatal(err)
	}
	arena, err := frame.NewArena(plan.Size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := arena.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := p.Map(t.Context(), id, arena); err != nil {
		t.Fatal(err)
	}
	return loaded{p, id, reply, plan, arena}
}

// first runs the model in a slot on an input whose first number is v and whose others
// are 0, and returns the first number that comes out.
func (l loaded) first(t testing.TB, slot int, v float32) (float32, error) {
	t.Helper()
	in, out := l.plan.Slot(slot)
	clear(l.arena.Bytes()[in:out])
	binary.LittleEndian.PutUint32(l.arena.Bytes()[in:], math.Float32bits(v))
	_, err := l.Infer(t.Context(), l.id, in, out)
	return math.Float32frombits(binary.LittleEndian.Uint32(l.arena.Bytes()[out:])), err
}

func status(err error) frame.Status {
	if failure, ok := errors.AsType[*frame.Failure](err); ok {
		return failure.Status
	}
	return 0
}

// work does all that a worker does, and says goodbye.
func work(t *testing.T, p *nativetest.Process, confined bool) {
	t.Helper()
	hello, err := p.Hello(t.Context())
	if err != nil || hello.Worker != "onnxruntime" || hello.Library != "1.21.0" || hello.Fault != frame.OK || hello.Confined != confined {
		t.Fatalf("%+v, %v", hello, err)
	}
	small := load(t, p, orttest.Small())
	all := load(t, p, orttest.Model([]orttest.Port{{Name: "a", Type: 2, Dims: []int{5}}, {Name: "b", Type: 1, Dims: []int{-1, 2}}, {Name: "c", Type: 7}},
		[]orttest.Port{{Name: "p", Type: 9, Dims: []int{3}}, {Name: "q", Type: 1, Dims: []int{-1}}, {Name: "r", Type: 11}}), frame.Shape{Name: "b", Dims: []int{3, 2}})
	if _, err := all.first(t, 1, 0); err != nil {
		t.Error(err)
	}
	if q := all.reply.Outputs[1]; len(q.Shape) != 1 || q.Shape[0] != 3 {
		t.Errorf("an open output is %v", q.Shape)
	}
	one, err := small.first(t, 0, 1)
	other, err2 := small.first(t, 1, 1)
	if err := errors.Join(err, err2); err != nil || one != other {
		t.Errorf("one slot gives %v, another %v, %v", one, other, err)
	}
	if _, err := small.first(t, 0, orttest.Fail); status(err) != 6 || !strings.Contains(err.Error(), "running Gather node") {
		t.Errorf("a failure is told as %v", err)
	}
	var ping frame.PingReply
	if err := p.Ask(t.Context(), frame.Ping, &ping); err != nil || ping.Frames != 3 || ping.Errors != 1 || ping.Models != 2 {
		t.Errorf("%+v, %v", ping, err)
	}
	unload := frame.Message{Header: frame.Header{Type: frame.Unload, Model: all.id}}
	if _, err := p.Call(t.Context(), unload, nil); err != nil {
		t.Error(err)
	}
	if _, err := all.first(t, 0, 0); status(err) != frame.Malformed {
		t.Errorf("a model that left: %v", err)
	}
	if again := load(t, p, orttest.Small()); again.id != all.id {
		t.Errorf("its number is not used again: %d", again.id)
	}
	if _, err := small.first(t, 0, 1); err != nil {
		t.Error(err)
	}
	if err := p.Ask(t.Context(), frame.Bye, nil); err != nil {
		t.Error(err)
	}
	if err := p.Wait(); err != nil || strings.Contains(p.Stderr.String(), "Sanitizer") || !strings.Contains(p.Stderr.String(), "[warning] this is no ONNX Runtime, but a double") {
		t.Errorf("%v\n%s", err, p.Stderr)
	}
}

func TestWorker(t *testing.T) {
	t.Parallel()
	work(t, orttest.Double(t).Start(t, "--threads", "2", "--memory", "256"), true)
}

func TestSanitized(t *testing.T) {
	t.Parallel()
	work(t, orttest.Double(t, nativetest.Sanitize...).Start(t), true)
}

// TestARM64 is the worker of a Raspberry Pi. Qemu has no seccomp.
func TestARM64(t *testing.T) {
	t.Parallel()
	work(t, orttest.ARM64(t).Start(t), runtime.GOARCH == "arm64")
}

// TestConfined has the library try what it is not to reach.
func TestConfined(t *testing.T) {
	t.Parallel()
	l := load(t, orttest.Double(t).Start(t, "--memory", "128"), orttest.Small())
	if worked, err := l.first(t, 0, orttest.Escape); err != nil || worked != 0 {
		t.Errorf("of what it tried, as bits, %09b worked, %v", int(worked), err)
	}
	if mib, err := l.first(t, 0, orttest.Allocate); err != nil || mib < 16 || mib > 128 {
		t.Errorf("%v MiB were to be had, %v", mib, err)
	}
}

// TestNonsense sends what only a broken agent does.
func TestNonsense(t *testing.T) {
	t.Parallel()
	l := load(t, orttest.Double(t, nativetest.Sanitize...).Start(t), orttest.Small())
	in, out := l.plan.Slot(0)
	for name, h := range map[string]frame.Header{
		"no such type":     {Type: 99},
		"no such model":    {Type: frame.Infer, Model: 7},
		"a huge model":     {Type: frame.Infer, Model: 1 << 31},
		"beyond the arena": {Type: frame.Infer, A: uint64(len(l.arena.Bytes())), B: uint64(out)},
		"wraps":            {Type: frame.Infer, A: uint64(in), B: ^uint64(0) - 63},
		"not aligned":      {Type: frame.Infer, A: 1, B: uint64(out)},
		"no arena":         {Type: frame.Map, A: 64},
		"nothing to load":  {Type: frame.Load},
		"none to unload":   {Type: frame.Unload, Model: 9},
	} {
		if _, err := l.Call(t.Context(), frame.Message{Header: h}, nil); status(err) != frame.Malformed {
			t.Errorf("%s: %v, want Malformed", name, err)
		}
	}
	for _, lines := range []string{"shape 1,2", "shape 1,,2 x", "shape 0 x", "shape 1,1,1,1,1,1,1,1,1 x", "shape -1 x", "shape 1 "} {
		payload := []byte("name x\ndepth 1\ntimeout_ms 1\n" + lines + "\n")
		if _, err := l.Call(t.Context(), frame.Message{Header: frame.Header{Type: frame.Load}, Payload: payload}, nil); status(err) != frame.Malformed || !strings.Contains(err.Error(), "shape") {
			t.Errorf("%q: %v", lines, err)
		}
	}
	for name, model := range map[string][]byte{
		"no outputs":   []byte("ORT double\nin x 1 2\n"),
		"strings":      orttest.Model([]orttest.Port{{Name: "x", Type: 8, Dims: []int{1}}}, []orttest.Port{{Name: "y", Type: 1, Dims: []int{1}}}),
		"no such type": orttest.Model([]orttest.Port{{Name: "x", Type: 99, Dims: []int{1}}}, []orttest.Port{{Name: "y", Type: 1, Dims: []int{1}}}),
		"too large":    orttest.Model([]orttest.Port{{Name: "x", Type: 1, Dims: []int{1 << 20, 1 << 20}}}, []orttest.Port{{Name: "y", Type: 1, Dims: []int{1}}}),
	} {
		if _, _, err := l.Load(t.Context(), request(), nativetest.File(t, model)); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
	if _, err := l.first(t, 0, 1); err != nil {
		t.Error(err)
	}
}

// TestUnusable says what is wrong with a library, and goes on.
func TestUnusable(t *testing.T) {
	t.Parallel()
	good := orttest.Double(t)
	text := filepath.Join(t.TempDir(), "libonnxruntime.so")
	if err := os.WriteFile(text, []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	libc, err := filepath.Glob("/lib/*/libm.so.6")
	if err != nil || len(libc) == 0 {
		t.Fatalf("%v, %v", libc, err)
	}
	for name, test := range map[string]struct {
		kit  orttest.Kit
		says string
		is   frame.Status
	}{
		"missing": {orttest.Kit{Worker: good.Worker, Library: "/nonexistent.so"}, "No such file", frame.NoLibrary},
		"text":    {orttest.Kit{Worker: good.Worker, Library: text}, "file too short", frame.NoLibrary},
		"another": {orttest.Kit{Worker: good.Worker, Library: libc[0]}, "no OrtGetApiBase", frame.NoLibrary},
		"old":     {orttest.Double(t, "-DDOUBLE_API=11"), "older than 1.12", frame.Unknown},
	} {
		p := test.kit.Start(t)
		hello, err := p.Hello(t.Context())
		if err != nil || hello.Fault != test.is || !strings.Contains(hello.Why, test.says) {
			t.Errorf("%s: %+v, %v", name, hello, err)
		}
		if _, _, err := p.Load(t.Context(), request(), nativetest.File(t, orttest.Small())); status(err) != test.is {
			t.Errorf("%s: load: %v", name, err)
		}
	}
}

// TestCalled is what somebody sees who starts the program by hand.
func TestCalled(t *testing.T) {
	t.Parallel()
	worker := orttest.Double(t).Worker
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{nil, 2, "descriptor 3 is not the agent's socket"},
		{[]string{"--help"}, 0, "usage: prime-spark-ort-worker"},
		{[]string{"--threads", "0"}, 2, "usage"},
		{[]string{"--memory", "lots"}, 2, "usage"},
		{[]string{"--library"}, 2, "usage"},
	} {
		cmd := exec.Command(worker, test.args...)
		out, _ := cmd.CombinedOutput() // how it ended is asked below
		if cmd.ProcessState.ExitCode() != test.code || !strings.Contains(string(out), test.says) {
			t.Errorf("%q: %d, %s", test.args, cmd.ProcessState.ExitCode(), out)
		}
	}
}

func TestSize(t *testing.T) {
	for name, kit := range map[string]orttest.Kit{"native": orttest.Double(t), "arm64": orttest.ARM64(t)} {
		info, err := os.Stat(kit.Worker)
		if err != nil || info.Size() > 100<<10 {
			t.Errorf("%s: %d bytes, %v, want at most 100 KiB", name, info.Size(), err)
		}
		t.Logf("%s: %d bytes", name, info.Size())
	}
}

// TestABI holds the worker's table against the header of ONNX Runtime, which is not
// in this repository: ONNXRUNTIME_HEADERS names the folder with onnxruntime_c_api.h.
func TestABI(t *testing.T) {
	dir := os.Getenv("ONNXRUNTIME_HEADERS")
	if dir == "" {
		t.Skip("needs ONNXRUNTIME_HEADERS, a folder with onnxruntime_c_api.h")
	}
	for _, compiler := range []string{"gcc", "aarch64-linux-gnu-gcc"} {
		nativetest.Need(t, compiler, "gcc gcc-aarch64-linux-gnu")
		source := filepath.Join(nativetest.Root(t), "agent", "onnxruntime", "worker", "abi_check.c")
		if out, err := exec.Command(compiler, "-std=c11", "-fsyntax-only", "-w", "-I", dir, source).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", compiler, err, out)
		}
	}
}

// What gcc's analyzer finds in the sources is a fault.
func TestAnalyzer(t *testing.T) { nativetest.Analyze(t, "agent/onnxruntime/worker") }

// TestUnit is the worker that systemd starts: it does the same once it is told how, also
// where the sanitizers look on, and ends at anything else.
func TestUnit(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{"as it is": nil, "sanitized": nativetest.Sanitize} {
		kit := orttest.Double(t, flags...)
		stderr, err := os.CreateTemp(t.TempDir(), "stderr")
		if err != nil {
			t.Fatal(err)
		}
		p := nativetest.Start(t, nil, kit.Worker, "--unit")
		if pid, err := p.Client.Start(t.Context(), []string{"--library", kit.Library, "--threads", "2"}, stderr); err != nil || pid != p.Cmd.Process.Pid {
			t.Errorf("%s: process %d, and not %d, %v", name, pid, p.Cmd.Process.Pid, err)
		}
		hello, err := p.Hello(t.Context())
		if err != nil || hello.Library != "1.21.0" || !hello.Confined {
			t.Errorf("%s: %+v, %v", name, hello, err)
		}
		l := load(t, p, orttest.Small())
		if _, err := l.first(t, 0, 1); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := errors.Join(p.Ask(t.Context(), frame.Bye, nil), p.Wait()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if said, err := os.ReadFile(stderr.Name()); err != nil || !strings.Contains(string(said), "but a double") || strings.Contains(string(said)+p.Stderr.String(), "Sanitizer") {
			t.Errorf("%s: it said %q and %q, %v", name, said, p.Stderr, err)
		}

		for what, say := range map[string]func(p *nativetest.Process) error{
			"hello first": func(p *nativetest.Process) error { _, err := p.Hello(t.Context()); return err },
			"no file":     func(p *nativetest.Process) error { _, err := p.Client.Start(t.Context(), nil, nil); return err },
			"not a line": func(p *nativetest.Process) error {
				_, err := p.Call(t.Context(), frame.Message{Header: frame.Header{Type: frame.Start}, Payload: []byte("library x\n")}, stderr)
				return err
			},
			"too many": func(p *nativetest.Process) error {
				_, err := p.Call(t.Context(), frame.Message{Header: frame.Header{Type: frame.Start}, Payload: []byte(strings.Repeat("arg x\n", 17))}, stderr)
				return err
			},
		} {
			p := nativetest.Start(t, nil, kit.Worker, "--unit")
			if err := say(p); !errors.Is(err, frame.ErrGone) || p.Wait() == nil || p.Cmd.ProcessState.ExitCode() != 1 || strings.Contains(p.Stderr.String(), "Sanitizer") {
				t.Errorf("%s, %s: %v, %v\n%s", name, what, err, p.Cmd.ProcessState, p.Stderr)
			}
		}
	}
}
