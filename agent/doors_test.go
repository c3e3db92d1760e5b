package agent

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"

	"primespark/agent/config"
	"primespark/shared/problem"
)

func TestSocketReplacesOnlyWhatACrashLeft(t *testing.T) {
	out := Real(config.Default(), t.Output())
	file := func(t *testing.T, path string) {
		if err := os.WriteFile(path, []byte("a letter"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	listen := func(t *testing.T, path string) *net.UnixListener {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false) // as after a crash
		t.Cleanup(func() { l.Close() })
		return l
	}
	for name, test := range map[string]struct {
		before func(t *testing.T, path string)
		opens  bool
	}{
		"nothing there": {func(*testing.T, string) {}, true},
		"a crash":       {func(t *testing.T, path string) { listen(t, path).Close() }, true},
		"an agent runs": {func(t *testing.T, path string) { listen(t, path) }, false},
		"a file":        {file, false},
		"a link to a file": {func(t *testing.T, path string) {
			file(t, path+".target")
			if err := os.Symlink(path+".target", path); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "agent.sock")
			test.before(t, path)
			l, err := socket(t.Context(), path, out)
			if test.opens {
				if err != nil {
					t.Fatalf("socket: %v", err)
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
				return
			}
			if !problem.Is(err, problem.Conflict) {
				t.Errorf("socket: %v, want a conflict", err)
			}
			if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
				t.Error("what was there is gone")
			}
		})
	}
}
