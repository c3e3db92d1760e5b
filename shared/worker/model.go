package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"primespark/shared/worker/frame"
)

// A Spec is a model to be loaded.
type Spec struct {
	Name string
	// File is its file; a descriptor of it is kept, for the next worker.
	File *os.File
	// Facts are what the file says of its tensors, against which the worker holds what
	// the library says, and Shapes those of inputs whose file leaves them open; see
	// frame.LoadRequest.
	Facts  []frame.Fact
	Shapes []frame.Shape
	// Outputs are what is known of those whose sizes the data decide.
	Outputs []frame.Output
	// Contexts and FPS are for telemetry: how many parts an accelerator runs it in, and
	// how many frames a second its compiler expects; 0 if it does not say.
	Contexts int
	FPS      float64
}

// A Model has its place in the engine, whichever worker runs, until Close.
type Model struct {
	sup    *Supervisor
	spec   Spec // with a file of its own
	shape  frame.LoadReply
	plan   frame.Plan
	loaded chan error // the first load's outcome, 1 deep
	counts counts

	// With the supervisor's lock:
	place   *place // in the present generation; nil between two
	loading bool   // its file is being used
	closed  bool
}

// A place is a model in one generation: its arena, divided into slots.
type place struct {
	gen   *generation
	id    uint32
	arena *frame.Arena
	slots *slots
	gone  chan struct{} // closed once the model is being unloaded
}

// Add has a model loaded, and returns it once it is. It fails with a *Down if the
// engine is out of service, and with a *Refused if it does not take the model.
func (s *Supervisor) Add(ctx context.Context, spec Spec) (*Model, error) {
	own, err := duplicate(spec.File)
	if err != nil {
		return nil, err
	}
	spec.File = own
	m := &Model{sup: s, spec: spec, loaded: make(chan error, 1)}
	s.mu.Lock()
	if s.down != nil && !s.down.soon() {
		down := s.down
		s.mu.Unlock()
		return nil, errors.Join(down, own.Close())
	}
	if len(s.models) >= frame.MaxModels {
		s.mu.Unlock()
		return nil, errors.Join(fmt.Errorf("there are %d models in the worker already", frame.MaxModels), own.Close())
	}
	s.models = append(s.models, m)
	s.mu.Unlock()
	s.wake()
	for {
		_, down, turn := s.now()
		select {
		case err := <-m.loaded:
			if err != nil {
				return nil, errors.Join(err, m.Close())
			}
			return m, nil
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), m.Close())
		default:
		}
		if down != nil && !down.soon() {
			return nil, errors.Join(down, m.Close())
		}
		select {
		case err := <-m.loaded:
			m.loaded <- err // looked at above
		case <-turn:
		case <-ctx.Done():
		}
	}
}

// duplicate returns another descriptor of a file.
func duplicate(f *os.File) (*os.File, error) {
	// By its name in /proc the file is opened anew, so that nobody's offset moves.
	own, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return nil, fmt.Errorf("open the model's file once more: %w", err)
	}
	return own, nil
}

// wake makes the supervisor look at which models are wanted.
func (s *Supervisor) wake() {
	select {
	case s.changed <- struct{}{}:
	default: // it is told already
	}
}

// now is what there is, and a channel that closes when that changes.
func (s *Supervisor) now() (*generation, *Down, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gen, s.down, s.turn
}

// A Refused is why a model cannot be loaded, while the engine is well.
type Refused struct {
	Finding
	Err error
}

func (r *Refused) Error() string { return r.Detail }

func (r *Refused) Unwrap() error { return r.Err }

// reconcile loads the models that came, and unloads those that left: with the
// whole worker, for which it returns a plan, if the engine frees them only together.
func (s *Supervisor) reconcile(ctx context.Context, g *generation) error {
	if err := s.unload(ctx, g); err != nil {
		return err
	}
	for {
		m := s.missing()
		if m == nil && s.cfg.Lazy && s.unused() {
			return errUnused
		}
		if m == nil {
			return nil
		}
		if err := s.load(ctx, g, m); err != nil {
			return err
		}
	}
}

// missing returns a model that is wanted and has no place, and keeps its file open
// until load is done with it; nil if there is none.
func (s *Supervisor) missing() *Model {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.models {
		if !m.closed && m.place == nil {
			m.loading = true
			return m
		}
	}
	return nil
}

