package run

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// kernelSlack is what a thread has that nobody gave another (prctl(2)).
const kernelSlack = 50 * time.Microsecond

// Slack is how late the kernel may wake a thread of a daemon at rest that waits for a time
// (prctl(2), PR_SET_TIMERSLACK). Go's own timers come to a millisecond on Linux, and what
// wakes by an event of a file descriptor, such as Wake, or by another thread is as quick
// as ever.
const Slack = time.Millisecond

// Ease sets the slack of all threads that this process has and will have. With it Go's
// monitor thread, which naps for 20 µs as long as any goroutine is in a system call, naps
// less often: a daemon at rest spends a fourth of its processor time on that. It does
// nothing in a program with cgo, whose threads Go does not know.
func Ease(slack time.Duration) error {
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, uintptr(slack.Nanoseconds()), 0)
	if errno != 0 && !errors.Is(errno, errors.ErrUnsupported) {
		return fmt.Errorf("set the timer slack to %v: %w", slack, errno)
	}
	return nil
}

// Punctual gives the thread that calls it the kernel's own slack again; the caller has
// locked it. A process that the thread starts then has that, too.
func Punctual() error {
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(kernelSlack.Nanoseconds()), 0, 0, 0); err != nil {
		return fmt.Errorf("set the timer slack of a thread: %w", err)
	}
	return nil
}
