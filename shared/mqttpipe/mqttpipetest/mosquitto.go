// Package mqttpipetest starts somebody else's broker for tests.
package mqttpipetest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Mosquitto starts Debian's broker on loopback, for everybody, and returns its
// address. It ends with the test. Without mosquitto the test skips, or fails in CI.
func Mosquitto(t *testing.T) (addr string) {
	t.Helper()
	addr = FreeAddr(t)
	Start(t, addr, "allow_anonymous true")
	return addr
}

// Start starts Debian's broker at a loopback address with lines of its
// configuration (mosquitto.conf(5)), and returns how to kill it before the test ends.
func Start(t *testing.T, addr string, lines ...string) (kill func()) {
	t.Helper()
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		path = "/usr/sbin/mosquitto" // not in every user's path
		if _, err := os.Stat(path); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal("mosquitto is not installed; apt install mosquitto")
			}
			t.Skip("mosquitto is not installed; apt install mosquitto")
		}
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "mosquitto.conf")
	text := fmt.Sprintf("listener %s %s\n%s\npersistence false\nuser root\n", port, host, strings.Join(lines, "\n"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-c", config)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		_ = cmd.Process.Kill() // one that has ended needs no other end
		_ = cmd.Wait()         // killed
	}
	t.Cleanup(func() {
		kill()
		if t.Failed() {
			t.Logf("mosquitto says:\n%s", &log)
		}
	})
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) { // another process starts, of which nobody tells
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return kill
		}
	}
	t.Fatalf("mosquitto does not listen at %s", addr)
	return nil
}

// FreeAddr is an address on loopback at which nobody listens.
func FreeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
