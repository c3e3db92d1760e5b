package models

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/agent/infer"
	"primespark/agent/infer/image"
	"primespark/agent/infer/post"
	"primespark/agent/models/blazeface"
	"primespark/agent/models/shelf"
	"primespark/shared/conf"
	"primespark/shared/fleet"
	"primespark/shared/model"
	"primespark/shared/problem"
	"primespark/shared/tensor"
)

// Config says which models there are and what they may take.
type Config struct {
	Backends []infer.Backend       // the engines of the node
	Prefer   []string              // order in which engines are tried; empty: that of each manifest
	Dir      string                // of package folders; empty or missing: only the embedded ones
	Embedded map[string]Files      // nil: BlazeFace
	Stock    Stock                 // packages that the fleet gave; nil: none
	Shelf    shelf.Shelf           // HEF files to make packages of, when they are asked for
	Load     []string              // models on the shelf that are loaded at the start
	Memory   int64                 // for all models together, in bytes; 0: no bound
	Queue    int                   // requests that wait for an engine; 0: 16
	Images   image.Limits          // zero: image.Default
	Hold     func() error          // why no model is loaded for a request now; nil: go ahead
	Free     func() (int64, error) // bytes that the host has before it swaps; nil: nobody looks
	Results  Results               // that were computed before; nil: none are kept
	Log      *slog.Logger          // nil: none
	Metrics  prometheus.Registerer // nil: none
}

// Files is a package in memory: contents by file name.
type Files map[string][]byte

// A Registry is the models of a node. It is safe to share. Run loads what there
// is, so that whoever asks earlier is told that the model is not ready yet.
type Registry struct {
	cfg      Config
	queues   map[string]*infer.Queue // by engine
	decoders *infer.Queue            // bounds how many images are decoded at a time
	changing chan struct{}           // holds a token while a model is loaded or unloaded
	settled  chan struct{}
	waking   chan string // models that somebody asked for, to be loaded

	mu     sync.RWMutex
	models map[string]*entry
	took   map[string]time.Duration // to load a model, the last time
	needs  map[string]int64         // bytes that a model took or wanted, the last time
}

// An entry is what is known of one model.
type entry struct {
	status model.Status
	live   *live // nil unless it can answer
	// down says that the engine of a variant that comes before the one that answers,
	// or of all, was out of service when the model was loaded.
	down bool
	// cold says that the package is here and only memory was lacking: a request has it
	// loaded. Since is when that, or another loading, began.
	cold  bool
	since time.Time
}

// New returns a registry that holds nothing yet.
func New(cfg Config) (*Registry, error) {
	if cfg.Embedded == nil {
		cfg.Embedded = map[string]Files{blazeface.Name: blazeface.Files()}
	}
	if cfg.Queue == 0 {
		cfg.Queue = 16
	}
	if cfg.Images == (image.Limits{}) {
		cfg.Images = image.Default()
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = prometheus.NewRegistry()
	}
	r := &Registry{
		cfg:      cfg,
		queues:   map[string]*infer.Queue{},
		decoders: infer.NewQueue("the image decoder", min(2, runtime.GOMAXPROCS(0)), cfg.Queue),
		changing: make(chan struct{}, 1),
		settled:  make(chan struct{}),
		waking:   make(chan string, wakeful),
		models:   map[string]*entry{},
		took:     map[string]time.Duration{},
		needs:    map[string]int64{},
	}
	for _, b := range cfg.Backends {
		slots := 1
		if d, ok := b.(infer.Device); ok {
			slots = d.Parallel()
		}
		r.queues[b.Engine()] = infer.NewQueue("the engine "+b.Engine(), slots, cfg.Queue)
	}
	for name := range cfg.Embedded {
		r.models[name] = &entry{status: model.Status{Name: name, State: model.Loading, Reason: "starting"}}
	}
	return r, r.register()
}

// String is the name of the part, for logs.
func (r *Registry) String() string { return "models" }

