package hailo

import (
	"log/slog"
	"time"

	"primespark/shared/watch"
	"primespark/shared/worker"
)

// What the chip's worker has in common with those of other engines.
type (
	Down    = worker.Down
	Refused = worker.Refused
	Model   = worker.Model
	Spec    = worker.Spec
	Timing  = worker.Timing
)

// The errors of a Supervisor and its models.
var (
	ErrDown   = worker.ErrDown   // the chip is out of service: a *Down says why
	ErrClosed = worker.ErrClosed // the model was closed
)

// Config says how to use the chip. Zero values stand for what is said.
type Config struct {
	Host    Host          // where to look
	Library string        // path of libhailort; empty: found
	Workers []Worker      // the programs that can serve, the preferred one first; see FindWorkers
	Socket  string        // where systemd starts the worker in C, if not this process; see worker.UnitSocket
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

// A Supervisor keeps one worker running, with all models loaded; see
// worker.Supervisor. It is safe to share.
type Supervisor struct {
	*worker.Supervisor
	engine *engine
}

// New returns a supervisor that has looked at nothing yet.
func New(cfg Config) *Supervisor {
	if cfg.Warm == 0 {
		cfg.Warm = 85
	}
	if cfg.Hot == 0 {
		cfg.Hot = 95
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	first := Status{Status: worker.Status{State: StateStarting}, Simulated: cfg.simulated()}
	e := &engine{cfg: cfg, status: watch.New(first)}
	return &Supervisor{worker.New(worker.Config{
		Name: "hailo", Engine: e, Dir: cfg.Dir, Depth: cfg.Depth, Cap: cfg.Cap, MaxRSS: cfg.MaxRSS, Log: cfg.Log, Recheck: cfg.Recheck,
	}), e}
}

// Status is how the chip fares, newest first.
func (s *Supervisor) Status() *watch.Value[Status] { return s.engine.status }

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
