package frame_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"primespark/shared/worker/frame"
)

// worker serves one end of a socket with answer, in this process, until the
// other end is closed.
func worker(t testing.TB, answer func(c *frame.Conn, m frame.Message, file *os.File)) *frame.Client {
	t.Helper()
	ours, theirs, err := frame.Pair()
	if err != nil {
		t.Fatal(err)
	}
	far, err := frame.Accept(theirs)
	if err != nil {
		t.Fatal(err)
	}
	client := frame.NewClient(ours)
	ctx, cancel := context.WithCancel(context.Background())
	var both sync.WaitGroup
	both.Go(func() {
		if err := client.Run(ctx); !errors.Is(err, frame.ErrGone) {
			t.Errorf("Run ended with %v, want ErrGone", err)
		}
	})
	both.Go(func() {
		defer far.Close()
		for {
			m, file, err := far.ReceiveFile()
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, unix.ECONNRESET) {
					t.Errorf("worker: %v", err)
				}
				return
			}
			m.Payload = append([]byte(nil), m.Payload...)
			answer(far, m, file)
		}
	})
	t.Cleanup(func() { cancel(); both.Wait() })
	return client
}

func reply(t testing.TB, c *frame.Conn, m frame.Message) {
	if err := c.Send(m, nil); err != nil && !errors.Is(err, unix.EPIPE) {
		t.Errorf("worker: %v", err)
	}
}

func TestRepliesFindWhoAsked(t *testing.T) {
	var kept *frame.Message
	client := worker(t, func(c *frame.Conn, m frame.Message, _ *os.File) {
		if kept == nil { // the first is answered after the second
			kept = &m
			return
		}
		for _, m := range []frame.Message{m, *kept, m} { // and the second twice
			r := m.Answer(nil)
			r.A = m.B
			reply(t, c, r)
		}
	})
	var both sync.WaitGroup
	for i := range int64(2) {
		both.Go(func() {
			if got, err := client.Infer(t.Context(), 0, 0, i+1); err != nil || got.Engine != i+1 {
				t.Errorf("%+v, %v, want engine %d", got, err, i+1)
			}
		})
	}
	both.Wait()
}

