package onnxruntime

import (
	"log/slog"
	"time"

	"primespark/shared/watch"
	"primespark/shared/worker"
)

// Config says how to use ONNX Runtime. Zero values stand for what is said.
type Config struct {
	Library string        // path of libonnxruntime; empty: found
	Worker  string        // path of the worker; empty: found
	Socket  string        // where systemd starts the worker, if not this process; see worker.UnitSocket
	Root    string        // where the host's files are; "/"
	Dir     string        // where the worker lives; must exist
	Threads int           // that share the work of one inference; 1
	Wanted  bool          // that it is missing is a fault
	Memory  int64         // bytes that the worker may have of its own, all models together; 1 GiB
	Depth   int           // inferences of a model that may be under way; 2
	Cap     time.Duration // the longest that one inference may take; 10 s
	Log     *slog.Logger  // nil: none
	// Recheck is how often a host that lacks something is looked at again; a minute.
	Recheck time.Duration
}

// DefaultMemory is what a worker may have of its own unless told otherwise.
const DefaultMemory = 1 << 30

// A Supervisor keeps one worker running, with all models loaded; see
// worker.Supervisor. It is safe to share.
type Supervisor struct {
	*worker.Supervisor
	engine *engine
}

// New returns a supervisor that has looked at nothing yet.
func New(cfg Config) *Supervisor {
	if cfg.Root == "" {
		cfg.Root = "/"
	}
	cfg.Threads, cfg.Depth = max(1, cfg.Threads), max(0, cfg.Depth)
	if cfg.Depth == 0 {
		cfg.Depth = 2 // one is computed while the next one's tensors are copied
	}
	if cfg.Memory <= 0 {
		cfg.Memory = DefaultMemory
	}
	if cfg.Recheck <= 0 {
		cfg.Recheck = time.Minute // a look goes through the directories of libraries
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	e := &engine{cfg: cfg, status: watch.New(worker.Status{State: worker.StateStarting})}
	return &Supervisor{worker.New(worker.Config{
		Name: "onnxruntime", Engine: e, Dir: cfg.Dir, Depth: cfg.Depth, Cap: cfg.Cap, Frees: true, Lazy: true, Log: cfg.Log, Recheck: cfg.Recheck,
	}), e}
}

// Status is how the engine fares, newest first.
func (s *Supervisor) Status() *watch.Value[worker.Status] { return s.engine.status }
