package hailo

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"primespark/hailo/frame"
	"primespark/shared/run"
	"primespark/shared/watch"
)

// ErrDown means that the chip is out of service, for a while or for good. It
// wraps or comes with a *Down that says why.
var ErrDown = errors.New("hailo is out of service")

// A Down is why the chip is out of service.
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

// Config says how to use the chip. Zero values stand for what is said.
type Config struct {
	Host    Host          // where to look
	Library string        // path of libhailort; empty: found
	Workers []Worker      // the programs that can serve, the preferred one first; see FindWorkers
	Share   bool          // with other programs, through hailort.service
	Dir     string        // where the worker lives and logs; must exist
	Depth   int           // inferences of one model at a time; 4
	Cap     time.Duration // the longest that one inference may take; 10 s
	MaxRSS  uint64        // bytes by which a worker may grow while it has the same models; 512 MiB
	Warm    float64       // °C at which the chip is told to be warm; 85
	Hot     float64       // and hot; 95. Its makers let it run to 105, and it protects itself before that
	Log     *slog.Logger  // nil: none
	// Recheck is how often a host that lacks something is looked at again; 15 s.
	Recheck time.Duration
}

// Dead-man timers of a worker: how long each kind of request may take.
const (
	helloTime  = 5 * time.Second
	pythonTime = 20 * time.Second // Hello of the worker in Python, which reads its modules from an SD card
	deviceTime = 10 * time.Second // the firmware answers, or its driver gives up after some seconds
	loadTime   = 30 * time.Second
	pingEvery  = 2 * time.Second
	pingTime   = 5 * time.Second
	senseEvery = 10 * time.Second
	senseTime  = 10 * time.Second
	byeTime    = 3 * time.Second
)

// A Supervisor keeps one worker running, with all models loaded. It is a part:
// Run does the work, and the rest may be used while it runs. It is safe to share.
type Supervisor struct {
	cfg     Config
	status  *watch.Value[Status]
	changed chan struct{} // 1 deep: the models that are wanted have changed

	mu     sync.Mutex
	models []*Model      // that are wanted
	gen    *generation   // that runs; nil between two
	down   *Down         // why there is none; nil while one is being started
	turn   chan struct{} // closed when gen or down change

	// Of Run alone:
	stuck  *generation // whose worker could not be ended yet
	python bool        // the other worker does not know this version of the library
	pause  func(time.Duration) time.Duration
}

// New returns a supervisor that has looked at nothing yet.
func New(cfg Config) *Supervisor {
	def(&cfg.Depth, 4)
	def(&cfg.Cap, 10*time.Second)
	def(&cfg.MaxRSS, 512<<20)
	def(&cfg.Warm, 85)
	def(&cfg.Hot, 95)
	def(&cfg.Recheck, 15*time.Second)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Supervisor{
		cfg: cfg, status: watch.New(Status{State: StateStarting, Simulated: cfg.simulated()}),
		changed: make(chan struct{}, 1), turn: make(chan struct{}), pause: jitter,
	}
}

func def[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// String is the name of the part, for logs.
func (*Supervisor) String() string { return "hailo" }

// Status is how the chip fares, newest first.
func (s *Supervisor) Status() *watch.Value[Status] { return s.status }

// Down returns why nothing can be asked of the chip now, or nil. While a worker
// is being started, or replaced as planned, it is nil: that takes a moment.
func (s *Supervisor) Down() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down == nil {
		return nil
	}
	return s.down
}