// load loads one model. That the engine does not take it is the model's failure
// and not the worker's, the first time: it is dropped. Unless the engine frees what
// was half loaded, the worker is replaced.
func (s *Supervisor) load(ctx context.Context, g *generation, m *Model) error {
	err := s.settle(ctx, g, m)
	s.mu.Lock()
	m.loading = false
	s.mu.Unlock()
	s.prune()
	first := m.plan.Size == 0
	failure, said := errors.AsType[*frame.Failure](err)
	switch {
	case err == nil:
		m.tell(nil)
		return nil
	case ctx.Err() != nil:
		return err
	case !first || !said: // it did load before, or nobody knows what happened
		return fmt.Errorf("load %s: %w", m.spec.Name, err)
	}
	found := s.cfg.Engine.Explain(failure, g.proc)
	if !s.cfg.Engine.OfModel(found) {
		return err // the engine, and not the model
	}
	m.tell(&Refused{found, err})
	_ = m.Close() // it never fails
	if s.cfg.Frees {
		return nil
	}
	return &plan{"the model " + m.spec.Name + " was refused"}
}

// unload frees the places of the models that were closed, once the inferences
// that are under way in them are over.
func (s *Supervisor) unload(ctx context.Context, g *generation) error {
	for {
		s.mu.Lock()
		i := slices.IndexFunc(s.models, func(m *Model) bool { return m.closed && m.place != nil })
		if i < 0 {
			s.mu.Unlock()
			return nil
		}
		m := s.models[i]
		s.mu.Unlock()
		if !s.cfg.Frees || !m.place.drain(ctx) {
			return &plan{"a model was unloaded"}
		}
		in, cancel := context.WithTimeout(ctx, unloadTime)
		_, err := g.proc.Call(in, frame.Message{Header: frame.Header{Type: frame.Unload, Model: m.place.id}}, nil)
		cancel()
		if err != nil {
			return fmt.Errorf("unload %s: %w", m.spec.Name, err)
		}
		s.mu.Lock()
		m.leave(g)
		s.mu.Unlock()
		s.prune()
	}
}

// drain takes all slots, so that nobody uses the arena any more, and reports
// whether they came back in time.
func (p *place) drain(ctx context.Context) bool {
	close(p.gone)
	late := time.NewTimer(unloadTime)
	defer late.Stop()
	for range cap(p.slots.free) {
		select {
		case <-p.slots.free:
		case <-p.gen.bad:
			return false
		case <-late.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// settle gives a model its place in a generation.
func (s *Supervisor) settle(ctx context.Context, g *generation, m *Model) error {
	in, cancel := context.WithTimeout(ctx, loadTime)
	defer cancel()
	id, shape, err := g.proc.Load(in, frame.LoadRequest{
		Name: m.spec.Name, Depth: s.cfg.Depth, Timeout: s.cfg.Cap, Facts: m.spec.Facts, Shapes: m.spec.Shapes, Outputs: m.spec.Outputs,
	}, m.spec.File)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fmt.Errorf("the library did not come back within %v; if a new worker fares no better, look at prime-spark-agent doctor, or take the model away: %w", loadTime, err)
	}
	if err != nil {
		return err
	}
	plan, err := frame.PlanSlots(shape, s.cfg.Depth)
	if err != nil {
		return err
	}
	arena, err := frame.NewArena(plan.Size)
	if err != nil {
		return err
	}
	if err := g.proc.Map(in, id, arena); err != nil {
		return errors.Join(err, arena.Close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m.shape, m.plan = shape, plan
	m.place = &place{g, id, arena, newSlots(s.cfg.Depth), make(chan struct{})}
	return nil
}

func (m *Model) tell(err error) {
	select {
	case m.loaded <- err:
	default: // it has been told, by an earlier generation
	}
}

// leave gives up the place in a generation that has ended. It wants the
// supervisor's lock; nobody uses the arena any more.
func (m *Model) leave(g *generation) {
	if m.place == nil || m.place.gen != g {
		return
	}
	_ = m.place.arena.Close() // to unmap memory of ours cannot fail
	m.place = nil
}

// prune takes the models off the list that were closed and have no place, with
// their files.
func (s *Supervisor) prune() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.models = slices.DeleteFunc(s.models, func(m *Model) bool {
		gone := m.closed && m.place == nil && !m.loading
		if gone {
			_ = m.spec.File.Close() // it was only read
		}
		return gone
	})
}
