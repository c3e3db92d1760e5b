package power

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"primespark/shared/health"
	"primespark/shared/run"
	"primespark/shared/watch"
)

// Times of the part.
const (
	tick         = time.Second
	sayGoodbye   = 20 * time.Second // to give leases away and to flush
	haltAgain    = 30 * time.Second // until a host that is still up is told again
	keepShedding = 10 * time.Minute // after everything has gone blind
	cutTime      = 10 * time.Second // to write to the board
	stalledAfter = 30 * time.Second // without a look: actions and files may hang for some seconds each
)

// A Machine is the host, as far as it can be switched off.
type Machine interface {
	// PowerOff begins to switch the host off. With force nobody is asked.
	PowerOff(ctx context.Context, force bool) error
	Reboot(ctx context.Context) error
}

// A Config is what a Part works with.
type Config struct {
	Rules  Rules
	Plans  Plans
	DryRun bool // everything is decided and told, and nothing is done
	// Start is the charge from which on a node takes work again that was shut down for its
	// battery; 0: from the start.
	Start float64
	Dir   string
	Book  *Book
	Sense func() Sample // the newest; what was given once is not tried again
	// News closes when there is another than the newest; may be nil.
	News func() <-chan struct{}
	// Order is what somebody wishes, and who of the site comes back before this node
	// when that has gone down by it; nil: nobody does.
	Order   func() (Order, []string)
	Effects []Effect
	Machine Machine
	// Goodbye gives away what others can do better, and puts on disk what must not be
	// lost. It has 20 s.
	Goodbye func(ctx context.Context) error
	// Entered is told of each mode as it begins; may be nil. It is told what is in
	// force: with DryRun, and while everything is blind, another one.
	Entered func(Mode)
	// Cut tells the board to cut the power once the host is down, or takes that back,
	// since after a boot anew it must not; nil if it cannot.
	Cut        func(ctx context.Context, on bool) error
	Conditions *health.Registry
	Log        *slog.Logger
}

// A Part watches the power while it runs. It shares its Status.
type Part struct {
	cfg     Config
	status  *watch.Value[Status]
	looked  atomic.Pointer[time.Time] // the last time that the loop came round
	effects *effects
	last    []Sample
	base    time.Time
	memory  Memory
	returns bool      // it was shut down for its battery, and has not the charge yet to work
	after   []string  // who of the site comes back first
	staged  Mode      // that was told of
	blind   time.Time // since when nothing is known
	kept    Mode      // before that
	halt    Action    // that is being done
	halting time.Time // when it was last told
	bye     chan struct{}
}

var _ run.Part = (*Part)(nil)

// New returns a part that has looked at nothing yet.
func New(cfg Config) *Part {
	p := &Part{cfg: cfg, status: watch.New(Status{Mode: Starting, DryRun: cfg.DryRun}), effects: newEffects(cfg.Effects, cfg.Dir, cfg.DryRun, cfg.Log)}
	p.returns = cfg.Start > 0 && !cfg.DryRun && cfg.Book.Drained(cfg.Start)
	p.looks()
	return p
}

// looks notes that the loop is alive.
func (p *Part) looks() { p.looked.Store(new(time.Now())) }

// Alive returns why nobody looks after the battery any more: the loop hangs. It is for who
// feeds the service manager's watchdog.
func (p *Part) Alive() error {
	if since := time.Since(*p.looked.Load()); since > stalledAfter {
		return fmt.Errorf("nobody has looked after the battery for %v", since.Round(time.Second))
	}
	return nil
}

func (*Part) String() string { return "power" }

// Status is what is known and done at the moment.
func (p *Part) Status() *watch.Value[Status] { return p.status }

// Before are those of its site who come back before this node.
func (p *Part) Before() []string { return p.cfg.Book.Before() }

// Run decides at each sample, and once a second without any, until ctx ends.
func (p *Part) Run(ctx context.Context) error {
	p.base = time.Now()
	looping := p.cfg.Book.Looping(time.Now())
	p.memory = p.cfg.Rules.Begin(0, looping)
	p.write(Entry{Page: Booted, Mode: Starting, Why: "The agent started."}, true)
	if p.cfg.DryRun {
		p.cfg.Log.Info("power.dry_run is set: what the battery asks for is told, and not done")
	}
	for {
		var news <-chan struct{} // none, ever
		patience := run.Due(tick)
		if p.cfg.News != nil {
			news, patience = p.cfg.News(), tick+tick/4
		}
		p.looks()
		p.step(ctx)
		if !until(ctx, news, patience) {
			break
		}
	}
	if p.bye != nil {
		<-p.bye // which ends with ctx
	}
	if err := p.cfg.Book.Save(); err != nil {
		p.cfg.Log.Warn("power book not written", "err", err)
	}
	return nil
}

