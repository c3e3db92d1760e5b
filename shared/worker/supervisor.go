package worker

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"primespark/shared/run"
)

// ErrDown means that the engine is out of service, for a while or for good. It
// wraps or comes with a *Down that says why.
var ErrDown = errors.New("the engine is out of service")

// A Down is why the engine is out of service.
type Down struct {
	Finding
	Err   error     // what it was found by; may be nil
	Until time.Time // the next try; zero if nobody knows when one has a prospect
}

// shortly is a pause for which waiting is better than an answer that there is none.
const shortly = 3 * time.Second

// soon reports whether the next try is so near that one may wait for it.
func (d *Down) soon() bool { return !d.Until.IsZero() && time.Until(d.Until) < shortly }

func (d *Down) Error() string {
	if d.Err == nil || strings.Contains(d.Detail, d.Err.Error()) {
		return d.Detail
	}
	return strings.TrimSuffix(d.Detail, ".") + ": " + d.Err.Error()
}

// Unwrap makes errors.Is(err, ErrDown) true of every Down.
func (d *Down) Unwrap() []error {
	if d.Err == nil {
		return []error{ErrDown}
	}
	return []error{ErrDown, d.Err}
}

// Config says how to keep a worker. Zero values stand for what is said.
type Config struct {
	Name   string // of the part, for logs
	Engine Engine
	Dir    string        // where the worker lives and logs; must exist
	Depth  int           // inferences of one model at a time; 4
	Cap    time.Duration // the longest that one inference may take; 10 s
	MaxRSS uint64        // bytes by which a worker may grow while it has the same models; 512 MiB
	Frees  bool          // the engine can unload one model of several
	Lazy   bool          // no worker runs while there are no models
	Log    *slog.Logger  // nil: none
	// Recheck is how often a host that lacks something is looked at again; 15 s.
	Recheck time.Duration
}

// Dead-man timers of a worker: how long each kind of request may take.
const (
	helloTime  = 5 * time.Second
	loadTime   = 30 * time.Second
	unloadTime = 10 * time.Second
	pingEvery  = 2 * time.Second
	pingTime   = 5 * time.Second
	byeTime    = 3 * time.Second
)

// LoadTime is how long a model may take to load.
const LoadTime = loadTime

// A Supervisor keeps one worker running, with all models loaded. It is a part:
// Run does the work, and the rest may be used while it runs. It is safe to share.
type Supervisor struct {
	cfg     Config
	changed chan struct{} // 1 deep: the models that are wanted have changed

	mu     sync.Mutex
	models []*Model      // that are wanted
	gen    *generation   // that runs; nil between two
	down   *Down         // why there is none; nil while one is being started
	turn   chan struct{} // closed when gen or down change

	// Of Run alone:
	stuck *generation // whose worker could not be ended yet
	pause func(time.Duration) time.Duration
}

// New returns a supervisor that has looked at nothing yet.
func New(cfg Config) *Supervisor {
	def(&cfg.Depth, 4)
	def(&cfg.Cap, 10*time.Second)
	def(&cfg.MaxRSS, 512<<20)
	def(&cfg.Recheck, 15*time.Second)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Supervisor{cfg: cfg, changed: make(chan struct{}, 1), turn: make(chan struct{}), pause: jitter}
}

func def[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// String is the name of the part, for logs.
func (s *Supervisor) String() string { return s.cfg.Name }

// Depth is how many inferences of one model may be under way.
func (s *Supervisor) Depth() int { return s.cfg.Depth }

// Down returns why nothing can be asked of the engine now, or nil. While a worker
// is being started, or replaced as planned, it is nil: that takes a moment.
func (s *Supervisor) Down() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down == nil {
		return nil
	}
	return s.down
}

// Run keeps a worker running until ctx ends. With Park as the cause of that it may be run
// again.
func (s *Supervisor) Run(ctx context.Context) error {
	var p policy
	for ctx.Err() == nil {
		run.Sleep(ctx, s.once(ctx, &p))
	}
	why, parked := errors.AsType[*Down](context.Cause(ctx))
	if !parked {
		why = &Down{Finding: NewFault(Stopping, "Ask another node.", "The node is shutting down.")}
	}
	s.turned(nil, why)
	s.cfg.Engine.Update(func(st *Status) {
		st.State = StateStopped
		if parked {
			st.Cause, st.Worker, st.Models = &why.Finding, ProcessStatus{}, nil
		}
	})
	return nil
}