// Run loads the embedded models and then those of the folder, and unloads them
// when ctx ends, after the last answers. What cannot be loaded is in the index, and
// tried again if it only took too long.
func (r *Registry) Run(ctx context.Context) error {
	var slow []string
	for _, name := range r.found() {
		if ctx.Err() != nil {
			break
		}
		// The reason is in the index and in the log.
		switch err := r.loadOnce(ctx, name); {
		case problem.Is(err, problem.NotFound):
			r.miss(name)
		case late(err):
			slow = append(slow, name)
		}
	}
	close(r.settled)
	var again sync.WaitGroup
	again.Go(func() { r.retry(ctx, slow) }) // ends with ctx
	r.follow(ctx)
	again.Wait()
	r.mu.Lock()
	var all []*live
	for _, e := range r.models {
		if e.live != nil {
			all = append(all, e.live)
			e.live, e.status.State, e.status.Reason = nil, model.Unavailable, "the node is shutting down"
		}
	}
	r.mu.Unlock()
	var errs []error
	for _, l := range all {
		errs = append(errs, <-l.retire())
	}
	for _, q := range r.queues {
		errs = append(errs, q.Close())
	}
	return errors.Join(append(errs, r.decoders.Close())...)
}

// Settled is closed once Run has tried every model that there was at its start.
func (r *Registry) Settled() <-chan struct{} { return r.settled }

