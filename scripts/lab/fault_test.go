package lab_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"primespark/shared/rig"
)

// A fault is something that is wrong for a while.
type fault struct {
	name  string
	begin func() error
	end   func() error // everything is as it should be again, but for the time that it takes to get well
}

// faults makes a fault of a coordinator; what it is follows from the draw.
func (l *lab) coordinatorFault(ctx context.Context, n *rig.Node, draw *rand.Rand) fault {
	host, disk, others := l.hosts[n.Name], l.disks[n.Name], l.hostsOf(l.others(n)...)
	kinds := []fault{
		{"SIGKILL", func() error { n.Kill(); return nil }, n.Start},
		{"SIGTERM", func() error { n.Stop(); return nil }, n.Start},
		{"SIGSTOP", func() error { n.Pause(); return nil }, func() error { n.Resume(); return nil }},
		{"cut off", func() error { return host.Cut(others...) }, l.net.Heal},
		{"cut off from all", func() error { return host.Cut(append(others, l.hostsOf(l.Agents...)...)...) }, l.net.Heal},
		{"deaf", func() error { return host.Deafen(others...) }, l.net.Heal},
		{"30 % lost", func() error { return host.Lose(30, others...) }, l.net.Heal},
		{"power cut", func() error {
			n.MayEnd()
			err := disk.Cut()
			n.Kill()
			return err
		}, func() error { return errors.Join(disk.Restore(), n.Start()) }},
		{"disk full", func() error { n.MayEnd(); return disk.Fill(0) }, func() error { return errors.Join(disk.Empty(), l.revive(n)) }},
		{"disk hangs", func() error { n.MayEnd(); return disk.Freeze() }, func() error { return errors.Join(disk.Thaw(), l.revive(n)) }},
		{"disk slow", func() error { n.MayEnd(); disk.Slow(40*time.Millisecond, 10*time.Millisecond); return nil }, func() error { return errors.Join(disk.Quick(), l.revive(n)) }},
		{"reset --rejoin", func() error {
			n.Stop()
			_, err := n.Command(ctx, "", "reset", "--rejoin")
			return err
		}, func() error {
			if err := n.Start(); err != nil {
				return err
			}
			// It has forgotten what it promised: another loss before it is back would be one too many.
			return l.agree(ctx, time.Minute)
		}},
	}
	f := kinds[draw.IntN(len(kinds))]
	f.name = n.Name + ": " + f.name
	return f
}

// agentFault makes one of an agent.
func (l *lab) agentFault(n *rig.Node, draw *rand.Rand) fault {
	host := l.hosts[n.Name]
	kinds := []fault{
		{"SIGKILL", func() error { n.Kill(); return nil }, n.Start},
		{"SIGTERM", func() error { n.Stop(); return nil }, n.Start},
		{"SIGSTOP", func() error { n.Pause(); return nil }, func() error { n.Resume(); return nil }},
		{"cut off from the coordinators", func() error { return host.Cut(l.hostsOf(l.Coordinators...)...) }, l.net.Heal},
	}
	f := kinds[draw.IntN(len(kinds))]
	f.name = n.Name + ": " + f.name
	return f
}

// blackout is a power cut of all coordinators.
func (l *lab) blackout(ctx context.Context) fault {
	return fault{"all coordinators: power cut", l.cutPower, func() error { return l.restorePower(ctx) }}
}

// brokerFault is the loss of the broker.
func (l *lab) brokerFault() fault { return fault{"broker: SIGKILL", l.stopBroker, l.startBroker} }

// revive does what a service manager does: it starts a daemon that has ended.
func (l *lab) revive(n *rig.Node) error {
	select {
	case <-n.Ended():
		return n.Start()
	case <-time.After(100 * time.Millisecond):
		return nil
	}
}

// draw makes one fault, or two at different places that begin and end together.
func (l *lab) draw(ctx context.Context, draw *rand.Rand) ([]fault, error) {
	var all []fault
	switch dice := draw.IntN(20); {
	case dice == 0:
		all = append(all, l.blackout(ctx))
	case dice < 12:
		n := l.Coordinators[draw.IntN(len(l.Coordinators))]
		if draw.IntN(2) == 0 { // half of all faults of coordinators are the leader's
			leader, err := l.leader(ctx)
			if err != nil {
				return nil, err
			}
			n = leader
		}
		all = append(all, l.coordinatorFault(ctx, n, draw))
	case dice < 14:
		all = append(all, l.brokerFault())
	}
	if len(all) == 0 || draw.IntN(4) == 0 {
		all = append(all, l.agentFault(l.Agents[draw.IntN(len(l.Agents))], draw))
	}
	return all, nil
}

// names are those of faults, for people.
func names(faults []fault) string {
	all := make([]string, len(faults))
	for i, f := range faults {
		all[i] = f.name
	}
	return strings.Join(all, " and ")
}

// suffer begins faults, waits, and ends them, the last one first.
func suffer(ctx context.Context, faults []fault, hold time.Duration) (err error) {
	for i, f := range faults {
		if err := f.begin(); err != nil {
			return errors.Join(fmt.Errorf("begin %s: %w", f.name, err), endAll(faults[:i]))
		}
	}
	select {
	case <-time.After(hold):
	case <-ctx.Done():
	}
	return endAll(faults)
}

func endAll(faults []fault) error {
	var errs []error
	for i := len(faults) - 1; i >= 0; i-- {
		if err := faults[i].end(); err != nil {
			errs = append(errs, fmt.Errorf("end %s: %w", faults[i].name, err))
		}
	}
	return errors.Join(errs...)
}
