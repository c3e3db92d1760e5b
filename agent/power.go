package agent

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"primespark/agent/battery"
	"primespark/agent/config"
	"primespark/agent/infer"
	"primespark/agent/power"
	"primespark/agent/power/logind"
	"primespark/shared/conf"
	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/run"
	"primespark/shared/watch"
)

// newPower makes the part that acts by the battery. goodbye is called before the
// node goes down by itself.
func newPower(cfg config.Config, samples *watch.Value[battery.Sample], b *brakes, view func() fleet.View, goodbye func(context.Context) error, end func(), out Outside, conditions *health.Registry, log *slog.Logger) *power.Part {
	book, err := power.OpenBook(cfg.StateDir, bootID())
	if err != nil {
		log.Warn("why the node went down before cannot be told any more", "err", err)
	}
	host := machine(cfg, end, out)
	return power.New(power.Config{
		Rules: powerRules(cfg), Plans: power.Plans{OnBattery: cfg.Power.Actions.OnBattery, Low: cfg.Power.Actions.Low, Critical: cfg.Power.Actions.Critical},
		DryRun: cfg.Power.DryRun, Start: cfg.Power.MinToStart, Dir: cfg.StateDir, Book: book, Sense: sense(samples), News: func() <-chan struct{} { _, news := samples.Load(); return news }, Order: siteOrder(cfg, view), Effects: effects(cfg, b, host),
		Machine: host, Goodbye: goodbye, Cut: cutter(cfg), Conditions: conditions, Log: log,
		Entered: func(m power.Mode) { b.shed(cfg.Power, m) },
	})
}

// siteOrder is what the nodes of the site, as gossip shows them, mean for this one.
// Each reckons for itself, so that it works with the coordinators gone, too.
func siteOrder(cfg config.Config, view func() fleet.View) func() (power.Order, []string) {
	if cfg.Site == "" {
		return nil
	}
	return func() (power.Order, []string) {
		down, after := view().SiteTurn(cfg.Site, cfg.Name)
		if down {
			return power.SiteOrder, after
		}
		return power.NoOrder, after
	}
}

// returnTime is how long a node waits at most for those of its site who come back
// before it: they may be broken.
const returnTime = 5 * time.Minute

// comeBack keeps a node that the site shut down from taking work before those that
// are worth more are back, so that not all of them draw on mains that have just
// returned.
func comeBack(before []string, view func() fleet.View, conditions *health.Registry) run.Part {
	back := func(name string) bool {
		n, _ := view().Find(name)
		return n.Liveness == fleet.Alive
	}
	return run.Func("return of the site", func(ctx context.Context) error {
		for end := time.Now().Add(returnTime); time.Now().Before(end); {
			i := slices.IndexFunc(before, func(name string) bool { return !back(name) })
			if i < 0 {
				break
			}
			conditions.Set(health.Waiting, health.Unready, "This node waits for "+before[i]+" of its site to come back first.", "Wait for some minutes.")
			if !run.Sleep(ctx, run.Due(pulse)) {
				return nil
			}
		}
		conditions.Clear(health.Waiting)
		<-ctx.Done()
		return nil
	})
}

// machine is what is switched off: of a node whose battery is a simulation nothing
// but the agent.
func machine(cfg config.Config, end func(), out Outside) power.Machine {
	switch {
	case out.Machine != nil:
		return out.Machine
	case pretends(cfg):
		return pretended{end}
	}
	return logind.Host{}
}

// A pretended machine goes down by ending the agent.
type pretended struct{ end func() }

func (p pretended) PowerOff(context.Context, bool) error { p.end(); return nil }
func (p pretended) Reboot(context.Context) error         { p.end(); return nil }

// realHost reports whether what the battery asks for is done to a host, and not to a
// simulation of one.
func realHost(cfg config.Config, out Outside) bool {
	return out.Machine == nil && !pretends(cfg) && !cfg.Power.DryRun
}

// bootID names the kernel's boot; empty if it does not tell.
func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "" // each start counts as a boot then
	}
	return strings.TrimSpace(string(data))
}

// powerRules are the thresholds of a configuration.
func powerRules(cfg config.Config) power.Rules {
	r, t, d := power.DefaultRules(), cfg.Power.Thresholds, cfg.Power.Timing
	r.LowCharge, r.LowVolts, r.LowMinutes = t.Low, t.LowVolts, t.LowMinutes.D().Minutes()
	r.CriticalCharge, r.CriticalVolts, r.CriticalMinutes = t.Critical, t.CriticalVolts, t.CriticalMinutes.D().Minutes()
	r.EmergencyVolts, r.Hysteresis, r.OverloadVolts = t.EmergencyVolts, t.Hysteresis, t.OverloadVolts
	r.FloorVolts = min(r.FloorVolts, t.EmergencyVolts)
	for to, from := range map[*time.Duration]conf.Duration{
		&r.Lost: d.Lost, &r.Back: d.Back, &r.Dwell: d.Dwell, &r.Countdown: d.Countdown, &r.BlindMost: d.BlindMost, &r.Grace: d.Grace, &r.Shutdown: d.Shutdown,
	} {
		*to = from.D()
	}
	r.Cycles = cfg.Power.Restarts == "yes" || cfg.Power.Restarts == config.Auto && slices.Contains([]string{"waveshare-e", "spc", "upsplus"}, cfg.Battery.Source)
	// Of a chip alone the voltage tells of the mains; all others know of them somehow.
	r.Line = cfg.Battery.Source != "max1704x" || lineOf(cfg.Battery) != nil
	r.Capacity, r.Ohms = cfg.Battery.Capacity/1000, cfg.Battery.CellOhm
	return r
}

