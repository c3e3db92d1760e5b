package power_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"primespark/agent/power"
	"primespark/shared/health"
	"primespark/shared/logs"
)

// A host is a machine that notes what is done to it.
type host struct {
	mu   sync.Mutex
	did  []string
	fail error
	at   time.Time
}

func (h *host) note(what string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.did = append(h.did, fmt.Sprintf("%v %s", time.Since(h.at).Round(time.Second), what))
	return h.fail
}

func (h *host) PowerOff(_ context.Context, force bool) error {
	if force {
		return h.note("off!")
	}
	return h.note("off")
}
func (h *host) Reboot(context.Context) error { return h.note("reboot") }

func (h *host) told() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.did, ", ")
}

// A scene is a part in a bubble, whose sensors say what they are told.
type scene struct {
	t          *testing.T
	dir        string
	host       *host
	part       *power.Part
	conditions *health.Registry
	log        *bytes.Buffer

	mu     sync.Mutex
	sample power.Sample
}

func (s *scene) say(mains bool, charge, volts float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sample = power.Sample{Gauge: power.Gauge{Tried: true, Charge: &charge, Volts: volts}, Line: power.Line{Tried: true, Mains: mains}}
}

// play runs a part while the story is told.
func play(t *testing.T, dir, boot string, change func(*power.Config), story func(s *scene)) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{t: t, dir: dir, host: &host{at: time.Now()}, conditions: health.New(nil), log: new(bytes.Buffer)}
		book, err := power.OpenBook(dir, boot)
		if err != nil {
			t.Fatal(err)
		}
		set := func(name string) power.Effect {
			return power.Effect{Name: name, Set: func(_ context.Context, on bool) error { return s.host.note(fmt.Sprintf("%s %v", name, on)) }}
		}
		s.say(true, 0.9, 4.05)
		cfg := power.Config{
			Rules: power.DefaultRules(), Dir: dir, Book: book, Machine: s.host, Conditions: s.conditions, Log: logs.New(s.log, logs.Options{}),
			Plans:   power.Plans{OnBattery: []string{power.CapCPU}, Low: []string{power.FreezeUnits}},
			Effects: []power.Effect{set(power.CapCPU), set(power.FreezeUnits), set(power.ParkHailo)},
			Sense: func() power.Sample {
				s.mu.Lock()
				defer s.mu.Unlock()
				return s.sample
			},
			Goodbye: func(context.Context) error { return s.host.note("goodbye") },
			Cut:     func(_ context.Context, on bool) error { return s.host.note(fmt.Sprintf("cut %v", on)) },
		}
		if change != nil {
			change(&cfg)
		}
		s.part = power.New(cfg)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.part.Run(ctx) }()
		synctest.Wait()
		story(s)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (s *scene) mode(want power.Mode) {
	s.t.Helper()
	if got := s.part.Status().Get().Mode; got != want {
		s.t.Fatalf("mode %s, want %s; log:\n%s", got, want, s.log)
	}
}

func (s *scene) unready() bool { return len(s.conditions.Reasons()) > 0 }

// drain says what a battery says that runs down.
func (s *scene) drain(mains bool, from, to, volts float64, d time.Duration) {
	steps := int(d / (10 * time.Second))
	for i := range steps {
		c := from + (to-from)*float64(i+1)/float64(steps)
		s.say(mains, c, volts)
		pass(10 * time.Second)
	}
}

func TestActionsAreTakenAndTakenBack(t *testing.T) {
	play(t, t.TempDir(), "a", nil, func(s *scene) {
		pass(5 * time.Minute)
		s.mode(power.Mains)
		if s.host.told() != "" || s.unready() {
			t.Errorf("on mains: %s, unready %v", s.host.told(), s.unready())
		}
		s.say(false, 0.9, 4.0)
		pass(5 * time.Second)
		s.mode(power.OnBattery)
		s.drain(false, 0.9, 0.24, 3.7, 40*time.Minute)
		s.mode(power.Low)
		if !s.unready() {
			t.Error("a node with a low battery is ready")
		}
		s.say(true, 0.24, 3.8)
		pass(12 * time.Second)
		s.mode(power.Recovering)
		s.drain(true, 0.24, 0.4, 3.9, 30*time.Minute)
		s.mode(power.Mains)
		want := "5m4s cap_cpu true, 43m11s freeze_units true, 45m16s freeze_units false, 1h1m6s cap_cpu false"
		if got := s.host.told(); words(got) != words(want) {
			t.Errorf("did %s\nlike %s", got, want)
		}
		if s.unready() {
			t.Error("unready on mains")
		}
	})
}