// until waits for news, and for so long at most; false when ctx has ended.
func until(ctx context.Context, news <-chan struct{}, patience time.Duration) bool {
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-news:
	case <-t.C:
	case <-ctx.Done():
		return false
	}
	return true
}

// step takes one sample and does what follows.
func (p *Part) step(ctx context.Context) {
	s := p.cfg.Sense()
	if p.cfg.Order != nil {
		s.Order, p.after = p.cfg.Order()
	}
	if s.Gauge.Tried || s.Line.Tried {
		p.last = append(p.last, s)
		p.last = p.last[max(0, len(p.last)-bookSamples):]
	}
	var out []Action
	p.memory, out = p.cfg.Rules.Step(p.memory, s, time.Since(p.base))
	for _, a := range out {
		p.act(ctx, a)
	}
	p.again(ctx)
	p.rehearse()
	stage := p.stage()
	if p.cfg.Entered != nil && !p.cfg.DryRun && stage != p.staged {
		p.staged = stage
		p.cfg.Entered(stage)
	}
	if p.memory.Mode != ShuttingDown || p.cfg.DryRun {
		p.effects.reconcile(ctx, p.cfg.Plans.of(stage), p.memory.Mode)
	}
	p.recharged()
	p.conditions()
	p.show()
}

// stage is the mode whose actions are wanted: the present one, or for ten minutes
// the one before everything went blind.
func (p *Part) stage() Mode {
	if p.memory.Mode != Unknown {
		p.kept, p.blind = p.memory.Mode, time.Time{}
		return p.memory.Mode
	}
	if p.blind.IsZero() {
		p.blind = time.Now()
	}
	if time.Since(p.blind) < keepShedding {
		return p.kept
	}
	return Unknown
}

// act tells of an action and does it.
func (p *Part) act(ctx context.Context, a Action) {
	log := p.cfg.Log.With("mode", string(a.Mode), "why", a.Why)
	urgent := a.Mode.Atleast(Critical)
	switch a.Kind {
	case Enter:
		if a.Mode.Atleast(Low) {
			log.Warn("power mode", p.facts()...)
		} else {
			log.Info("power mode", p.facts()...)
		}
		if a.Mode != ShuttingDown {
			p.write(Entry{Page: Moved, Mode: a.Mode, Why: a.Why}, urgent)
		}
	case Count:
		log.Warn("the node shuts down unless the mains return", "in_s", (a.At - time.Since(p.base)).Round(time.Second).Seconds())
	case Cancel:
		log.Info("shutdown cancelled")
	case Raise:
		log.Warn("power alarm", "alarm", string(a.Alarm), "remedy", a.Alarm.Remedy())
	case Clear:
		log.Info("power alarm over", "alarm", string(a.Alarm))
	case Halt:
		e := Entry{Page: Halted, Mode: ShuttingDown, Why: a.Why, By: a.By}
		if a.By == BySite {
			e.After = p.after
		}
		p.write(e, true)
		p.halt, p.halting = a, time.Now()
		if p.cfg.DryRun {
			log.Warn("the node would shut down now, and power.dry_run keeps it up")
			return
		}
		// Nothing more is taken, and what is frozen has to end as well.
		p.effects.reconcile(ctx, slices.DeleteFunc(p.effects.taken(), func(name string) bool { return name == FreezeUnits }), ShuttingDown)
		p.goDown(ctx)
	case Restart:
		p.write(Entry{Page: Restarted, Mode: ShuttingDown, Why: a.Why}, true)
		if p.cfg.DryRun {
			return
		}
		if p.cfg.Cut != nil {
			if err := p.cut(ctx, false); err != nil {
				log.Warn("the board was told to cut the power, and that was not taken back", "err", err)
			}
		}
		if err := p.cfg.Machine.Reboot(ctx); err != nil {
			log.Warn("the host goes down and may stay so, though the mains are back", "err", err, "remedy", "switch it on by hand, or let the board do so: see power.restarts in the config")
		}
	}
}