// found lists the models that are to be loaded: the embedded ones, the folders, those
// of the stock, and those of the shelf that were asked for.
func (r *Registry) found() []string {
	names := r.folders(slices.Sorted(maps.Keys(r.cfg.Embedded)))
	if r.cfg.Stock != nil {
		names = append(names, slices.DeleteFunc(r.cfg.Stock.Names(), func(n string) bool { return slices.Contains(names, n) })...)
	}
	for _, name := range r.cfg.Load {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// miss notes that a model which the configuration names is nowhere.
func (r *Registry) miss(name string) {
	names := r.cfg.Shelf.Names()
	remedy := "correct hailo.load; or sudo apt install hailo-models"
	if near := conf.Nearest(name, names); near != "" {
		remedy = "did you mean " + near + " in hailo.load?"
	}
	r.refuse(name, fmt.Errorf("hailo.load names it, and no file in %s is of it", r.cfg.Shelf.Dir))
	r.cfg.Log.Warn("model is not on the shelf", "model", name, "dir", r.cfg.Shelf.Dir, "there_are", names, "remedy", remedy)
}

// folders adds the models that have a folder, or a .tar, to names.
func (r *Registry) folders(names []string) []string {
	if r.cfg.Dir == "" {
		return names
	}
	entries, err := os.ReadDir(r.cfg.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.cfg.Log.Warn("model folder unreadable", "dir", r.cfg.Dir, "err", err, "remedy", "make it readable for the agent")
	}
	for _, e := range entries {
		name := e.Name()
		if !e.IsDir() {
			name = strings.TrimSuffix(name, archiveSuffix)
		}
		if strings.HasPrefix(name, ".") || slices.Contains(names, name) {
			continue
		}
		if !model.ValidName(name) || !e.IsDir() && name == e.Name() {
			r.cfg.Log.Warn("not a model package, left alone", "path", filepath.Join(r.cfg.Dir, e.Name()),
				"remedy", "give a folder, or a .tar, named like the model, of a-z, 0-9, dot, underscore and hyphen")
			continue
		}
		names = append(names, name)
	}
	return names
}

// open finds the package of a model: a folder first, then a .tar, then what the fleet
// gave, so that whoever looks after the node has the last word, and an embedded model
// can be replaced.
func (r *Registry) open(name string) (source, error) {
	if r.cfg.Dir != "" && model.ValidName(name) {
		switch root, err := os.OpenRoot(filepath.Join(r.cfg.Dir, name)); {
		case err == nil:
			return folder{root}, nil
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("open the package: %w", err)
		}
		switch tar, err := openArchive(r.cfg.Dir, name); {
		case err == nil:
			return tar, nil
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	if from, err := r.inStock(name); !errors.Is(err, fs.ErrNotExist) {
		return from, err
	}
	if files, ok := r.cfg.Embedded[name]; ok {
		return embedded(files), nil
	}
	p, err := r.cfg.Shelf.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, r.unknown(name)
	}
	return shelved{p.Files, p.Paths}, err
}

// Index lists all models that were seen, or lie on the shelf, by name.
func (r *Registry) Index() []model.Status {
	shelf := r.cfg.Shelf.Names()
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make([]model.Status, 0, len(r.models)+len(shelf))
	for _, name := range slices.Sorted(maps.Keys(r.models)) {
		e := r.models[name]
		st := e.status
		if why := e.live.outage(); why != nil {
			st.Reason = e.live.excuse(why)
			if e.live.able() == nil {
				st.State = model.Unavailable
			}
		}
		all = append(all, st)
	}
	for _, name := range shelf {
		if r.models[name] == nil {
			all = append(all, r.shelved(name))
		}
	}
	slices.SortFunc(all, func(a, b model.Status) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// shelved is the status of a model that nobody has asked for yet.
func (r *Registry) shelved(name string) model.Status {
	return model.Status{Name: name, Version: "1", State: model.Unavailable, Reason: "in " + r.cfg.Shelf.Dir + ", and not loaded"}
}

// Serving lists the models that can answer, by name, those among them that the first
// request has loaded.
func (r *Registry) Serving() []fleet.Serving {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var all []fleet.Serving
	for _, name := range slices.Sorted(maps.Keys(r.models)) {
		e := r.models[name]
		if e.cold {
			all = append(all, fleet.Serving{Name: name, Version: e.status.Version, Cold: true})
		} else if l := e.live.able(); l != nil {
			all = append(all, fleet.Serving{
				Name: name, Version: l.Version, Backend: l.engine,
				Millis: float64(l.mean.Value()) / float64(time.Millisecond),
			})
		}
	}
	return all
}

// Ready reports whether a model can answer; version "" is any.
func (r *Registry) Ready(name, version string) bool {
	l, err := r.find(name, version)
	if err != nil {
		return false
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return l.able() != nil
}

// Metadata describes a model that can answer; version "" is the one there is.
func (r *Registry) Metadata(name, version string) (model.Metadata, error) {
	l, err := r.find(name, version)
	if err != nil {
		if w := r.wake(name); w != nil { // whoever asks is about to use it
			return model.Metadata{}, w
		}
		return model.Metadata{}, err
	}
	return model.Metadata{
		Name: name, Versions: []string{l.Version}, Platform: "onnx_" + l.engine,
		Inputs: l.inputs(-1), Outputs: l.outputs(-1),
		Image: l.converter != nil, Postprocess: post.Output(l.Postprocess.Kind),
	}, nil
}

// InFlight is how many inferences run now.
func (r *Registry) InFlight() int { running, _ := r.load(); return running }

// Queue is how many requests wait for their turn.
func (r *Registry) Queue() int { _, waiting := r.load(); return waiting }

func (r *Registry) load() (running, waiting int) {
	for _, q := range r.queues {
		n, w := q.Load()
		running, waiting = running+n, waiting+w
	}
	n, w := r.decoders.Load()
	return running + n, waiting + w
}

// find returns a model that can answer, or a problem that says why it cannot.
func (r *Registry) find(name, version string) (*live, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	e, ok := r.models[name]
	if !ok && slices.Contains(r.cfg.Shelf.Names(), name) {
		return nil, notReady(r.shelved(name))
	}
	if !ok {
		return nil, r.unknownLocked(name)
	}
	if e.live == nil {
		return nil, notReady(e.status)
	}
	if version != "" && version != e.live.Version {
		return nil, problem.New(problem.NotFound, "Ask for version "+e.live.Version+", or for none.",
			"Model %s has no version %q here.", name, clip(version))
	}
	return e.live, nil
}

func notReady(s model.Status) error {
	p := problem.New(problem.NotReady, "Ask another node, or load it with POST /v2/repository/models/"+s.Name+"/load.",
		"Model %s is not ready here: %s.", s.Name, strings.TrimSuffix(s.Reason, "."))
	if s.State == model.Loading {
		p.Remedy, p.RetryAfter = "Try again after the time in Retry-After, or ask another node.", 2*time.Second
	}
	return p
}

func (r *Registry) unknown(name string) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.unknownLocked(name)
}

func (r *Registry) unknownLocked(name string) error {
	names := slices.Sorted(maps.Keys(r.models))
	remedy := "Copy its package into the folder that models.dir names and load it."
	if near := conf.Nearest(name, names); near != "" {
		remedy = "Did you mean " + near + "?"
	}
	return problem.New(problem.NotFound, remedy, "There is no model %q here; there are: %s.", clip(name), strings.Join(names, ", "))
}

// clip shortens what a client sent for a message.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// fixed checks that tensors can be made of all of specs.
func fixed(specs []tensor.Spec) error {
	for _, s := range specs {
		if s.Open() && s.Most > 0 {
			continue
		}
		if n, err := tensor.Count(s.Shape); err != nil || n == 0 || s.Type.Size() == 0 {
			return fmt.Errorf("tensor %q is %s of shape %v, which has no fixed size; export the model with fixed shapes", s.Name, s.Type, s.Shape)
		}
	}
	return nil
}
