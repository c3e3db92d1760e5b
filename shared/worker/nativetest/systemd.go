package nativetest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// A Systemd does for a worker what systemd does for the units of workers: it starts one
// for each connection, and keeps a watchdog.
type Systemd struct {
	Socket  string       // to connect to
	Started atomic.Int32 // how many workers were started
	Running atomic.Int32 // and have not ended
	Fed     atomic.Int32 // how often workers fed the watchdog
}

// Units has a Systemd start command, with env beside this process's own, as the unit of a
// name, until the test ends.
func Units(t testing.TB, name string, env []string, command ...string) *Systemd {
	t.Helper()
	dir, err := os.MkdirTemp("", "unit") // that of the test may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	s := &Systemd{Socket: filepath.Join(dir, name+".socket")}
	listener, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: s.Socket, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	notify := filepath.Join(dir, "notify")
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() { // ends when told is closed
		b := make([]byte, 100)
		for n, err := told.Read(b); err == nil; n, err = told.Read(b) {
			if string(b[:n]) == "WATCHDOG=1" {
				s.Fed.Add(1)
			}
		}
	})
	var workers sync.Mutex
	var running []*exec.Cmd
	all.Go(func() { // ends when listener is closed
		for {
			conn, err := listener.AcceptUnix()
			if err != nil {
				return
			}
			cmd := exec.Command(command[0], command[1:]...)
			cmd.Env = append(append(os.Environ(), "NOTIFY_SOCKET="+notify, "WATCHDOG_USEC=300000", "LISTEN_FDS=1"), env...)
			// The manager keeps the connection until the worker has ended.
			file, err := s.start(cmd, conn)
			if err != nil {
				t.Errorf("start %v: %v", command, err)
				continue
			}
			workers.Lock()
			running = append(running, cmd)
			workers.Unlock()
			all.Go(func() {
				_ = cmd.Wait() // it may be killed
				s.Running.Add(-1)
				_ = file.Close() // only passed on
			})
		}
	})
	t.Cleanup(func() {
		_, _ = listener.Close(), told.Close() // they end the loops
		workers.Lock()
		for _, cmd := range running {
			_ = cmd.Process.Kill() // it may have ended
		}
		workers.Unlock()
		all.Wait()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *Systemd) start(cmd *exec.Cmd, conn *net.UnixConn) (*os.File, error) {
	file, err := conn.File()
	_ = conn.Close() // file is another
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(int(file.Fd()), false); err != nil {
		return nil, fmt.Errorf("have the connection block: %w", err)
	}
	cmd.ExtraFiles = []*os.File{file}
	if err := cmd.Start(); err != nil {
		_ = file.Close() // only passed on
		return nil, err
	}
	s.Started.Add(1)
	s.Running.Add(1)
	return file, nil
}
