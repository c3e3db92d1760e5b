package models

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"primespark/agent/infer"
	"primespark/agent/infer/image"
	"primespark/agent/infer/post"
	"primespark/shared/model"
	"primespark/shared/problem"
	"primespark/shared/tensor"
)

// A live model is loaded and has proved itself.
type live struct {
	*pack
	engine    string
	number    int          // of the variant that it is, in the manifest's order
	device    infer.Device // nil for an engine that is always there
	session   infer.Session
	queue     *infer.Queue
	decoders  *infer.Queue
	limits    image.Limits
	converter *image.Converter // nil: takes no images
	processor *post.Processor  // nil: the tensors are the answer
	classes   []string         // names of the classes by their index in an output
	order     []int            // number of the session's output for each of the manifest's
	memory    int64            // bytes that it counts for
	mean      infer.Mean       // of its inferences
	buffers   sync.Pool        // of *buffers
	joiner    *joiner          // nil: each request is a run of its own

	users users
	used  atomic.Int64 // when somebody asked for it last, in ns since 1970

	standby standby // of a device's model
}

// retire closes the model once the last answer is given, and tells on the
// channel how that went.
func (l *live) retire() <-chan error {
	done := make(chan error, 1)
	l.users.end(func() {
		err := l.close()
		if s := l.standby.dismiss(); s != nil {
			err = errors.Join(err, <-s.retire())
		}
		done <- err
	})
	return done
}

// close closes the sessions.
func (l *live) close() error {
	err := l.session.Close()
	if l.joiner != nil {
		for _, s := range l.joiner.sizes[1:] {
			err = errors.Join(err, s.session.Close())
		}
	}
	return err
}

// Load loads a model from its package, or again if the package has changed; while
// that is under way, and if it goes wrong, the old one still answers. The error
// is a *problem.Error: NotFound without a package, Conflict if the package is
// refused, NoCapacity if the memory does not do, even without those models that nobody
// is using just now, which make room.
func (r *Registry) Load(ctx context.Context, name string) error { return r.loadRoom(ctx, name, 0) }

// loadOnce is Load without making room.
func (r *Registry) loadOnce(ctx context.Context, name string) error {
	if err := r.lock(ctx); err != nil {
		return err
	}
	defer r.unlock()
	from, err := r.open(name)
	if problem.Is(err, problem.NotFound) {
		return err
	}
	if err == nil {
		defer from.Close()
		err = r.replace(ctx, name, from, false)
	}
	if err == nil {
		return nil
	}
	if r.refuse(name, err); ctx.Err() == nil {
		if p, ok := errors.AsType[*problem.Error](err); ok && p.Code == problem.NoCapacity {
			r.cfg.Log.Info("no room for a model", "model", name, "err", err, "remedy", p.Remedy) // the package is well, and room may be made
		} else {
			r.cfg.Log.Warn("model refused", "model", name, "err", err, "remedy", "mend its package and load it again")
		}
		if _, own := from.(embedded); !own {
			r.fallBack(ctx, name, err)
		}
	}
	if _, ok := errors.AsType[*problem.Error](err); ok {
		return err
	}
	return &problem.Error{
		Code:   problem.Conflict,
		Detail: fmt.Sprintf("Model %s cannot be loaded: %s.", name, strings.TrimSuffix(err.Error(), ".")),
		Remedy: "Mend its package and load it again.",
		Err:    err,
	}
}