// Run keeps a worker running until ctx ends.
func (s *Supervisor) Run(ctx context.Context) error {
	var p policy
	for ctx.Err() == nil {
		run.Sleep(ctx, s.once(ctx, &p))
	}
	s.turned(nil, &Down{Finding: fault(Unknown, "Ask another node.", "The node is shutting down.")})
	s.status.Update(func(st Status) Status { st.State = StateStopped; return st })
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
	if s.status.Get().State == StateAbsent && len(s.cfg.Host.chips()) == 0 {
		return s.cfg.Recheck // most nodes have none, and a whole look costs more
	}
	facts, worker, down := s.look()
	if down != nil {
		s.fell(*down, facts, 0)
		return s.cfg.Recheck
	}
	s.expect()
	s.status.Update(func(st Status) Status {
		st.State, st.Facts, st.Cause, st.Findings = StateStarting, facts, nil, Hints(facts)
		return st
	})
	began := time.Now()
	gen, err := s.start(ctx, worker, facts)
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
	if planned, ok := errors.AsType[*plan](err); ok && !errors.Is(err, errWedged) {
		s.cfg.Log.Info("worker replaced", "why", planned.why)
		s.restarted(planned.why)
		return 0
	}
	if s.unknown(err) {
		return 0
	}
	p.lived(time.Since(began))
	found := s.found(err, gen)
	if interrupted(err) && p.spared() {
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
	s.fell(Down{found, err, next}, facts, wait)
	return wait
}

// expect notes that a worker is being started. After a fault the chip stays out
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

// unknown reports whether the worker does not know the library, and another one,
// which comes with the library, may: that is tried next.
func (s *Supervisor) unknown(err error) bool {
	failure, ok := errors.AsType[*frame.Failure](err)
	if !ok || s.python || failure.Status != frame.Unknown && failure.Status != frame.Layout {
		return false
	}
	s.python = slices.ContainsFunc(s.cfg.Workers, func(w Worker) bool { return w.Kind == "python" })
	if s.python {
		s.cfg.Log.Warn("the Python worker takes over, the other one does not know this HailoRT", "err", err)
	}
	return s.python
}

// look probes the host, and decides who is to serve.
func (s *Supervisor) look() (Facts, Worker, *Down) {
	facts := s.probe()
	for _, f := range Diagnose(facts) {
		if f.Severity == Fault || f.Code == Absent {
			return facts, Worker{}, &Down{Finding: f}
		}
	}
	w, err := choose(s.cfg.Workers, facts, s.python)
	if err != nil {
		return facts, w, &Down{Finding: fault(WorkerMissing, "Install the package prime-spark-agent anew, or give the worker's path in hailo.worker.", "The Hailo cannot be served: %v.", err)}
	}
	return facts, w, nil
}

func (s *Supervisor) probe() Facts { return s.cfg.Facts() }

// Facts are what the host tells, with the library that the configuration names.
func (c Config) Facts() Facts {
	facts := Probe(c.Host)
	if c.Library != "" {
		facts.Libraries = []Library{{Path: c.Library, Version: libraryVersion(c.Library)}}
		facts.Simulated = c.simulated()
	}
	return facts
}

// simulated reports whether the library that was named is a double: a real one's
// file bears its version.
func (c Config) simulated() bool { return c.Library != "" && libraryVersion(c.Library) == (Version{}) }

// found is the finding that an error of a worker stands for.
func (s *Supervisor) found(err error, gen *generation) Finding {
	facts := s.probe()
	if errors.Is(err, errWedged) {
		return fault(Wedged, "sudo reboot", "The Hailo's driver hangs, and its worker cannot be ended.")
	}
	if failure, ok := errors.AsType[*frame.Failure](err); ok {
		log := ""
		if gen != nil {
			log = gen.proc.last.error()
			if failure.Status == frame.NoLibrary && gen.proc.python {
				return s.noPython(failure, facts)
			}
		}
		if failure.Status == frame.NoLibrary && s.cfg.Library != "" {
			return fault(RuntimeMissing, "Correct hailo.library, or leave it out: then the HailoRT that is installed is found.", "The library that hailo.library names cannot be used: %s.", words(failure, ""))
		}
		return Explain(failure, log, facts)
	}
	for _, f := range Diagnose(facts) {
		if f.Severity == Fault {
			return f // the host tells a better reason than the worker's end does
		}
	}
	text := err.Error()
	if gen != nil {
		if last := gen.proc.last.error(); last != "" {
			text += "; its last word: " + last
		}
	}
	return warning(InferAborted, "It is started again by itself; if that goes on, send the output of prime-spark-agent hailo selftest --json.", "The Hailo's worker failed: %s.", text)
}

// noPython is the finding of a library that only the worker in Python serves, and
// whose Python package cannot be used.
func (s *Supervisor) noPython(failure *frame.Failure, facts Facts) Finding {
	remedy := "sudo apt install python3-hailort python3-numpy"
	if chip, _ := facts.Chip(); chip.SoC() {
		remedy = "sudo apt install python3-h10-hailort python3-numpy"
	}
	which := "This HailoRT"
	if library, ok := facts.Library(); ok && library.Version != (Version{}) {
		which = "HailoRT " + library.Version.String()
	}
	return fault(Unsupported, remedy, "%s is served by the Python worker only, and what that needs cannot be used: %s.", which, words(failure, ""))
}

// turned tells those who wait what there is now.
func (s *Supervisor) turned(gen *generation, down *Down) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gen, s.down = gen, down
	close(s.turn)
	s.turn = make(chan struct{})
}

// fell notes that the chip is out of service, and says so once.
func (s *Supervisor) fell(d Down, facts Facts, wait time.Duration) {
	before := s.status.Get()
	s.turned(nil, &d)
	s.status.Update(func(st Status) Status {
		st.State, st.Facts, st.Cause, st.Worker, st.Utilization = d.Code.State(), facts, &d.Finding, WorkerStatus{}, nil
		st.Findings = Hints(facts)
		return st
	})
	if before.Cause != nil && before.Cause.Code == d.Code && before.Cause.Detail == d.Detail {
		return
	}
	level := slog.LevelWarn
	if d.Severity == Info {
		level = slog.LevelInfo // most nodes have no chip, and miss nothing
	}
	attrs := []any{"code", string(d.Code), "remedy", d.Remedy}
	if wait > 0 {
		attrs = append(attrs, "next_try_in", wait.String())
	}
	if d.Err != nil {
		attrs = append(attrs, "err", d.Err)
	}
	s.cfg.Log.Log(context.Background(), level, "hailo out of service", append(attrs, "why", d.Detail)...)
}

func (s *Supervisor) restarted(why string) {
	s.status.Update(func(st Status) Status {
		st.Restarts++
		st.LastRestart = why
		return st
	})
}
