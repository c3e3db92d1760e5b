// Package logind switches the host off and freezes units, through the system's
// D-Bus: the agent runs as a user of its own and may do no more than polkit's rules
// let it.
//
// A connection is made for each call. Those are rare, and a bus that was restarted
// is no trouble then.
package logind

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// ErrNoBus means that this host has no system bus.
var ErrNoBus = errors.New("the system's D-Bus cannot be reached")

const (
	login   = "org.freedesktop.login1"
	manager = login + ".Manager"
	systemd = "org.freedesktop.systemd1"
)

// skipInhibitors is SD_LOGIND_SKIP_INHIBITORS, from systemd 257 on; before, the
// polkit action org.freedesktop.login1.power-off-ignore-inhibit does it alone.
const skipInhibitors = uint64(1 << 4)

// A Host is the machine that the agent runs on.
type Host struct {
	Address string // of the bus; empty: the system's
	// Bare switches off a host without systemd, where the agent is root: a container of
	// one's own, or an image with another init. Nil: unix.Reboot.
	Bare func(command int) error
}

func (h Host) dial(ctx context.Context) (*dbus.Conn, error) {
	var c *dbus.Conn
	var err error
	if h.Address == "" {
		c, err = dbus.ConnectSystemBus(dbus.WithContext(ctx))
	} else {
		c, err = dbus.Connect(h.Address, dbus.WithContext(ctx))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoBus, err)
	}
	return c, nil
}

// call calls a method once; what it returns goes into out.
func (h Host) call(ctx context.Context, service, path, method string, out []any, args ...any) error {
	c, err := h.dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // the answer is here
	r := c.Object(service, dbus.ObjectPath(path)).CallWithContext(ctx, method, 0, args...)
	if r.Err != nil {
		return fmt.Errorf("%s: %w", method, r.Err)
	}
	if len(out) == 0 {
		return nil
	}
	return r.Store(out...)
}

func (h Host) login(ctx context.Context, method string, args ...any) error {
	return h.call(ctx, login, "/org/freedesktop/login1", manager+"."+method, nil, args...)
}

// PowerOff begins to switch the host off. With force, those who hold that up are not
// waited for.
func (h Host) PowerOff(ctx context.Context, force bool) error {
	if force && h.login(ctx, "PowerOffWithFlags", skipInhibitors) == nil {
		return nil // older ones know no such flag, and are asked the old way
	}
	return h.bare(h.login(ctx, "PowerOff", false), unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// Reboot begins to boot the host anew.
func (h Host) Reboot(ctx context.Context) error {
	return h.bare(h.login(ctx, "Reboot", false), unix.LINUX_REBOOT_CMD_RESTART)
}

// bare does what failed without systemd, where there is none and the agent is root.
func (h Host) bare(err error, command int) error {
	if err == nil || !errors.Is(err, ErrNoBus) {
		return err
	}
	if _, e := os.Stat("/run/systemd/system"); e == nil || os.Geteuid() != 0 && h.Bare == nil {
		return err
	}
	do := h.Bare
	if do == nil {
		do = unix.Reboot
	}
	unix.Sync()
	if e := do(command); e != nil {
		return errors.Join(err, fmt.Errorf("reboot(2): %w", e))
	}
	return nil
}

// Freeze freezes units, or thaws them. A unit that does not run is left alone.
func (h Host) Freeze(ctx context.Context, units []string, on bool) error {
	method := "ThawUnit"
	if on {
		method = "FreezeUnit"
	}
	var failed error
	for _, u := range units {
		err := h.call(ctx, systemd, "/org/freedesktop/systemd1", systemd+".Manager."+method, nil, u)
		var answer dbus.Error
		if errors.As(err, &answer) && (answer.Name == systemd+".UnitInactive" || answer.Name == systemd+".NoSuchUnit") {
			continue
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", u, err))
		}
	}
	return failed
}
