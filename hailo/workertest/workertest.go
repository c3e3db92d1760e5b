// Package workertest is a worker in Go, for the tests of those who start one: it
// speaks the protocol, reads HEF files as the real one does, and computes sums.
// It runs in the test program itself, started once more, so that no test needs a
// C compiler. The double of the library, for the real worker, is another package.
package workertest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"primespark/hailo"
	"primespark/hailo/hef"
	"primespark/shared/worker/frame"
)

const asWorker = "-as-worker="

// Main is for TestMain: it runs the tests, or a worker if the program was started
// as one.
func Main(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], asWorker) {
		if err := work(strings.TrimPrefix(os.Args[1], asWorker)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Faults that a worker has from its start.
const (
	None    = ""
	Exits   = "exits"   // with code 3, and a last word
	Busy    = "busy"    // another program has the chip
	Unknown = "unknown" // it does not know the library
	Grows   = "grows"   // it says that it has a lot of memory, from the second time it is asked
	Babbles = "babbles" // it answers with what is no message
)

// Workers are the test program as a worker.
func Workers(t testing.TB, fault string) []hailo.Worker {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []hailo.Worker{{Kind: "c", Argv: []string{exe, asWorker + fault}}}
}

// What the first byte of an input asks for.
const (
	Crash  = 0xc1 + iota
	Hang   // for good
	Fail   // as a driver that has failed
	Refuse // as a tensor of the wrong size
	Slow   // by 50 ms
	Once   // as a call that a signal interrupted; the second worker in a folder does it
)

// A loaded is a model in the worker.
type loaded struct {
	frame.LoadReply
	arena []byte
}

func work(fault string) error {
	if fault == Exits {
		fmt.Fprintln(os.Stderr, "[HailoRT] [error] no luck today")
		os.Exit(3)
	}
	if fault == Babbles {
		_, err := unix.Write(3, []byte("no message at all"))
		return errors.Join(err, unix.Pause())
	}
	conn, err := frame.Accept(os.NewFile(3, "agent"))
	if err != nil {
		return err
	}
	models := map[uint32]*loaded{}
	for {
		m, file, err := conn.ReceiveFile()
		if err != nil {
			return nil //nolint:nilerr // the agent is gone, and that is the end
		}
		answer, err := reply(m, file, models, fault)
		if err != nil {
			return err
		}
		if file != nil {
			file.Close()
		}
		if answer.Seq == 0 {
			continue // it hangs
		}
		if err := conn.Send(answer, nil); err != nil || m.Type == frame.Bye {
			return err
		}
	}
}

func reply(m frame.Message, file *os.File, models map[uint32]*loaded, fault string) (frame.Message, error) {
	answer := m.Answer(nil)
	switch m.Type {
	case frame.Hello:
		answer.A = frame.Version
		answer.Payload = fmt.Appendf(nil, `{"worker":"fake","pid":%d,"library":"4.23.0"}`, os.Getpid())
		if fault == Unknown {
			answer.Payload = []byte(`{"worker":"fake","fault":-3,"why":"4.99.0"}`)
		}
	case frame.Device:
		answer.Payload = []byte(`{"devices":1,"id":"0001:01:00.0","arch":1,"firmware":"4.23.0","board":"Hailo-8"}`)
		if fault == Busy {
			return m.Fail(frame.Failure{Status: 74, Call: "hailo_create_vdevice"}), nil
		}
	case frame.Load:
		l, err := load(file)
		if err != nil {
			return m.Fail(frame.Failure{Status: 26, Call: "hailo_create_hef", Detail: err.Error()}), nil
		}
		answer.Model = uint32(len(models) + 1)
		models[answer.Model] = l
		answer.Payload, err = l.json()
		return answer, err
	case frame.Map:
		mem, err := unix.Mmap(int(file.Fd()), 0, int(m.A), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		models[m.Model].arena = mem
		return answer, err
	case frame.Infer:
		return models[m.Model].infer(m, answer), nil
	case frame.Ping:
		rss := uint64(1 << 20)
		if fault == Grows && m.Seq > 4 { // hello, device, and the first ping and sense
			rss = 1 << 40
		}
		answer.Payload = fmt.Appendf(nil, `{"rss":%d}`, rss)
	case frame.Sense:
		answer.Payload = []byte(`{"temperature_c":[46.5,47.25],"power_w":null}`)
	}
	return answer, nil
}

func load(file *os.File) (*loaded, error) {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	h, err := hef.Read(file, size)
	if err != nil {
		return nil, err
	}
	g, l := h.Groups[0], &loaded{}
	for _, in := range g.Inputs {
		l.Inputs = append(l.Inputs, frame.Tensor{
			Name: in.Name, Type: "UINT8", Shape: []int{1, in.Height, in.Width, in.Features}, Layout: "nhwc", Bytes: in.Height * in.Width * in.Features, Scale: 1,
		})
	}
	for _, n := range g.NMS {
		l.Outputs = append(l.Outputs, frame.Tensor{
			Name: n.Name, Type: "FP32", Shape: []int{n.OutputFloats()}, Layout: "nms_by_class", Bytes: 4 * n.OutputFloats(), Scale: 1, Classes: n.Classes, PerClass: n.PerClass,
		})
	}
	for _, out := range g.Outputs {
		if len(g.NMS) == 0 {
			n := out.Height * out.Width * out.Features
			l.Outputs = append(l.Outputs, frame.Tensor{Name: out.Name, Type: "FP32", Shape: []int{1, n}, Layout: "nc", Bytes: 4 * n, Scale: 1})
		}
	}
	return l, nil
}

func (l *loaded) json() ([]byte, error) {
	var tensors [2]string
	for i, side := range [][]frame.Tensor{l.Inputs, l.Outputs} {
		for j, t := range side {
			if j > 0 {
				tensors[i] += ","
			}
			shape := strings.Join(strings.Fields(fmt.Sprint(t.Shape)), ",")
			tensors[i] += fmt.Sprintf(`{"name":%q,"type":%q,"shape":%s,"layout":%q,"bytes":%d,"scale":1,"classes":%d,"per_class":%d}`,
				t.Name, t.Type, shape, t.Layout, t.Bytes, t.Classes, t.PerClass)
		}
	}
	return fmt.Appendf(nil, `{"inputs":[%s],"outputs":[%s],"ms":1}`, tensors[0], tensors[1]), nil
}

// infer fills the outputs: number i with the sum of the input's bytes and i. Of
// boxes there is one, of class 1, in the middle.
func (l *loaded) infer(m, answer frame.Message) frame.Message {
	in := l.arena[m.A:][:l.Inputs[0].Bytes]
	switch in[0] {
	case Crash:
		fmt.Fprintln(os.Stderr, "[HailoRT] [error] it hurts")
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		select {}
	case Hang:
		return frame.Message{}
	case Fail:
		return m.Fail(frame.Failure{Status: 36, Call: "hailo_vstream_read_raw_buffer"})
	case Refuse:
		return m.Fail(frame.Failure{Status: 5, Call: "hailo_vstream_write_raw_buffer"})
	case Slow:
		time.Sleep(50 * time.Millisecond)
	case Once:
		if os.Mkdir("interrupted", 0o700) == nil {
			return m.Fail(frame.Failure{Status: 88, Call: "hailo_vstream_read_raw_buffer"})
		}
	}
	sum := float32(0)
	for _, v := range in {
		sum += float32(v)
	}
	for j, at := range frame.Offsets(l.Outputs) {
		t := l.Outputs[j]
		out := l.arena[m.B+uint64(at):][:t.Bytes]
		put := func(i int, v float32) { binary.LittleEndian.PutUint32(out[4*i:], math.Float32bits(v)) }
		if t.Classes == 0 {
			for i := range t.Bytes / 4 {
				put(i, sum+float32(i))
			}
			continue
		}
		put(0, 0)
		for i, v := range []float32{1, .25, .25, .75, .75, .9} {
			put(1+i, v)
		}
		for class := 2; class < t.Classes; class++ {
			put(5+class, 0)
		}
	}
	answer.A = uint64(time.Millisecond)
	return answer
}

// Script is a file that starts the test program as a worker, for those who are
// told of one by its path.
func Script(t testing.TB, fault string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "worker")
	text := "#!/bin/sh\nexec " + Workers(t, fault)[0].Argv[0] + " " + asWorker + fault + "\n"
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}
