package onnxruntime_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"primespark/agent/infer/infertest"
	runtime "primespark/agent/onnxruntime"
	"primespark/agent/onnxruntime/orttest"
	"primespark/shared/worker"
	"primespark/shared/worker/nativetest"
)

// unit has systemd's part played for a kit's worker.
func unit(t testing.TB, kit orttest.Kit) *nativetest.Systemd {
	t.Helper()
	return nativetest.Units(t, runtime.WorkerName, nil, kit.Worker, "--unit")
}

// eventually waits until done, for a minute at most.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// TestUnit infers in a worker that is no child of the agent's, which feeds its watchdog
// and ends with the connection.
func TestUnit(t *testing.T) {
	kit := orttest.Double(t)
	systemd := unit(t, kit)
	t.Run("inner", func(t *testing.T) {
		b, s := open(t, kit, func(c *runtime.Config) { c.Socket = systemd.Socket })
		session := infertest.Load(t, b, orttest.Small())
		if _, err := first(t.Context(), t, session, 1); err != nil {
			t.Fatal(err)
		}
		st := s.Status().Get()
		if st.Worker.Unit != "prime-spark-ort-worker" || st.Worker.PID == 0 || !st.Worker.Confined || systemd.Started.Load() != 1 {
			t.Errorf("%+v, and %d were started", st.Worker, systemd.Started.Load())
		}
		fed := systemd.Fed.Load()
		eventually(t, "the watchdog is fed again and again", func() bool { return systemd.Fed.Load() >= fed+3 })

		// One that is stopped does not feed it, and is left by the agent; systemd kills it.
		if err := syscall.Kill(st.Worker.PID, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the watchdog starves", func() bool {
			fed := systemd.Fed.Load()
			time.Sleep(500 * time.Millisecond) // of its 300 ms, and more
			return systemd.Fed.Load() == fed
		})
		if err := syscall.Kill(st.Worker.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		again, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		eventually(t, "there is another worker", func() bool { return systemd.Started.Load() == 2 })
		if _, err := first(again, t, session, 1); err != nil {
			t.Errorf("after that: %v", err)
		}
	})
	eventually(t, "the worker ends with the agent", func() bool { return systemd.Running.Load() == 0 })
}

// TestUnitFails has a unit that is not there, or does not start: the worker is a child then.
func TestUnitFails(t *testing.T) {
	kit := orttest.Double(t)
	dir, err := os.MkdirTemp("", "unit")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // a socket and nothing else
	stale := filepath.Join(dir, "stale.socket")
	if l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: stale, Net: "unixpacket"}); err != nil {
		t.Fatal(err)
	} else {
		l.SetUnlinkOnClose(false)
		_ = l.Close() // the file stays
	}
	for name, test := range map[string]struct{ socket, says string }{
		"without systemd": {filepath.Join(dir, "none.socket"), ""},
		"nobody listens":  {stale, "systemctl restart stale.socket"},
		"it exits":        {nativetest.Units(t, "broken", nil, "/bin/false").Socket, "journalctl -u 'broken@*'"},
	} {
		t.Run(name, func(t *testing.T) {
			log := &lines{}
			b, s := open(t, kit, func(c *runtime.Config) { c.Socket, c.Log = test.socket, slog.New(slog.NewTextHandler(log, nil)) })
			session := infertest.Load(t, b, orttest.Small())
			if _, err := first(t.Context(), t, session, 1); err != nil {
				t.Fatal(err)
			}
			if st := s.Status().Get(); st.Worker.Unit != "" || st.Worker.PID == 0 {
				t.Errorf("%+v", st.Worker)
			}
			if got := log.String(); strings.Contains(got, "its unit does not start") != (test.says != "") || !strings.Contains(got, test.says) {
				t.Errorf("the log, which is to have %q:\n%s", test.says, got)
			}
		})
	}
}

// TestLastWords has what a worker of a unit said before its death in the finding, and in
// the log.
func TestLastWords(t *testing.T) {
	kit := orttest.Double(t)
	log := &lines{}
	b, s := open(t, kit, func(c *runtime.Config) {
		c.Socket, c.Log = unit(t, kit).Socket, slog.New(slog.NewTextHandler(log, nil))
	})
	session := infertest.Load(t, b, orttest.Small())
	_, _ = first(t.Context(), t, session, orttest.Crash) // what it returns TestFaults sees
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	st, err := s.Status().Until(ctx, func(st worker.Status) bool { return st.Restarts == 1 })
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(st.LastRestart, "journalctl -u 'prime-spark-ort-worker@*' tells how") {
		t.Errorf("it was restarted since %q", st.LastRestart)
	}
	if got := log.String(); !strings.Contains(got, "this is no ONNX Runtime, but a double") {
		t.Errorf("the log has not what the worker said:\n%s", got)
	}
}

// lines is a log that several write to.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
