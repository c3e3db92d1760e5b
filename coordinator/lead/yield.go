package lead

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/run"
	"primespark/shared/watch"
)

// A Fitness is how well a coordinator's host can afford to lead; less is better.
type Fitness int

// The degrees. Nobody hands over to one that is no better off than itself.
const (
	Fit       Fitness = iota
	Strained          // hot, or on a slow disk
	OnBattery         //
	Low               // on a battery that is nearly empty
	Unfit             // not there, or unready: it cannot lead at all
)

func (f Fitness) String() string {
	return [...]string{"fit", "strained", "on battery", "low battery", "unfit"}[f]
}

// Bounds of what a host can afford.
const (
	// A Raspberry Pi 5 slows its processor down from 80 °C on (its documentation,
	// "Frequency management and thermal control").
	hot  = 80.0 // °C and more
	cool = 72.0 // °C, below which one that was hot is hot no more
	low  = 0.20 // of the charge, below which a battery is nearly empty
)

// fitness judges a coordinator by what it says of itself; was is the last word.
func fitness(n fleet.Node, was Fitness) Fitness {
	v := n.Vital
	if n.Liveness != fleet.Alive || !v.Ready {
		return Unfit
	}
	if v.Power.OnBattery() {
		if v.Power.Low() || v.Power.Charge != nil && *v.Power.Charge < low || slices.Contains(v.Reasons, string(health.LowBattery)) {
			return Low
		}
		return OnBattery
	}
	limit := hot
	if was == Strained {
		limit = cool
	}
	if v.Temperature != nil && *v.Temperature >= limit || slices.Contains(v.Reasons, string(health.SlowDisk)) {
		return Strained
	}
	return Fit
}

// A judged coordinator has had its fitness since a time.
type judged struct {
	Fitness
	since time.Time
}

// How long things last before anything follows from them. Whom the lead goes to
// has been well for so long that two hosts with loose plugs do not toss it to and
// fro; the one that gives it away has been worse off for longer than a blink.
const (
	yieldEvery = time.Second
	yieldAfter = 5 * time.Second
	heirAfter  = 30 * time.Second
	yieldRest  = 30 * time.Second // after nobody took it
)

// heirs are those who should rather lead than self, best first; empty if nobody
// should.
func heirs(self string, all map[string]judged, now time.Time) (names []string) {
	own := all[self]
	if own.Fitness == Fit || now.Sub(own.since) < yieldAfter {
		return nil
	}
	for name, j := range all {
		if name != self && j.Fitness < own.Fitness && now.Sub(j.since) >= heirAfter {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(all[a].Fitness, all[b].Fitness), cmp.Compare(a, b)) })
	return names
}

// Yield hands the leadership over when the host of this coordinator runs on its
// battery, or is hot, and that of another one is better off. It watches on every
// coordinator, so that a new leader knows how steady the others are, and acts
// where this one leads.
type Yield struct {
	Self     string
	Leading  *watch.Value[bool]
	Heirs    func() []string // the voters that can lead, this one too
	View     func() fleet.View
	Transfer func(ctx context.Context, rather ...string) error
	Log      *slog.Logger
}

func (Yield) String() string { return "yield" }

// Run watches until ctx ends.
func (y Yield) Run(ctx context.Context) error {
	all := map[string]judged{}
	var rest time.Time
	for run.Sleep(ctx, yieldEvery) {
		now := time.Now()
		all = judge(all, y.Heirs(), y.View(), now)
		if !y.Leading.Get() || now.Before(rest) {
			continue
		}
		to := heirs(y.Self, all, now)
		if len(to) == 0 {
			continue
		}
		own := all[y.Self].String()
		if err := y.Transfer(ctx, to...); err != nil {
			rest = now.Add(yieldRest)
			y.Log.Warn("leadership not handed over, leading on", "because", own, "err", err, "again_s", yieldRest.Seconds())
			continue
		}
		y.Log.Info("leadership handed over to a host that is better off", "because", own, "rather", to)
	}
	return nil
}

// judge judges everybody anew; whose fitness stays the same has had it for longer.
func judge(was map[string]judged, names []string, view fleet.View, now time.Time) map[string]judged {
	all := map[string]judged{}
	for _, name := range names {
		n, _ := view.Find(name)
		old, known := was[name]
		j := judged{fitness(n, old.Fitness), now}
		if known && old.Fitness == j.Fitness {
			j.since = old.since
		}
		all[name] = j
	}
	return all
}
