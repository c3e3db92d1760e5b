package lead

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/watch"
)

func vital(source fleet.PowerSource, charge, degrees float64, reasons ...string) fleet.Vital {
	return fleet.Vital{Ready: true, Power: fleet.Power{Source: source, Charge: &charge}, Temperature: &degrees, Reasons: reasons}
}

func TestFitness(t *testing.T) {
	for name, test := range map[string]struct {
		vital fleet.Vital
		was   Fitness
		want  Fitness
	}{
		"mains":                     {vital(fleet.Mains, 1, 50), Fit, Fit},
		"nothing known":             {fleet.Vital{Ready: true}, Fit, Fit},
		"battery":                   {vital(fleet.Battery, 0.9, 50), Fit, OnBattery},
		"battery, at the bound":     {vital(fleet.Battery, 0.20, 50), Fit, OnBattery},
		"battery, nearly empty":     {vital(fleet.Battery, 0.19, 50), Fit, Low},
		"battery, low by its agent": {vital(fleet.Battery, 0.5, 50, "low_battery"), Fit, Low},
		"mains, nearly empty":       {vital(fleet.Mains, 0.1, 50), Fit, Fit},
		"hot":                       {vital(fleet.Mains, 1, 80), Fit, Strained},
		"warm":                      {vital(fleet.Mains, 1, 79), Fit, Fit},
		"warm, was hot":             {vital(fleet.Mains, 1, 72), Strained, Strained},
		"cooled down":               {vital(fleet.Mains, 1, 71.9), Strained, Fit},
		"slow disk":                 {vital(fleet.Mains, 1, 50, "slow_disk"), Fit, Strained},
		"unready":                   {fleet.Vital{Reasons: []string{"disk_stalled"}}, Fit, Unfit},
	} {
		if got := fitness(fleet.Node{Liveness: fleet.Alive, Vital: test.vital}, test.was); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
	if got := fitness(fleet.Node{Liveness: fleet.Dead, Vital: vital(fleet.Mains, 1, 50)}, Fit); got != Unfit {
		t.Errorf("a dead one is %v", got)
	}
}

// A trio is three coordinators whose leadership goes where it is handed.
type trio struct {
	mu      sync.Mutex
	vitals  map[string]fleet.Vital
	leading map[string]*watch.Value[bool]
	moves   []string
	refuse  error
}

func newTrio() *trio {
	g := &trio{vitals: map[string]fleet.Vital{}, leading: map[string]*watch.Value[bool]{}}
	for _, name := range []string{"c1", "c2", "c3"} {
		g.vitals[name] = vital(fleet.Mains, 1, 50)
		g.leading[name] = watch.New(name == "c1")
	}
	return g
}

func (g *trio) set(name string, v fleet.Vital) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.vitals[name] = v
}

func (g *trio) view() (v fleet.View) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for name, vital := range g.vitals {
		v = append(v, fleet.Node{Member: fleet.Member{Name: name}, Liveness: fleet.Alive, Vital: vital})
	}
	return v
}

func (g *trio) moved() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.moves)
}

// play runs a story on three coordinators.
func play(t *testing.T, story func(t *testing.T, g *trio)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := newTrio()
		ctx, cancel := context.WithCancel(t.Context())
		for name, leading := range g.leading {
			go func() { // ends with ctx
				_ = Yield{
					Self: name, Leading: leading, View: g.view, Log: slog.New(slog.DiscardHandler),
					Heirs: func() []string { return []string{"c1", "c2", "c3"} },
					Transfer: func(_ context.Context, rather ...string) error {
						g.mu.Lock()
						defer g.mu.Unlock()
						g.moves = append(g.moves, name+">"+rather[0])
						if g.refuse != nil {
							return g.refuse
						}
						leading.Store(false)
						g.leading[rather[0]].Store(true)
						return nil
					},
				}.Run(ctx) // nil by its contract
			}()
		}
		time.Sleep(time.Minute)
		story(t, g)
		cancel()
		synctest.Wait()
	})
}

// TestYieldToMains: the leader goes on battery; seconds later one on mains leads,
// the cool one, and stays when the power is back.
func TestYieldToMains(t *testing.T) {
	play(t, func(t *testing.T, g *trio) {
		g.set("c2", vital(fleet.Mains, 1, 85))
		g.set("c1", vital(fleet.Battery, 0.9, 50))
		time.Sleep(yieldAfter + 2*yieldEvery)
		if got := g.moved(); !slices.Equal(got, []string{"c1>c3"}) {
			t.Errorf("moved %v, want to c3, which is on mains and cool", got)
		}
		g.set("c1", vital(fleet.Mains, 0.9, 50))
		time.Sleep(time.Hour)
		if got := g.moved(); len(got) != 1 {
			t.Errorf("moved %v: nobody was worse off any more", got)
		}
	})
}

// TestYieldNowhere: when all are on battery nobody hands over, and of those the
// one that is nearly empty does, once.
func TestYieldNowhere(t *testing.T) {
	play(t, func(t *testing.T, g *trio) {
		for _, name := range []string{"c1", "c2", "c3"} {
			g.set(name, vital(fleet.Battery, 0.8, 50))
		}
		time.Sleep(time.Hour)
		if got := g.moved(); len(got) != 0 {
			t.Errorf("all on battery, and moved %v", got)
		}
		g.set("c1", vital(fleet.Battery, 0.1, 50))
		time.Sleep(time.Hour)
		if got := g.moved(); !slices.Equal(got, []string{"c1>c2"}) {
			t.Errorf("moved %v, want once, from the one that is nearly empty", got)
		}
		for _, name := range []string{"c2", "c3"} {
			g.set(name, vital(fleet.Battery, 0.1, 50))
		}
		time.Sleep(time.Hour)
		if got := g.moved(); len(got) > 2 {
			t.Errorf("all nearly empty, and moved %v", got)
		}
	})
}

// TestYieldDoesNotFlap has the power of all come and go for an hour.
func TestYieldDoesNotFlap(t *testing.T) {
	play(t, func(t *testing.T, g *trio) {
		for i := range 360 {
			for j, name := range []string{"c1", "c2", "c3"} {
				source := fleet.Mains
				if (i+j)%3 == 0 {
					source = fleet.Battery
				}
				g.set(name, vital(source, 0.9, 50))
			}
			time.Sleep(10 * time.Second)
		}
		if got := g.moved(); len(got) > 2 {
			t.Errorf("moved %d times in an hour of flapping: %v", len(got), got)
		}
	})
}

// TestYieldRefused: nobody takes it; it is tried again, not all the time.
func TestYieldRefused(t *testing.T) {
	play(t, func(t *testing.T, g *trio) {
		g.mu.Lock()
		g.refuse = errors.New("nobody wants to")
		g.mu.Unlock()
		g.set("c1", vital(fleet.Battery, 0.9, 50))
		time.Sleep(5 * time.Minute)
		if n := len(g.moved()); n < 5 || n > 11 {
			t.Errorf("tried %d times in 5 minutes, want about 10", n)
		}
	})
}
