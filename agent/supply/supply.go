package supply

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/shared/conf"
	"primespark/shared/fleet"
	"primespark/shared/model"
	"primespark/shared/modelpack"
	"primespark/shared/problem"
	"primespark/shared/run"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// Models are the models of the node, as this package changes them.
type Models interface {
	// Load loads a model from its package, or a newer one; the old one answers meanwhile,
	// and goes on if that fails. Conflict: the package is refused.
	Load(ctx context.Context, name string) error
	// Drop ends a model whose package is gone, or goes back to one that the node has of
	// its own.
	Drop(ctx context.Context, name string) error
	// Expect notes how a model stands that does not answer yet.
	Expect(s model.Status)
}

// A Config is what a Supply works with.
type Config struct {
	Store *Store
	// Wanted are the packages that the node is to serve; known is false as long as
	// nobody has told. The channel closes when that changes.
	Wanted func() (list []wire.PlanModel, known bool, changed <-chan struct{})
	// Fetch gets an object from a coordinator.
	Fetch   func(ctx context.Context, o task.Object) ([]byte, error)
	Models  Models
	Engines []string // of this node
	Memory  int64    // for all models together, in bytes; 0: no bound
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// A Supply keeps the node's packages as the plan has them. It is a part.
type Supply struct {
	cfg     Config
	fetched prometheus.Counter

	mu    sync.Mutex
	notes map[string]fleet.Note // by model

	tries map[string]try // of those that did not go well; only Run touches them
}

// A try is how the last attempt at a package went.
type try struct {
	bill  task.Object
	count int
	next  time.Time // not before
}

// New returns a supply that does nothing until it runs.
func New(cfg Config) (*Supply, error) {
	s := &Supply{cfg: cfg, notes: map[string]fleet.Note{}, tries: map[string]try{}, fetched: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "primespark_models_fetched_bytes_total", Help: "What was fetched of model packages from the coordinators.",
	})}
	return s, cfg.Metrics.Register(s.fetched)
}

func (*Supply) String() string { return "model supply" }

// Notes tells of the models that the fleet was given and that are not served as they
// should be, by name and bounded.
func (s *Supply) Notes() []fleet.Note {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []fleet.Note
	for _, n := range s.notes {
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b fleet.Note) int { return strings.Compare(a.Model, b.Model) })
	return all[:min(len(all), fleet.MaxNotes)]
}

// The pace of attempts at a package that cannot be had.
const (
	leastWait = 5 * time.Second
	mostWait  = 10 * time.Minute
)

// Run follows the plan until ctx ends.
func (s *Supply) Run(ctx context.Context) error {
	for {
		list, known, changed := s.cfg.Wanted()
		wait := mostWait
		if known {
			wait = s.settle(ctx, list, changed)
		}
		again := time.NewTimer(wait)
		select {
		case <-changed:
		case <-s.cfg.Store.damaged:
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return nil
		}
		again.Stop()
	}
}

// settle compares what is wanted with what there is and closes the gap, as far as
// that goes now. It returns when to look again; it may break off when the plan has
// changed.
func (s *Supply) settle(ctx context.Context, list []wire.PlanModel, changed <-chan struct{}) time.Duration {
	list = slices.DeleteFunc(slices.Clone(list), func(m wire.PlanModel) bool { return !model.ValidName(m.Name) || !m.Bill.Valid() })
	s.clear(ctx, list)
	wait := mostWait
	var wanted []modelpack.Bill
	for _, m := range list {
		select {
		case <-changed:
			return leastWait
		case <-ctx.Done():
			return leastWait
		default:
		}
		t := s.tries[m.Name]
		if t.bill != m.Bill {
			t = try{bill: m.Bill}
		}
		if left := time.Until(t.next); left > 0 {
			wait = min(wait, left)
			continue
		}
		b, err := s.bring(ctx, m, changed)
		wanted = append(wanted, b)
		if err == nil {
			delete(s.tries, m.Name)
			s.note(fleet.Note{Model: m.Name}, m.Version)
			continue
		}
		if ctx.Err() != nil || errors.Is(err, errChanged) {
			return leastWait
		}
		t.count++
		pause := run.Jitter(min(leastWait<<min(t.count-1, 10), mostWait))
		t.next = time.Now().Add(pause)
		s.tries[m.Name], wait = t, min(wait, pause)
		s.complain(m, t, err)
	}
	if len(s.tries) == 0 { // otherwise a file that nobody has could be of one that is tried again
		if err := s.cfg.Store.tidy(wanted); err != nil {
			s.cfg.Log.Warn("files of old models not removed", "err", err, "remedy", "see that the disk is writable")
		}
	}
	return max(wait, time.Second)
}

