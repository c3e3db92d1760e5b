package logind_test

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"primespark/agent/power/logind"
)

// bus starts a bus of our own and returns its address.
func bus(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("dbus-daemon")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("there is no dbus-daemon: apt install dbus-daemon")
		}
		t.Skip("there is no dbus-daemon: apt install dbus-daemon")
	}
	cmd := exec.CommandContext(t.Context(), path, "--session", "--nofork", "--nosyslog", "--print-address", "--address=unix:dir="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // it was killed
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// A double is a logind and a systemd that note what they are asked for.
type double struct {
	conn *dbus.Conn
	old  bool // it knows no flags

	mu     sync.Mutex
	asked  []string
	holder *os.File // our end of the delay that was given out
	news   chan string
}

func (d *double) note(what string) *dbus.Error {
	d.mu.Lock()
	d.asked = append(d.asked, what)
	d.mu.Unlock()
	d.news <- what
	return nil
}

func (d *double) PowerOff(bool) *dbus.Error { return d.note("power off") }
func (d *double) Reboot(bool) *dbus.Error   { return d.note("reboot") }
func (d *double) PowerOffWithFlags(flags uint64) *dbus.Error {
	d.mu.Lock()
	old := d.old
	d.mu.Unlock()
	if old {
		return dbus.NewError("org.freedesktop.DBus.Error.InvalidArgs", []any{"Invalid flags parameter"})
	}
	if flags != 16 {
		return d.note("power off with other flags")
	}
	return d.note("power off at once")
}

func (d *double) FreezeUnit(u string) *dbus.Error {
	switch u {
	case "gone.service":
		return dbus.NewError("org.freedesktop.systemd1.NoSuchUnit", nil)
	case "stiff.service":
		return dbus.NewError("org.freedesktop.systemd1.UnitBusy", []any{"Unit has a pending job"})
	}
	return d.note("freeze " + u)
}
func (d *double) ThawUnit(u string) *dbus.Error { return d.note("thaw " + u) }

func (d *double) Inhibit(what, who, why, mode string) (dbus.UnixFD, *dbus.Error) {
	r, w, err := os.Pipe()
	if err != nil {
		return 0, dbus.MakeFailedError(err)
	}
	d.mu.Lock()
	d.holder = r
	d.mu.Unlock()
	_ = d.note("inhibit " + what + " " + mode + " " + who)
	return dbus.UnixFD(w.Fd()), nil
}

func newDouble(t *testing.T, address string) *double {
	t.Helper()
	c, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	d := &double{conn: c, news: make(chan string, 20)}
	t.Cleanup(func() { _ = c.Close() })
	for name, path := range map[string]string{"org.freedesktop.login1": "/org/freedesktop/login1", "org.freedesktop.systemd1": "/org/freedesktop/systemd1"} {
		if err := c.Export(d, dbus.ObjectPath(path), name+".Manager"); err != nil {
			t.Fatal(err)
		}
		if r, err := c.RequestName(name, dbus.NameFlagDoNotQueue); err != nil || r != dbus.RequestNameReplyPrimaryOwner {
			t.Fatal(r, err)
		}
	}
	return d
}

func (d *double) want(t *testing.T, what ...string) {
	t.Helper()
	for _, w := range what {
		select {
		case got := <-d.news:
			if got != w {
				t.Errorf("asked to %s, want %s", got, w)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("never asked to %s", w)
		}
	}
}

func TestPowerOff(t *testing.T) {
	address := bus(t)
	d := newDouble(t, address)
	h := logind.Host{Address: address}
	if err := errors.Join(h.PowerOff(t.Context(), false), h.PowerOff(t.Context(), true), h.Reboot(t.Context())); err != nil {
		t.Fatal(err)
	}
	d.want(t, "power off", "power off at once", "reboot")
	d.mu.Lock()
	d.old = true
	d.mu.Unlock()
	if err := h.PowerOff(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	d.want(t, "power off")
}

func TestFreeze(t *testing.T) {
	address := bus(t)
	d := newDouble(t, address)
	h := logind.Host{Address: address}
	if err := h.Freeze(t.Context(), []string{"a.service", "gone.service", "b.service"}, true); err != nil {
		t.Fatal(err)
	}
	if err := h.Freeze(t.Context(), []string{"a.service"}, false); err != nil {
		t.Fatal(err)
	}
	d.want(t, "freeze a.service", "freeze b.service", "thaw a.service")
	if err := h.Freeze(t.Context(), []string{"stiff.service"}, true); err == nil || !strings.Contains(err.Error(), "stiff.service") {
		t.Errorf("a unit that could not be frozen: %v", err)
	}
}

// TestBare wants a host without systemd to be switched off by the kernel.
func TestBare(t *testing.T) {
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		t.Skip("this host has systemd")
	}
	var did []int
	h := logind.Host{Address: "unix:path=/nonexistent", Bare: func(c int) error { did = append(did, c); return nil }}
	if err := errors.Join(h.PowerOff(t.Context(), true), h.Reboot(t.Context())); err != nil {
		t.Fatal(err)
	}
	if len(did) != 2 || did[0] != unix.LINUX_REBOOT_CMD_POWER_OFF || did[1] != unix.LINUX_REBOOT_CMD_RESTART {
		t.Errorf("reboot(2) was called with %#x", did)
	}
}

// TestDelay wants a shutdown by somebody else to wait for the goodbye, and no longer.
func TestDelay(t *testing.T) {
	address := bus(t)
	d := newDouble(t, address)
	said := make(chan struct{})
	part := logind.Delay{Host: logind.Host{Address: address}, Log: slog.New(slog.DiscardHandler), Goodbye: func(context.Context) error { close(said); return nil }}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- part.Run(ctx) }()
	d.want(t, "inhibit shutdown delay Prime Spark")
	emit := func(begins bool) {
		if err := d.conn.Emit("/org/freedesktop/login1", "org.freedesktop.login1.Manager.PrepareForShutdown", begins); err != nil {
			t.Fatal(err)
		}
	}
	emit(true)
	<-said
	emit(false) // called off: the next one is to be held up, too
	d.want(t, "inhibit shutdown delay Prime Spark")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestNoBus(t *testing.T) {
	h := logind.Host{Address: "unix:path=/nonexistent"}
	if err := h.Freeze(t.Context(), []string{"a.service"}, true); !errors.Is(err, logind.ErrNoBus) {
		t.Errorf("without a bus: %v", err)
	}
}
