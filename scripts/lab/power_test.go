package lab_test

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestPowerCut: all coordinators lose their power at once, with writes under way.
// What was acknowledged is there when it comes back.
func TestPowerCut(t *testing.T) {
	ctx := begin(t, 10*time.Minute)
	n, err := powerCut(ctx, "", either(3, 20))
	t.Logf("%d acknowledged writes before the last check", n)
	if err != nil {
		t.Fatal(err)
	}
}

// powerCut returns how many writes were acknowledged.
func powerCut(ctx context.Context, b build, rounds int) (acks int, err error) {
	l, err := found(ctx, plan{build: b, disks: true})
	if err != nil {
		return 0, err
	}
	defer l.done(&err)
	d, err := beginLoad(ctx, l, 8, 2, 2*time.Millisecond)
	if err != nil {
		return 0, err
	}
	defer d.end()
	for range rounds {
		before := d.count()
		if err := within(ctx, 20*time.Second, "writes", func(context.Context) error {
			if d.count() < before+150 {
				return errors.New("there are not enough yet")
			}
			return nil
		}); err != nil {
			return d.count(), err
		}
		if err := l.cutPower(); err != nil {
			return d.count(), err
		}
		if err := l.restorePower(ctx); err != nil {
			return d.count(), err
		}
		if err := d.checkAll(ctx, l); err != nil {
			return d.count(), err
		}
	}
	d.rest()
	return d.count(), d.conclude(ctx, l)
}

// cutPower takes the power from all coordinators.
func (l *lab) cutPower() error {
	var errs []error
	for _, n := range l.Coordinators {
		n.MayEnd() // it may notice before it is killed
		errs = append(errs, l.disks[n.Name].Cut())
	}
	for _, n := range l.Coordinators {
		n.Kill()
	}
	return errors.Join(errs...)
}

// restorePower starts all coordinators on what their disks have kept, and waits
// until they answer.
func (l *lab) restorePower(ctx context.Context) error {
	for _, n := range l.Coordinators {
		if err := l.disks[n.Name].Restore(); err != nil {
			return err
		}
		if err := n.Start(); err != nil {
			return err
		}
	}
	for _, n := range l.Coordinators {
		if err := promised(ctx, 30*time.Second, n.Name+" to be back after a power cut", func(ctx context.Context) error {
			select {
			case err := <-l.Broken():
				return broken("after a power cut: %v", err)
			default:
			}
			_, err := l.Client(n).Nodes(ctx)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}
