package logind

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/godbus/dbus/v5"

	"primespark/shared/run"
)

// A Delay holds up every shutdown of the host, whoever wants it, until Goodbye has
// put on disk and given away what must not be lost. logind waits for 5 s at most
// (logind.conf, InhibitDelayMaxSec). It is a part.
type Delay struct {
	Host    Host
	Goodbye func(ctx context.Context) error
	Log     *slog.Logger
}

var _ run.Part = Delay{}

func (Delay) String() string { return "shutdown delay" }

// goodbyeTime is less than what logind waits for.
const goodbyeTime = 4 * time.Second

// retry is the wait before the bus is tried again, on which a shutdown is not held
// up; most hosts without one never have one.
const retry = time.Minute

// Run holds the delay until ctx ends.
func (d Delay) Run(ctx context.Context) error {
	told := false
	for ctx.Err() == nil {
		err := d.hold(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if !told {
			told = true
			d.Log.Info("shutdowns by others are not waited for", "err", err, "again_s", retry.Seconds())
		}
		run.Sleep(ctx, retry)
	}
	return nil
}

// hold takes the delay, and gives it back when the host goes down.
func (d Delay) hold(ctx context.Context) error {
	c, err := d.Host.dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // which gives the delay back, too
	signals := make(chan *dbus.Signal, 4)
	c.Signal(signals)
	if err := c.AddMatchSignalContext(ctx, dbus.WithMatchInterface(manager), dbus.WithMatchMember("PrepareForShutdown")); err != nil {
		return err
	}
	lock, err := d.take(ctx, c)
	if err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return closeLock(lock)
		case s, open := <-signals:
			if !open {
				_ = closeLock(lock) // the bus is gone, and the delay with it
				return ErrNoBus
			}
			if len(s.Body) != 1 {
				continue
			}
			switch begins, ok := s.Body[0].(bool); {
			case ok && begins && lock != nil:
				d.goodbye(ctx)
				if err := lock.Close(); err != nil {
					return err
				}
				lock = nil
			case ok && !begins && lock == nil: // it was called off
				if lock, err = d.take(ctx, c); err != nil {
					return err
				}
			}
		}
	}
}

func (d Delay) goodbye(ctx context.Context) {
	d.Log.Info("the host goes down, saying goodbye")
	ctx, cancel := context.WithTimeout(ctx, goodbyeTime)
	defer cancel()
	if err := d.Goodbye(ctx); err != nil {
		d.Log.Warn("not all was given away or put on disk", "err", err, "next", "the shutdown goes on")
	}
}

func closeLock(f *os.File) error {
	if f == nil {
		return nil
	}
	return f.Close()
}

func (d Delay) take(ctx context.Context, c *dbus.Conn) (*os.File, error) {
	var fd dbus.UnixFD
	err := c.Object(login, "/org/freedesktop/login1").CallWithContext(ctx, manager+".Inhibit", 0,
		"shutdown", "Prime Spark", "Gives its work to other nodes and puts its samples on disk", "delay").Store(&fd)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "inhibitor"), nil
}