// clear takes the models away that are not wanted.
func (s *Supply) clear(ctx context.Context, list []wire.PlanModel) {
	gone := func(name string) bool {
		return !slices.ContainsFunc(list, func(m wire.PlanModel) bool { return m.Name == name })
	}
	for _, name := range s.cfg.Store.Names() {
		if !gone(name) {
			continue
		}
		err := s.cfg.Store.drop(name)
		err = errors.Join(err, s.cfg.Models.Drop(ctx, name))
		if err != nil {
			s.cfg.Log.Warn("model of the fleet not removed whole", "model", name, "err", err, "remedy", "see that the disk is writable")
			continue
		}
		s.cfg.Log.Info("model of the fleet removed", "model", name)
	}
	s.mu.Lock()
	var forgotten []string
	for name := range s.notes {
		if gone(name) {
			delete(s.notes, name)
			delete(s.tries, name)
			forgotten = append(forgotten, name)
		}
	}
	s.mu.Unlock()
	for _, name := range forgotten { // it was on its way: what there is of it in the index goes
		if err := s.cfg.Models.Drop(ctx, name); err != nil {
			s.cfg.Log.Debug("model not dropped", "model", name, "err", err)
		}
	}
}

// errChanged tells that the plan changed while something was fetched by the old one.
var errChanged = errors.New("the plan has changed")

// errUnfit tells that this node cannot run a model.
var errUnfit = errors.New("this node cannot run it")

// bring has a package in force and its model loaded.
func (s *Supply) bring(ctx context.Context, m wire.PlanModel, changed <-chan struct{}) (b modelpack.Bill, err error) {
	old, had := s.cfg.Store.held(m.Name)
	get := s.getter(changed)
	text, same := []byte(nil), had && old.object == m.Bill
	if same {
		b = old.Bill
	} else {
		if text, err = get(ctx, m.Bill); err != nil {
			return b, err
		}
		if b, err = modelpack.ParseBill(text); err != nil {
			return b, err
		}
	}
	if b.Name != m.Name {
		return b, fmt.Errorf("its bill is of %s", b.Name)
	}
	files, err := s.needed(ctx, b, get)
	if err != nil {
		return b, err
	}
	if same && !slices.ContainsFunc(files, func(f modelpack.BillFile) bool { return !s.cfg.Store.has(f) }) {
		return b, nil // as it has been; the node loads it at its start
	}
	if err := s.cfg.Store.fetch(ctx, files, get, func(done, all int64) { s.progress(m, done, all) }); err != nil {
		return b, err
	}
	return b, s.enforce(ctx, b, text, old, had && !same)
}

// getter is Fetch with an eye on the plan.
func (s *Supply) getter(changed <-chan struct{}) fetcher {
	return func(ctx context.Context, o task.Object) ([]byte, error) {
		select {
		case <-changed:
			return nil, errChanged
		default:
		}
		data, err := s.cfg.Fetch(ctx, o)
		s.fetched.Add(float64(len(data)))
		return data, err
	}
}

// needed fetches the manifest and picks the files that this node has a use for.
func (s *Supply) needed(ctx context.Context, b modelpack.Bill, get fetcher) ([]modelpack.BillFile, error) {
	first := b.Files[0]
	if first.Size > conf.MaxSize {
		return nil, fmt.Errorf("its %s has %d bytes, and may have %d", model.ManifestFile, first.Size, conf.MaxSize)
	}
	if err := s.cfg.Store.fetch(ctx, b.Files[:1], get, func(int64, int64) {}); err != nil {
		return nil, err
	}
	f, _, err := s.cfg.Store.open(first)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(f); err != nil {
		return nil, fmt.Errorf("read %s: %w", model.ManifestFile, err)
	}
	m, err := model.ParseManifest(text.Bytes())
	if err != nil {
		return nil, err
	}
	if err := b.Matches(m); err != nil {
		return nil, err
	}
	return pick(b, m, s.cfg.Engines, s.cfg.Memory)
}