// fallBack serves the embedded package of a model whose folder was refused, if there is
// one and nothing answers yet: a broken copy does not leave a node without its own model.
func (r *Registry) fallBack(ctx context.Context, name string, refused error) {
	files, ok := r.cfg.Embedded[name]
	if !ok || r.Ready(name, "") {
		return
	}
	if err := r.replace(ctx, name, embedded(files), false); err != nil {
		r.refuse(name, fmt.Errorf("%w; and the embedded package: %w", refused, err))
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.models[name]; e.live != nil {
		next := *e
		next.status.Reason = "the embedded package answers, since that of the folder was refused: " + refused.Error()
		r.models[name] = &next
	}
}

// replace loads the model and puts it in the place of the one there was; if the
// package is the same, only if anew is set.
func (r *Registry) replace(ctx context.Context, name string, from source, anew bool) error {
	start := time.Now()
	m, manifest, err := readManifest(from)
	if err != nil {
		return err
	}
	if m.Name != name {
		return fmt.Errorf("the package says it is %q; name the folder so", m.Name)
	}
	old := r.begin(name, m.Version)
	if old != nil && !anew && bytes.Equal(old.manifest, manifest) {
		return nil // the manifest names the network's sum, so that has not changed either
	}
	m.Variants = ordered(m.Variants, r.cfg.Prefer)
	p, err := readPack(ctx, from, m, manifest)
	if err != nil {
		return err
	}
	defer p.close() // engines keep nothing of the files; they were only read
	l, down, err := r.serve(ctx, p, old, 0)
	if err != nil {
		return err
	}
	p.photo = nil // it has done its service
	l.used.Store(time.Now().UnixNano())
	r.ready(name, l, down, time.Since(start))
	r.cfg.Log.Info("model ready", "model", name, "version", m.Version, "engine", l.engine,
		"load_ms", time.Since(start).Milliseconds(), "infer_ms", float64(l.mean.Value().Microseconds())/1e3)
	if old != nil {
		old.retire() // nobody waits for its last answers
	}
	return nil
}

// begin notes that a model is being loaded and returns the one that answers
// meanwhile, if any.
func (r *Registry) begin(name, version string) *live {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.models[name]; ok && e.live != nil {
		return e.live
	}
	since := time.Now()
	if e, ok := r.models[name]; ok && !e.since.IsZero() {
		since = e.since // when somebody asked for it
	}
	r.models[name] = &entry{since: since, status: model.Status{Name: name, Version: version, State: model.Loading, Reason: "being loaded"}}
	return nil
}

// ready notes that l answers from now on. Passed is why an engine that comes
// before its own does not, if that is out of service.
func (r *Registry) ready(name string, l *live, passed error, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.took[name] = took
	e := &entry{status: model.Status{Name: name, Version: l.Version, State: model.Ready}, live: l}
	if passed != nil {
		e.down, e.status.Reason = true, l.engine+" answers, since "+passed.Error()
	}
	r.models[name] = e
}

// refuse notes why a model could not be loaded. The one there was goes on.
func (r *Registry) refuse(name string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.models[name]
	if !ok {
		e = &entry{status: model.Status{Name: name}}
	}
	next := *e
	next.status.Reason = err.Error()
	next.down = next.down || errors.Is(err, infer.ErrDown)
	if e.live == nil {
		next.status.State = model.Unavailable
		next.cold = problem.Is(err, problem.NoCapacity) && !errors.Is(err, errNever) && (r.crowded() || errors.Is(err, errHost))
	} else {
		next.status.Reason = "a newer package was refused: " + err.Error()
	}
	r.models[name] = &next
}

// withdraw takes a model that is broken out of service.
func (r *Registry) withdraw(l *live, err error) {
	r.mu.Lock()
	e := r.models[l.Name]
	ours := e != nil && e.live == l
	if ours {
		r.models[l.Name] = &entry{status: model.Status{Name: l.Name, Version: l.Version, State: model.Unavailable, Reason: err.Error()}}
	}
	r.mu.Unlock()
	if ours {
		r.cfg.Log.Error("model withdrawn", "model", l.Name, "err", err, "remedy", "report it with the model, and load it again")
		l.retire() // after its last answers; nobody waits for them
	}
}

// Unload stops serving a model, once the answers under way are given; if ctx
// ends before, that goes on by itself. Its package stays.
func (r *Registry) Unload(ctx context.Context, name string) error {
	if err := r.lock(ctx); err != nil {
		return err
	}
	defer r.unlock()
	r.mu.Lock()
	e, ok := r.models[name]
	if !ok {
		r.mu.Unlock()
		return r.unknown(name)
	}
	l := e.live
	r.models[name] = &entry{status: model.Status{Name: name, Version: e.status.Version, State: model.Unavailable, Reason: "unloaded"}}
	r.mu.Unlock()
	if l == nil {
		return nil
	}
	select {
	case err := <-l.retire():
		r.cfg.Log.Info("model unloaded", "model", name)
		return err
	case <-ctx.Done():
		return ended(ctx, "The model no longer takes requests, and some are still being answered.")
	}
}

// lock waits until no other model is being loaded or unloaded.
func (r *Registry) lock(ctx context.Context) error {
	select {
	case r.changing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ended(ctx, "Another model is still being loaded.")
	}
}

func (r *Registry) unlock() { <-r.changing }

// serve makes a live model of the first variant, from the one of that number on,
// that works. Down is why an engine before it was passed over, if that was out
// of service.
func (r *Registry) serve(ctx context.Context, p *pack, old *live, from int) (l *live, down, err error) {
	var passed passedOver
	for i, v := range p.Variants[from:] {
		l, err := r.variant(ctx, p, v, old)
		if err == nil {
			for _, e := range passed {
				r.cfg.Log.Info("model variant passed over", "model", p.Name, "reason", e)
			}
			l.number = from + i
			return l, passed.down(), nil
		}
		if ctx.Err() != nil {
			return nil, nil, ended(ctx, "The model was still being loaded.")
		}
		if _, ok := errors.AsType[*problem.Error](err); ok && len(p.Variants) == 1 {
			return nil, nil, err
		}
		passed = append(passed, fmt.Errorf("%s %s: %w", v.Engine, v.File, err))
	}
	if len(passed) == 0 {
		return nil, nil, errors.New("there is no other variant")
	}
	return nil, nil, passed
}

// A passedOver is why no variant of a model works, one by one.
type passedOver []error

func (p passedOver) Error() string {
	texts := make([]string, len(p))
	for i, e := range p {
		texts[i] = e.Error()
	}
	return strings.Join(texts, "; ")
}

func (p passedOver) Unwrap() []error { return p }

// down returns the first of them that tells of an engine out of service.
func (p passedOver) down() error {
	for _, e := range p {
		if errors.Is(e, infer.ErrDown) {
			return e
		}
	}
	return nil
}

// variant makes a live model of one variant, or says why it does not work.
func (r *Registry) variant(ctx context.Context, p *pack, v model.Variant, old *live) (l *live, err error) {
	i := slices.IndexFunc(r.cfg.Backends, func(b infer.Backend) bool { return b.Engine() == v.Engine })
	if i < 0 {
		return nil, fmt.Errorf("this node has no engine %q", v.Engine)
	}
	n := p.networks[v.File]
	if n.file == nil {
		return nil, errors.New("the file is missing from the package")
	}
	left, allowed := r.left(old), p.allowance(v)
	if err := r.room(p.Name, int64(p.Resources.Memory), left); err != nil {
		return nil, err
	}
	if err := r.hostRoom(p.Name, max(int64(p.Resources.Memory), n.size)); err != nil {
		return nil, err
	}
	backend := r.cfg.Backends[i]
	if s, ok := backend.(infer.Shaper); ok {
		backend = s.Shaped(shapes(p.Inputs), declared(p.Outputs))
	}
	session, err := backend.Load(ctx, n.file, n.size, min(left, allowed))
	switch {
	case errors.Is(err, infer.ErrMemory) && left < allowed:
		return nil, r.noRoom(p.Name, "more memory than is left", left, err)
	case err != nil:
		return nil, err
	}
	need, err := weigh(session)
	if err == nil && need > allowed {
		err = fmt.Errorf("it takes %v with its inputs and outputs, and may take %v; declare resources.memory in its manifest", whole(need), whole(allowed))
	}
	if need = max(need, int64(p.Resources.Memory)); err == nil {
		r.need(p.Name, need)
		err = r.room(p.Name, need, left)
	}
	if err != nil {
		return nil, errors.Join(err, session.Close())
	}
	// It proves itself in queues of its own: that those of the node are full at
	// this moment says nothing about the model.
	device, _ := r.cfg.Backends[i].(infer.Device)
	l = &live{
		pack: p, engine: v.Engine, device: device, session: session, limits: r.cfg.Images, memory: need,
		queue: infer.NewQueue(v.Engine, 1, 1), decoders: infer.NewQueue("the image decoder", 1, 1),
	}
	l.buffers.New = func() any { return new(buffers) }
	if err := l.prove(ctx); err != nil {
		return nil, errors.Join(err, session.Close())
	}
	more := r.join(ctx, l, r.cfg.Backends[i], v, left-need)
	if ctx.Err() != nil {
		return nil, errors.Join(ctx.Err(), l.close())
	}
	l.memory += more
	l.queue, l.decoders = r.queues[v.Engine], r.decoders
	return l, nil
}

// declared are the shapes of the manifest's outputs.
func declared(outputs []model.Output) []tensor.Spec {
	specs := make([]tensor.Spec, len(outputs))
	for i, out := range outputs {
		specs[i] = out.Spec()
	}
	return specs
}

// shapes are the shapes of the manifest's inputs.
func shapes(inputs []model.Input) []tensor.Spec {
	specs := make([]tensor.Spec, len(inputs))
	for i, in := range inputs {
		specs[i] = in.Spec()
	}
	return specs
}
