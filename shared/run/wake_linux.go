package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	wakeEvery = 200 * time.Millisecond // the finest grid that most loops are on
	wakeAfter = 60 * time.Microsecond  // the instant, so that all that is due is due
)

// Wake has the kernel wake this process on its grid, until ctx ends. Go waits for its own
// timers in whole milliseconds: it wakes too early, waits for one more, and its monitor
// thread, which is on time, looks every 70 µs whether anybody is late. That is a tenth of
// what a daemon at rest takes. An event of a file descriptor comes to the point, and all
// timers that are due go with it.
func Wake(ctx context.Context) error { return wake(ctx, wakeEvery, func() {}) }

// wake calls done after each time.
func wake(ctx context.Context, every time.Duration, done func()) error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("make a timer of the kernel's: %w", err)
	}
	timer := os.NewFile(uintptr(fd), "timer")
	defer timer.Close()
	defer context.AfterFunc(ctx, func() { _ = timer.Close() })() // ends the reading
	conn, err := timer.SyscallConn()
	if err != nil {
		return fmt.Errorf("a timer of the kernel's: %w", err)
	}
	var expired [8]byte // how often since it was read: it is not asked
	for {
		at := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(Due(every) + wakeAfter))}
		var failed error
		err := conn.Control(func(fd uintptr) { failed = unix.TimerfdSettime(int(fd), 0, &at, nil) })
		if err == nil {
			err = failed
		}
		if err == nil {
			_, err = timer.Read(expired[:])
		}
		switch {
		case errors.Is(err, os.ErrClosed):
			return nil
		case err != nil:
			return fmt.Errorf("wait for a timer of the kernel's: %w", err)
		}
		done()
	}
}