// goDown says goodbye and switches the host off, beside the loop, which goes on
// watching the mains. In an emergency there is no time for goodbyes.
func (p *Part) goDown(ctx context.Context) {
	if p.bye != nil {
		return
	}
	p.bye = make(chan struct{})
	a, log := p.halt, p.cfg.Log.With("why", p.halt.Why)
	go func() { // Run waits for it
		defer close(p.bye)
		if !a.Force && p.cfg.Goodbye != nil {
			bye, cancel := context.WithTimeout(ctx, sayGoodbye)
			if err := p.cfg.Goodbye(bye); err != nil {
				log.Warn("not all was given away or put on disk", "err", err, "next", "the shutdown goes on")
			}
			cancel()
		}
		if p.cfg.Cut != nil {
			if err := p.cut(ctx, true); err != nil {
				log.Warn("the board was not told to cut the power after the shutdown", "err", err, "remedy", "switch it off by hand, or the halted node drains the battery")
			}
		}
		log.Warn("switching the host off")
		if err := p.cfg.Machine.PowerOff(ctx, a.Force); err != nil {
			log.Error("the host was not switched off, trying again", "err", err, "again_s", haltAgain.Seconds(),
				"remedy", "let the agent's user switch the host off: the package installs a rule for polkit that does")
		}
	}()
}

// cut tells the board. Neither a bus nor a disk that hangs keeps the host up for that.
func (p *Part) cut(ctx context.Context, on bool) error {
	return new(aside).do(cutTime, func() error {
		ctx, cancel := context.WithTimeout(ctx, cutTime)
		defer cancel()
		return p.cfg.Cut(ctx, on)
	})
}

// again tells a host that is still up after a while, with force.
func (p *Part) again(ctx context.Context) {
	if p.halt.Kind != Halt || p.cfg.DryRun || time.Since(p.halting) < haltAgain+sayGoodbye {
		return
	}
	p.halting = time.Now()
	if err := p.cfg.Machine.PowerOff(ctx, true); err != nil {
		p.cfg.Log.Error("the host was not switched off, trying again", "err", err, "again_s", (haltAgain + sayGoodbye).Seconds())
	}
}

// rehearse begins anew after a shutdown that dry_run kept from coming.
func (p *Part) rehearse() {
	m, now := p.memory, time.Since(p.base)
	if p.cfg.DryRun && m.Mode == ShuttingDown && m.acFor.On && now-m.acFor.Since >= p.cfg.Rules.Back {
		p.memory, p.halt = p.cfg.Rules.Begin(now, m.looping), Action{}
	}
}

func (p *Part) write(e Entry, urgent bool) {
	e.At, e.Dry = time.Now().UTC(), p.cfg.DryRun
	e.Evidence = p.cfg.Rules.evidence(p.memory, p.last)
	if err := p.cfg.Book.Add(e, urgent); err != nil {
		p.cfg.Log.Warn("what happened to the power is not kept", "err", err, "remedy", "see that the disk has room and is writable")
	}
}

// facts are what the log says with a change of the mode.
func (p *Part) facts() []any {
	e := p.cfg.Rules.evidence(p.memory, nil)
	out := []any{"mains", string(e.AC), "cell_volts", e.Volts, "limits", e.Limits}
	if e.Charge != nil {
		out = append(out, "state_of_charge", *e.Charge, "charge_from", string(e.From))
	}
	if e.Minutes != nil {
		out = append(out, "minutes_left", *e.Minutes)
	}
	return out
}

// recharged ends the wait of a node that was shut down for its battery. A charge that nobody
// knows is not waited for.
func (p *Part) recharged() {
	c := p.memory.Charge().Value
	if !p.returns || p.memory.Mode == Starting || c >= 0 && c < p.cfg.Start {
		return
	}
	p.returns = false
	why := fmt.Sprintf("The battery has %.0f %% again: the node takes work.", 100*c)
	if c < 0 {
		why = "Nobody knows the battery's charge: the node takes work."
	}
	p.cfg.Log.Info("power allows for work again", "why", why, "min_soc_to_start", p.cfg.Start)
	p.write(Entry{Page: Recharged, Mode: p.memory.Mode, Why: why}, false)
}

// conditions keeps those of the power. A node with a low battery serves its own
// host only.
func (p *Part) conditions() {
	c := p.cfg.Conditions
	switch m := p.stage(); {
	case m.Atleast(Low) && !p.cfg.DryRun:
		c.Set(health.LowBattery, health.Unready, p.memory.Why, "Bring the mains back; until then the node serves its own host only, and shuts down before its cells take harm.")
	case p.returns:
		c.Set(health.LowBattery, health.Unready, fmt.Sprintf("The node was shut down for its battery, and works again when that has %.0f %%.", 100*p.cfg.Start),
			"Wait until it is charged; power.min_soc_to_start in the config sets from when on.")
	default:
		c.Clear(health.LowBattery)
	}
	alarms := p.memory.Alarmed()
	if len(alarms) == 0 {
		c.Clear(Trouble)
		return
	}
	worst := alarms[0]
	if slices.Contains(alarms, BootLoop) {
		worst = BootLoop
	}
	c.Set(Trouble, health.Warning, worst.sentence(), worst.Remedy())
}

// Trouble is the condition of a node whose power needs somebody to see to it.
const Trouble health.Code = "power"