// pick returns the files of a package that a node with these engines needs.
func pick(b modelpack.Bill, m model.Manifest, engines []string, memory int64) (files []modelpack.BillFile, err error) {
	useless := map[string]bool{}
	var wants []string
	runs := false
	for _, v := range m.Variants {
		runs = runs || slices.Contains(engines, v.Engine)
		useless[v.File] = !named(m, v.File, engines)
		wants = append(wants, v.Engine)
	}
	if !runs {
		return nil, fmt.Errorf("%w: it wants the engine %s", errUnfit, strings.Join(slices.Compact(wants), " or "))
	}
	if need := int64(m.Resources.Memory); memory > 0 && need > memory {
		return nil, fmt.Errorf("%w: it needs %v, and models.memory is %v", errUnfit, m.Resources.Memory, conf.Size(memory))
	}
	for _, f := range b.Files {
		if !useless[f.Name] {
			files = append(files, f)
		}
	}
	return files, nil
}

// named reports whether a file is of a variant that one of the engines runs.
func named(m model.Manifest, file string, engines []string) bool {
	return slices.ContainsFunc(m.Variants, func(v model.Variant) bool { return v.File == file && slices.Contains(engines, v.Engine) })
}

// enforce puts a package in force and has it loaded. If it is refused, the one before
// it is in force again, which has never stopped to answer.
func (s *Supply) enforce(ctx context.Context, b modelpack.Bill, text []byte, old held, back bool) error {
	if text != nil {
		if err := s.cfg.Store.enforce(b, text); err != nil {
			return err
		}
	}
	err := s.cfg.Models.Load(ctx, b.Name)
	if !problem.Is(err, problem.Conflict) {
		// For want of memory or time it is loaded when somebody asks for it.
		if err == nil {
			s.cfg.Log.Info("model of the fleet is here", "model", b.Name, "version", b.Version, "bytes", b.Size())
		}
		return nil
	}
	if !back {
		return errors.Join(err, s.cfg.Store.drop(b.Name))
	}
	before, encoding := old.Encode()
	if encoding != nil {
		return errors.Join(err, encoding)
	}
	return errors.Join(err, s.cfg.Store.enforce(old.Bill, before))
}

// progress tells how far a package is.
func (s *Supply) progress(m wire.PlanModel, done, all int64) {
	s.note(fleet.Note{
		Model: m.Name, State: wire.ModelFetching,
		Detail: fmt.Sprintf("%.1f of %.1f MiB (%d %%)", float64(done)/(1<<20), float64(all)/(1<<20), 100*done/max(all, 1)),
	}, m.Version)
}

// complain tells why a package cannot be had.
func (s *Supply) complain(m wire.PlanModel, t try, err error) {
	n := fleet.Note{Model: m.Name, State: wire.ModelRefused, Detail: short(err)}
	switch {
	case errors.Is(err, errUnfit):
		n.State = wire.ModelUnfit
	case !problem.Is(err, problem.Conflict) && !errors.Is(err, errRoom):
		n.State = wire.ModelFetching
		n.Detail = "waits: " + n.Detail
	}
	s.note(n, m.Version)
	if t.count == 1 && n.State != wire.ModelUnfit {
		s.cfg.Log.Warn("model of the fleet cannot be served", "model", m.Name, "version", m.Version, "err", err,
			"remedy", "prime-spark models list shows how it stands on all nodes; it is tried again")
	}
}

// note keeps what is told of a model; one without a state ends that.
func (s *Supply) note(n fleet.Note, version string) {
	if len(n.Detail) > fleet.MaxNote {
		n.Detail = strings.ToValidUTF8(n.Detail[:fleet.MaxNote-3], "") + "…"
	}
	s.mu.Lock()
	old := s.notes[n.Model]
	if n.State == "" {
		delete(s.notes, n.Model)
	} else {
		s.notes[n.Model] = n
	}
	s.mu.Unlock()
	if n.State == "" || n == old {
		return
	}
	status := model.Status{Name: n.Model, Version: version, State: model.Loading, Reason: "on its way to this node: " + n.Detail}
	if n.State != wire.ModelFetching {
		status.State, status.Reason = model.Unavailable, n.Detail
	}
	s.cfg.Models.Expect(status)
}

// short is an error in one line, for other nodes to show.
func short(err error) string {
	text := err.Error()
	if p, ok := errors.AsType[*problem.Error](err); ok {
		text = cmp.Or(p.Detail, text)
	}
	return strings.Join(strings.Fields(text), " ")
}