// words are a story without its times.
func words(s string) (out string) {
	for part := range strings.SplitSeq(s, ", ") {
		_, what, _ := strings.Cut(part, " ")
		out += what + ", "
	}
	return out
}

func TestGoesDown(t *testing.T) {
	dir := t.TempDir()
	play(t, dir, "a", nil, func(s *scene) {
		pass(5 * time.Minute)
		s.say(false, 0.9, 4.0)
		s.drain(false, 0.9, 0.09, 3.6, 90*time.Minute)
		s.mode(power.Critical)
		st := s.part.Status().Get()
		if st.Countdown == nil || !strings.HasPrefix(st.Words, "OB DISCHRG LB") {
			t.Errorf("in the countdown: %+v", st)
		}
		pass(2 * time.Minute)
		s.mode(power.ShuttingDown)
		if got := s.host.told(); !strings.HasSuffix(words(got), "freeze_units true, freeze_units false, goodbye, cut true, off, off!, ") {
			t.Errorf("did %s, want a goodbye, the cut, and to be switched off, at last with force", got)
		}
		if got := s.part.Status().Get().Words; !strings.HasPrefix(got, "OB FSD") {
			t.Errorf("status %q", got)
		}
	})
	play(t, dir, "b", nil, func(s *scene) { // the next boot explains it, and takes back what was taken
		pass(10 * time.Second)
		book, err := power.OpenBook(dir, "b")
		if err != nil {
			t.Fatal(err)
		}
		told := power.Explain(book.Entries())
		if len(told) != 1 || !told[0].Known || told[0].By != power.ByBattery || told[0].Up == nil || !strings.Contains(told[0].Why, "By its charge the battery is critical") {
			t.Fatalf("explained as %+v", told)
		}
		if e := told[0].Evidence; e.Charge == nil || *e.Charge > 0.1 || len(e.Samples) == 0 || e.AC != power.ACNo {
			t.Errorf("evidence %+v", told[0].Evidence)
		}
		if got := words(s.host.told()); got != "cap_cpu false, " {
			t.Errorf("after the boot: %s", got)
		}
	})
}

func TestEmergencySaysNoGoodbye(t *testing.T) {
	play(t, t.TempDir(), "a", nil, func(s *scene) {
		pass(5 * time.Minute)
		s.say(false, 0.5, 3.3)
		pass(10 * time.Second)
		s.say(false, 0.5, 3.1)
		pass(20 * time.Second)
		if got := words(s.host.told()); !strings.HasSuffix(got, "cut true, off!, ") || strings.Contains(got, "goodbye") {
			t.Errorf("did %s", got)
		}
	})
}

// TestMainsOnTheWayDown: they boot the node anew, and the board keeps the power on.
func TestMainsOnTheWayDown(t *testing.T) {
	play(t, t.TempDir(), "a", nil, func(s *scene) {
		pass(5 * time.Minute)
		s.say(false, 0.5, 3.3)
		pass(10 * time.Second)
		s.say(false, 0.5, 3.1)
		pass(15 * time.Second)
		s.say(true, 0.5, 3.4)
		pass(10 * time.Second)
		if got := words(s.host.told()); !strings.HasSuffix(got, "cut true, off!, cut false, reboot, ") {
			t.Errorf("did %s", got)
		}
	})
}

func TestDryRunTouchesNothing(t *testing.T) {
	play(t, t.TempDir(), "a", func(c *power.Config) { c.DryRun = true }, func(s *scene) {
		pass(5 * time.Minute)
		s.drain(false, 0.9, 0.05, 3.6, 90*time.Minute)
		s.mode(power.ShuttingDown)
		if s.host.told() != "" || s.unready() {
			t.Errorf("in a dry run: did %q, unready %v", s.host.told(), s.unready())
		}
		if st := s.part.Status().Get(); !st.DryRun || !slices.Contains(st.Taken, power.FreezeUnits) {
			t.Errorf("status %+v does not tell what would have been done", st)
		}
		if !strings.Contains(s.log.String(), "would shut down now") {
			t.Error("the log does not say that it would shut down")
		}
		s.say(true, 0.5, 3.9)
		pass(time.Minute)
		s.mode(power.Mains) // and it goes on
		book, err := power.OpenBook(s.dir, "a")
		if err != nil || len(power.Explain(book.Entries())) != 0 {
			t.Errorf("a shutdown that did not come is explained: %v, %v", power.Explain(book.Entries()), err)
		}
	})
}