// once takes one worker from its start to its end and returns how long to wait
// before the next.
func (s *Supervisor) once(ctx context.Context, p *policy) time.Duration {
	if s.stuck != nil {
		select {
		case <-s.stuck.proc.ended:
			s.bury(s.stuck)
			s.stuck = nil
		default:
			return s.cfg.Recheck
		}
	}
	program, down := s.cfg.Engine.Look()
	if down != nil {
		s.fell(*down, 0)
		return s.cfg.Recheck
	}
	if s.cfg.Lazy && s.unused() {
		s.rest(ctx)
		return 0
	}
	s.expect()
	s.cfg.Engine.Update(func(st *Status) { st.State, st.Cause = StateStarting, nil })
	began := time.Now()
	gen, err := s.start(ctx, program)
	if err == nil {
		s.turned(gen, nil)
		err = s.attend(ctx, gen)
		s.turned(nil, nil) // whoever comes now waits
	}
	if gen != nil {
		err = errors.Join(err, s.stop(ctx, gen, err))
	}
	if ctx.Err() != nil {
		return 0
	}
	if errors.Is(err, errUnused) && !errors.Is(err, ErrWedged) {
		return 0
	}
	if planned, ok := errors.AsType[*plan](err); ok && !errors.Is(err, ErrWedged) {
		s.cfg.Log.Info("worker replaced", "why", planned.why)
		s.restarted(planned.why)
		return 0
	}
	if s.cfg.Engine.Again(err) {
		return 0
	}
	p.lived(time.Since(began))
	var proc *Process
	if gen != nil {
		proc = gen.proc
		if words := proc.last.all(); len(words) > 0 {
			s.cfg.Log.Warn("worker failed", "pid", proc.PID, "its last words", strings.Join(words[max(0, len(words)-wordLines):], "\n"))
		}
	}
	found := s.cfg.Engine.Found(err, proc)
	if s.interrupted(err) && p.spared() {
		s.cfg.Log.Info("worker replaced", "why", found.Detail)
		s.restarted(found.Detail)
		return 0
	}
	wait := s.pause(p.failed(time.Now()))
	s.restarted(found.Detail)
	next := time.Now().Add(wait)
	if s.stuck != nil {
		next, wait = time.Time{}, 0 // nobody knows when the kernel lets go of it
	}
	s.fell(Down{found, err, next}, wait)
	return wait
}

// errUnused is a reason to end a worker: its last model left.
var errUnused = errors.New("no model uses it")

// unused reports whether no model is wanted.
func (s *Supervisor) unused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.ContainsFunc(s.models, func(m *Model) bool { return !m.closed })
}

// rest waits until a model comes, or the host is to be looked at again.
func (s *Supervisor) rest(ctx context.Context) {
	if now := s.cfg.Engine.Now(); now.State != StateIdle {
		s.turned(nil, nil)
		s.cfg.Engine.Update(func(st *Status) { st.State, st.Cause, st.Worker, st.Models = StateIdle, nil, ProcessStatus{}, nil })
	}
	again := time.NewTimer(s.cfg.Recheck)
	defer again.Stop()
	select {
	case <-s.changed:
	case <-again.C:
	case <-ctx.Done():
	}
}

// expect notes that a worker is being started. After a fault the engine stays out
// of service until one runs, and those who have nobody else to ask may wait for it.
func (s *Supervisor) expect() {
	s.mu.Lock()
	down := s.down
	s.mu.Unlock()
	if down != nil {
		down = &Down{down.Finding, down.Err, time.Now()}
	}
	s.turned(nil, down)
}

// turned tells those who wait what there is now.
func (s *Supervisor) turned(gen *generation, down *Down) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gen, s.down = gen, down
	close(s.turn)
	s.turn = make(chan struct{})
}

// fell notes that the engine is out of service, and says so once.
func (s *Supervisor) fell(d Down, wait time.Duration) {
	before := s.cfg.Engine.Now()
	s.turned(nil, &d)
	s.cfg.Engine.Update(func(st *Status) {
		st.State, st.Cause, st.Worker = s.cfg.Engine.State(d.Code), &d.Finding, ProcessStatus{}
	})
	if before.Cause != nil && before.Cause.Code == d.Code && before.Cause.Detail == d.Detail {
		return
	}
	level := slog.LevelWarn
	if d.Severity == Info {
		level = slog.LevelInfo // most nodes have none, and miss nothing
	}
	attrs := []any{"code", string(d.Code), "remedy", d.Remedy}
	if wait > 0 {
		attrs = append(attrs, "next_try_in", wait.String())
	}
	if d.Err != nil {
		attrs = append(attrs, "err", d.Err)
	}
	s.cfg.Log.Log(context.Background(), level, s.cfg.Name+" out of service", append(attrs, "why", d.Detail)...)
}

func (s *Supervisor) restarted(why string) {
	s.cfg.Engine.Update(func(st *Status) {
		st.Restarts++
		st.LastRestart = why
	})
}

// wordLines is how many lines of a worker's standard error the log gets when it fails.
const wordLines = 10

// jitter is d give or take a tenth, so that nodes that failed together do not
// come back together.
func jitter(d time.Duration) time.Duration { return d*9/10 + rand.N(d/5+1) }
