package run

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestEase looks at a thread that was there and at new ones.
func TestEase(t *testing.T) {
	slack := func() time.Duration {
		n, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
		if err != nil {
			t.Error(err)
		}
		return time.Duration(n)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := slack()
	if err := Ease(Slack); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := Ease(before); err != nil {
			t.Error(err)
		}
	}()
	if slack() == before {
		t.Skip("this test is built with cgo, whose threads Go does not know")
	}
	const others = 4
	all := make(chan time.Duration, others)
	hold := make(chan struct{})
	for range others {
		go func() {
			runtime.LockOSThread() // a thread that another has not
			all <- slack()
			<-hold
			runtime.UnlockOSThread()
		}()
	}
	for range others {
		if got := <-all; got != Slack {
			t.Errorf("a thread's slack is %v", got)
		}
	}
	close(hold)
	if got := slack(); got != Slack {
		t.Errorf("the slack is %v", got)
	}
	if err := Punctual(); err != nil || slack() != kernelSlack {
		t.Errorf("the slack of a punctual thread is %v: %v", slack(), err)
	}
}