func TestFilesComeAlong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model")
	if err := os.WriteFile(path, []byte("weights"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	client := worker(t, func(c *frame.Conn, m frame.Message, file *os.File) {
		if file == nil {
			reply(t, c, m.Fail(frame.Failure{Status: frame.Malformed, Detail: "no file"}))
			return
		}
		defer file.Close()
		got, err := io.ReadAll(io.NewSectionReader(file, 0, 100))
		if r, perr := frame.ParseLoad(m.Payload); string(got) != "weights" || err != nil || perr != nil || r.Name != "yolov8s" {
			t.Errorf("%q, %v, %+v, %v", got, err, r, perr)
		}
		r := m.Answer([]byte(`{"inputs":[{"name":"a","type":"UINT8","shape":[1],"bytes":1}],"outputs":[{"name":"b","type":"UINT8","shape":[1],"bytes":1}]}`))
		r.Model = 3
		reply(t, c, r)
	})
	for range 3 {
		model, loaded, err := client.Load(t.Context(), request(), file)
		if model != 3 || err != nil || len(loaded.Outputs) != 1 {
			t.Errorf("model %d, %+v, %v", model, loaded, err)
		}
	}
	_, _, err = client.Load(t.Context(), request(), nil)
	if f, ok := errors.AsType[*frame.Failure](err); !ok || f.Status != frame.Malformed {
		t.Errorf("without a file: %v", err)
	}
}

func TestHello(t *testing.T) {
	var version atomic.Uint64
	version.Store(frame.Version)
	client := worker(t, func(c *frame.Conn, m frame.Message, _ *os.File) {
		r := m.Answer([]byte(`{"worker":"test","pid":7}`))
		r.A = version.Load()
		reply(t, c, r)
	})
	if h, err := client.Hello(t.Context()); err != nil || h.PID != 7 {
		t.Errorf("%+v, %v", h, err)
	}
	version.Add(1)
	if _, err := client.Hello(t.Context()); err == nil {
		t.Error("a worker of another version passed")
	}
}

func TestCallEndsWithItsContext(t *testing.T) {
	client := worker(t, func(*frame.Conn, frame.Message, *os.File) {})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := client.Ask(ctx, frame.Ping, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the deadline", err)
	}
}

func TestEveryoneHearsThatTheWorkerIsGone(t *testing.T) {
	var n int
	client := worker(t, func(c *frame.Conn, _ frame.Message, _ *os.File) {
		if n++; n == 3 {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if err := client.Ask(t.Context(), frame.Ping, nil); !errors.Is(err, frame.ErrGone) {
				t.Errorf("%v, want ErrGone", err)
			}
		})
	}
	all.Wait()
	if err := client.Ask(t.Context(), frame.Ping, nil); !errors.Is(err, frame.ErrGone) {
		t.Errorf("afterwards %v, want ErrGone", err)
	}
}

func TestNonsenseEndsTheConversation(t *testing.T) {
	client := worker(t, func(c *frame.Conn, m frame.Message, _ *os.File) {
		m.Status = 1 // no reply, but a request
		reply(t, c, m)
	})
	if err := client.Ask(t.Context(), frame.Ping, nil); !errors.Is(err, frame.ErrGone) {
		t.Errorf("%v, want ErrGone", err)
	}
}

func TestArenaCannotBeTakenAway(t *testing.T) {
	a, err := frame.NewArena(1)
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Bytes()) != frame.Granule {
		t.Errorf("%d bytes, want %d", len(a.Bytes()), frame.Granule)
	}
	for _, size := range []int64{0, frame.Granule - 1, frame.Granule + 1} {
		if err := a.File().Truncate(size); !errors.Is(err, unix.EPERM) {
			t.Errorf("truncate to %d: %v, want EPERM", size, err)
		}
	}
	a.Bytes()[7] = 42
	var b [1]byte
	if _, err := a.File().ReadAt(b[:], 7); err != nil || b[0] != 42 {
		t.Errorf("the file has %d, %v, want what is in memory", b[0], err)
	}
	if err := errors.Join(a.Close(), a.Close()); err != nil {
		t.Error(err)
	}
	for _, size := range []int64{0, -1, frame.MaxArena + 1} {
		if _, err := frame.NewArena(size); err == nil {
			t.Errorf("an arena of %d bytes passed", size)
		}
	}
}

func TestPlanSlots(t *testing.T) {
	m := *loaded() // 48 bytes in, 40 out: each its own 64
	m.Inputs = append(m.Inputs, m.Inputs[0])
	p, err := frame.PlanSlots(m, 3)
	if err != nil || p.Size != frame.Granule || p.In[1] != 64 || p.Out[0] != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	if in, out := p.Slot(2); in != 2*192 || out != 2*192+128 {
		t.Errorf("slot 2 is at %d and %d", in, out)
	}
	m.Outputs[0].Bytes = frame.MaxArena
	if _, err := frame.PlanSlots(m, 3); err == nil {
		t.Error("a plan over the bound passed")
	}
	if _, err := frame.PlanSlots(*loaded(), 0); err == nil {
		t.Error("depth 0 passed")
	}
}

// Two files fit where one is expected; whoever sends them is broken, and neither
// stays open.
func TestTwoFilesAreNonsense(t *testing.T) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(ends[0])
	far, err := frame.Accept(os.NewFile(uintptr(ends[1]), "agent"))
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	packet, err := frame.Message{Header: frame.Header{Type: frame.Load}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	if err := unix.Sendmsg(ends[0], packet, unix.UnixRights(int(write.Fd()), int(write.Fd())), nil, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := far.ReceiveFile(); err == nil || !strings.Contains(err.Error(), "2 files came along") {
		t.Errorf("got %v", err)
	}
	write.Close()
	if _, err := read.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("somebody holds a file still: %v", err)
	}
}