func TestAFailingActionIsTriedAgain(t *testing.T) {
	play(t, t.TempDir(), "a", nil, func(s *scene) {
		pass(time.Minute)
		s.host.fail = errors.New("read-only file system")
		s.say(false, 0.9, 4.0)
		pass(90 * time.Second)
		if n := strings.Count(s.host.told(), "cap_cpu true"); n != 3 {
			t.Errorf("tried %d times in 87 s, want 3", n)
		}
		if n := strings.Count(s.log.String(), "power action not taken"); n != 1 {
			t.Errorf("told %d times", n)
		}
	})
}

// TestBootLoop: a line that is stuck at "lost" shuts the node down three times, and
// not a fourth time.
func TestBootLoop(t *testing.T) {
	dir := t.TempDir()
	for boot := range 6 {
		play(t, dir, fmt.Sprint(boot), nil, func(s *scene) {
			// The wall clock of a bubble begins anew each time: like that of a Pi without
			// a battery for it.
			s.say(false, 0.05, 3.39)
			pass(12 * time.Minute)
			down := strings.Contains(s.host.told(), "off")
			if down != (boot < 3) {
				t.Errorf("boot %d: down %v, log:\n%s", boot, down, s.log)
			}
		})
	}
}

// TestWhatHangsPutsNothingOff: with an action that never comes back, and a board that never
// answers, the node goes down all the same, and the loop is alive.
func TestWhatHangsPutsNothingOff(t *testing.T) {
	hang := make(chan struct{})
	play(t, t.TempDir(), "a", func(c *power.Config) {
		c.Effects[0].Set = func(context.Context, bool) error { <-hang; return nil }
		c.Cut = func(context.Context, bool) error { <-hang; return nil }
	}, func(s *scene) {
		hang = make(chan struct{}) // of this bubble
		pass(5 * time.Minute)
		s.drain(false, 0.9, 0.09, 3.6, 90*time.Minute)
		pass(2 * time.Minute)
		s.mode(power.ShuttingDown)
		if got := words(s.host.told()); !strings.HasPrefix(got, "freeze_units true, freeze_units false, goodbye, off") {
			t.Errorf("did %s", got)
		}
		if err := s.part.Alive(); err != nil {
			t.Error(err)
		}
		close(hang)
	})
}

// TestAlive: a loop that hangs says so within the time of a watchdog.
func TestAlive(t *testing.T) {
	var hang chan struct{}
	play(t, t.TempDir(), "a", func(c *power.Config) {
		sense := c.Sense
		hang = make(chan struct{})
		go func() { time.Sleep(time.Minute); close(hang) }()
		c.Sense = func() power.Sample {
			if s := sense(); s.Line.Mains {
				return s
			}
			<-hang
			return power.Sample{}
		}
	}, func(s *scene) {
		pass(10 * time.Second)
		if err := s.part.Alive(); err != nil {
			t.Error(err)
		}
		s.say(false, 0.9, 4)
		pass(35 * time.Second)
		if err := s.part.Alive(); err == nil {
			t.Error("a loop that hangs passes for alive")
		}
		pass(time.Minute)
		if err := s.part.Alive(); err != nil {
			t.Errorf("when it goes on: %v", err)
		}
	})
}

// TestTakesWorkAgain: a node that its battery shut down waits for the charge that its owner
// wants, also when its agent is started anew meanwhile, and then waits no more.
func TestTakesWorkAgain(t *testing.T) {
	dir := t.TempDir()
	first := 0.9 // that a boot finds
	change := func(c *power.Config) {
		c.Start = 0.5
		sense := c.Sense
		c.Sense = func() power.Sample {
			s := sense()
			if *s.Gauge.Charge == 0.9 {
				s.Gauge.Charge = &first
			}
			return s
		}
	}
	unready := func(s *scene, want bool) {
		s.t.Helper()
		if s.unready() != want {
			s.t.Errorf("unready %v, want %v; log:\n%s", s.unready(), want, s.log)
		}
	}
	play(t, dir, "a", change, func(s *scene) {
		pass(5 * time.Minute)
		unready(s, false)
		s.say(false, 0.5, 3.3)
		pass(10 * time.Second)
		s.say(false, 0.5, 3.1)
		pass(20 * time.Second)
		s.mode(power.ShuttingDown)
	})
	first = 0.35
	for range 2 {
		play(t, dir, "b", change, func(s *scene) {
			s.say(true, 0.35, 3.8)
			pass(5 * time.Minute)
			s.mode(power.Mains)
			unready(s, true)
		})
	}
	play(t, dir, "b", change, func(s *scene) {
		s.say(true, 0.35, 3.8)
		pass(time.Minute)
		unready(s, true)
		s.drain(true, 0.35, 0.55, 3.9, 10*time.Minute)
		unready(s, false)
	})
	play(t, dir, "b", change, func(s *scene) {
		s.say(true, 0.4, 3.8)
		pass(time.Minute)
		unready(s, false)
	})
}