// sense gives each sample once, as the rules want it.
func sense(samples *watch.Value[battery.Sample]) func() power.Sample {
	var last time.Time
	return func() power.Sample {
		s := samples.Get()
		if s.At.IsZero() || s.At.Equal(last) {
			return power.Sample{}
		}
		last = s.At
		return sampleOf(s)
	}
}

func sampleOf(s battery.Sample) power.Sample {
	g := s.Gauge
	out := power.Sample{Gauge: power.Gauge{
		Tried: true, Volts: float64(g.Volts), Amps: known(g.Amps), Rate: known(g.PerHour), Minutes: known(g.Minutes), Watts: g.Load, Request: g.Shutdown,
	}}
	if g.Charge.Known {
		c := float64(g.Charge.Value)
		out.Gauge.Charge = &c
	}
	if out.Gauge.Watts == 0 {
		out.Gauge.Watts = s.Supply.Watts
	}
	if s.GaugeErr != nil {
		out.Gauge = power.Gauge{Tried: true, Err: s.GaugeErr.Error()}
	}
	switch mains := s.Mains(); {
	case s.LineErr != nil:
		out.Line = power.Line{Tried: true, Err: s.LineErr.Error()}
	case mains.Known:
		out.Line = power.Line{Tried: true, Mains: mains.Value}
	case s.GaugeErr != nil: // whose register would have told
		out.Line = power.Line{Tried: true, Err: s.GaugeErr.Error()}
	}
	return out
}

func known(m battery.Maybe[float64]) *float64 {
	if !m.Known {
		return nil
	}
	return &m.Value
}

// effects are the actions that this node can take.
func effects(cfg config.Config, b *brakes, host power.Machine) []power.Effect {
	hold := func(v *watch.Value[bool]) func(context.Context, bool) error {
		return func(_ context.Context, on bool) error { v.Store(on); return nil }
	}
	cpu := power.Processor{MHz: cfg.Power.CPUCap, Dir: cfg.StateDir}
	all := []power.Effect{
		{Name: power.RefuseLoads, Set: func(_ context.Context, on bool) error { b.loads.Store(on); return nil }},
		{Name: power.PauseRollouts, Set: hold(b.fetch)},
		{Name: power.ShedWork, Set: func(_ context.Context, on bool) error { b.sheds.Store(on); return nil }},
		{Name: power.PauseSync, Set: hold(b.sync)},
		{Name: power.ParkHailo, Set: hold(b.chip)},
	}
	if pretends(cfg) {
		return all // the host itself is none of its business
	}
	all = append(all, power.Effect{Name: power.CapCPU, Set: func(_ context.Context, on bool) error { return cpu.Cap(on) }})
	if freezer, ok := host.(interface {
		Freeze(ctx context.Context, units []string, on bool) error
	}); ok && len(cfg.Power.Freeze) > 0 {
		all = append(all, power.Effect{Name: power.FreezeUnits, Set: func(ctx context.Context, on bool) error { return freezer.Freeze(ctx, cfg.Power.Freeze, on) }})
	}
	return all
}

// shed sets from which priority on work is refused in a mode, if any is.
func (b *brakes) shed(cfg config.Power, m power.Mode) {
	from := infer.MaxPriority + 1
	switch {
	case m.Atleast(power.Critical):
		from = cfg.Shed.Critical
	case m.Atleast(power.Low):
		from = cfg.Shed.Low
	case m.Atleast(power.OnBattery):
		from = cfg.Shed.OnBattery
	}
	b.from.Store(int32(from))
}

// goodbye lets what is under way end, and tells everybody that nothing new is
// taken.
func (n node) goodbye(ctx context.Context) error {
	n.conditions.Set(health.GoingDown, health.Unready, "The host is being switched off.", "Ask another node.")
	for run.Sleep(ctx, pulse) {
		if n.registry.InFlight() == 0 && n.registry.Queue() == 0 {
			run.Sleep(ctx, farewell)
			return nil
		}
	}
	return ctx.Err()
}

// powerOf is the power as the fleet is told of it: what the sensors say, and what
// the rules make of it.
func powerOf(sensed func() fleet.Power, status *watch.Value[power.Status]) func() fleet.Power {
	return func() fleet.Power {
		p, s := sensed(), status.Get()
		if s.DryRun {
			return p // nobody is to act by what is only rehearsed
		}
		p.State = fleet.PowerState(s.Mode)
		switch s.Mode {
		case power.Mains, power.Recovering:
			p.Source = fleet.Mains
		case power.OnBattery, power.Low, power.Critical:
			p.Source = fleet.Battery
		}
		p.Minutes = nil
		if p.Source == fleet.Battery {
			p.Minutes = s.Minutes
		}
		if s.Charge != nil {
			p.Charge = s.Charge
		}
		return p
	}
}
