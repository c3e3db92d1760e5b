package notify

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// manager is a socket as systemd has one.
func manager(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// told is what the manager has been sent in one message; "" for nothing.
func told(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	if err != nil && !os.IsTimeout(err) {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func TestBeat(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	c := manager(t, socket)
	n, err := Dial(socket, "3600000000")
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for _, step := range []struct{ status, want string }{
		{"serving", "READY=1\nSTATUS=serving\nWATCHDOG=1"},
		{"serving", ""},
		{"two\nREADY=0  lines", "STATUS=two READY=0 lines"},
		{"two READY=0 lines", ""},
	} {
		if err := n.Beat(step.status); err != nil {
			t.Fatal(err)
		}
		if got := told(t, c); got != step.want {
			t.Errorf("after %q the manager was told %q, want %q", step.status, got, step.want)
		}
	}
	n.beat = time.Now().Add(-n.every) // a quarter of the watchdog's time passes
	if err := n.Beat("two READY=0 lines"); err != nil {
		t.Fatal(err)
	}
	if got := told(t, c); got != "WATCHDOG=1" {
		t.Errorf("a quarter of the time later the manager was told %q", got)
	}
	if err := n.Stopping(); err != nil {
		t.Fatal(err)
	}
	if got := told(t, c); got != "STOPPING=1" {
		t.Errorf("at the end the manager was told %q", got)
	}
}

func TestAbstractNameWithoutWatchdog(t *testing.T) {
	name := "@prime-spark-notify-" + strconv.Itoa(os.Getpid())
	c := manager(t, name)
	n, err := Dial(name, "")
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if err := n.Beat(strings.Repeat("é", 400)); err != nil {
		t.Fatal(err)
	}
	if got, want := told(t, c), "READY=1\nSTATUS="+strings.Repeat("é", 250); got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestNobodyListens(t *testing.T) {
	var none *Notifier
	for _, err := range []error{none.Beat("x"), none.Stopping(), none.Close()} {
		if err != nil {
			t.Error(err)
		}
	}
	for _, bad := range [][2]string{{"relative", ""}, {"/none/such", ""}, {"@x", "soon"}, {"@x", "-1"}, {"@x", "99999999999999999"}} {
		if n, err := Dial(bad[0], bad[1]); err == nil {
			t.Errorf("Dial(%q, %q) = %v, want an error", bad[0], bad[1], n)
		}
	}
}

func TestFromEnv(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	manager(t, socket)
	for _, test := range []struct {
		socket, pid string
		want        bool
		every       time.Duration
	}{
		{"", "", false, 0},
		{socket, "", true, 5 * time.Second},
		{socket, strconv.Itoa(os.Getpid()), true, 5 * time.Second},
		{socket, "1", true, 0}, // another process is watched
	} {
		t.Setenv("NOTIFY_SOCKET", test.socket)
		t.Setenv("WATCHDOG_USEC", "20000000")
		t.Setenv("WATCHDOG_PID", test.pid)
		n, err := FromEnv()
		if err != nil || (n != nil) != test.want || n != nil && n.every != test.every {
			t.Errorf("%+v: %+v, %v", test, n, err)
		}
		if os.Getenv("NOTIFY_SOCKET") != "" || os.Getenv("WATCHDOG_USEC") != "" {
			t.Error("children would see the variables")
		}
		_ = n.Close() // nothing was written
	}
}
