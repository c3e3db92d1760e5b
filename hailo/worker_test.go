package hailo_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"primespark/hailo"
	"primespark/hailo/frame"
	"primespark/shared/tensor"
)

// The test program is a worker, too, when it is started as one: it speaks the
// protocol, adds the bytes of its input up, and does wrong what the first of
// them asks for.
const asWorker = "-as-worker="

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], asWorker) {
		if err := work(strings.TrimPrefix(os.Args[1], asWorker)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// fake returns the test program as a worker that has a fault from the start, or none.
func fake(t testing.TB, fault string) []hailo.Worker {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []hailo.Worker{{Kind: "c", Argv: []string{exe, asWorker + fault}}}
}

// What the first byte of an input asks for.
const (
	doCrash = 0xc1 + iota
	doHang
	doFail   // the driver has failed
	doRefuse // the tensor is wrong
	doSlow   // 50 ms
)

// pixels is how many bytes go into the fake's only model.
const pixels = 12

func work(fault string) error {
	switch fault {
	case "exits":
		fmt.Fprintln(os.Stderr, "[HailoRT] [error] no luck today")
		os.Exit(3)
	case "silent":
		select {}
	}
	conn, err := frame.Accept(os.NewFile(3, "agent"))
	if err != nil {
		return err
	}
	arenas := map[uint32][]byte{}
	models := uint32(0)
	for {
		m, file, err := conn.ReceiveFile()
		if err != nil {
			return nil //nolint:nilerr // the agent is gone, and that is the end
		}
		answer := m.Answer(nil)
		switch m.Type {
		case frame.Hello:
			answer.A = frame.Version
			answer.Payload = fmt.Appendf(nil, `{"worker":"fake","pid":%d,"library":"4.23.0"}`, os.Getpid())
			if fault == "unknown" {
				answer.Payload = []byte(`{"worker":"fake","fault":-3,"why":"4.99.0"}`)
			}
		case frame.Device:
			answer.Payload = []byte(`{"devices":1,"id":"0001:01:00.0","arch":1,"firmware":"4.23.0","board":"Hailo-8"}`)
			if fault == "busy" {
				answer = m.Fail(frame.Failure{Status: 74, Call: "hailo_create_vdevice"})
			}
		case frame.Load:
			head := make([]byte, 4)
			_, err := file.ReadAt(head, 0)
			if err != nil || string(head) != "good" {
				answer = m.Fail(frame.Failure{Status: 26, Call: "hailo_create_hef", Detail: "it is no model"})
				break
			}
			models++
			answer.Model = models
			answer.Payload = fmt.Appendf(nil, `{"inputs":[{"name":"in","type":"UINT8","shape":[1,2,2,3],"layout":"nhwc","bytes":%d,"scale":1}],`+
				`"outputs":[{"name":"out","type":"FP32","shape":[1],"layout":"nc","bytes":4,"scale":1}],"ms":1}`, pixels)
		case frame.Map:
			mem, err := unix.Mmap(int(file.Fd()), 0, int(m.A), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			if err != nil {
				return err
			}
			arenas[m.Model] = mem
		case frame.Infer:
			answer = infer(m, answer, arenas[m.Model])
			if answer.Seq == 0 {
				continue // it hangs
			}
		case frame.Ping:
			rss := uint64(1 << 20)
			if fault == "grows" {
				rss = 1 << 40
			}
			answer.Payload = fmt.Appendf(nil, `{"rss":%d}`, rss)
		case frame.Sense:
			answer.Payload = []byte(`{"temperature_c":[46.5,47.25],"power_w":null}`)
		case frame.Bye:
			return conn.Send(answer, nil)
		}
		if file != nil {
			file.Close()
		}
		if err := conn.Send(answer, nil); err != nil {
			return err
		}
	}
}

func infer(m, answer frame.Message, arena []byte) frame.Message {
	in := arena[m.A:][:pixels]
	switch in[0] {
	case doCrash:
		fmt.Fprintln(os.Stderr, "[HailoRT] [error] it hurts")
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		select {}
	case doHang:
		return frame.Message{}
	case doFail:
		return m.Fail(frame.Failure{Status: 36, Call: "hailo_vstream_read_raw_buffer"})
	case doRefuse:
		return m.Fail(frame.Failure{Status: 5, Call: "hailo_vstream_write_raw_buffer"})
	case doSlow:
		time.Sleep(50 * time.Millisecond)
	}
	sum := float32(0)
	for _, v := range in {
		sum += float32(v)
	}
	binary.LittleEndian.PutUint32(arena[m.B:], math.Float32bits(sum))
	answer.A = uint64(time.Millisecond)
	return answer
}

// float reads the fake's output.
func float(b []byte) float32 {
	return tensor.Tensor{Type: tensor.Float32, Data: append([]byte(nil), b...)}.Float32s()[0]
}
