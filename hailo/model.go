package hailo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"primespark/hailo/frame"
)

// A Spec is a model to be loaded.
type Spec struct {
	Name string
	// File is its HEF; a descriptor of it is kept, for the next worker.
	File *os.File
	// Facts are what the HEF says of its tensors, against which the worker holds
	// what the library says; see frame.LoadRequest.
	Facts []frame.Fact
	// Contexts and FPS are for telemetry: how many parts the chip runs it in, and how
	// many frames a second the compiler expects of it; 0 if it does not say.
	Contexts int
	FPS      float64
}

// A Model has its place on the chip, whichever worker runs, until Close.
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
}

// Add has a model loaded, and returns it once it is. It fails with a *Down if the
// chip is out of service, and with a *Refused if it does not take the model.
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
		return nil, errors.Join(fmt.Errorf("there are %d models on the chip already", frame.MaxModels), own.Close())
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

// A Refused is why a model cannot be loaded, while the chip is well.
type Refused struct {
	Finding
	Err error
}

func (r *Refused) Error() string { return r.Detail }

func (r *Refused) Unwrap() error { return r.Err }

// reconcile loads the models that came, and asks for a new worker when one left:
// the library frees a model only together with everything.
func (s *Supervisor) reconcile(ctx context.Context, g *generation) error {
	s.mu.Lock()
	left := slices.ContainsFunc(s.models, func(m *Model) bool { return m.closed && m.place != nil })
	s.mu.Unlock()
	if left {
		return &plan{"a model was unloaded"}
	}
	for {
		m := s.missing()
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

// load loads one model. That the chip does not take it is the model's failure
// and not the worker's, the first time: it is dropped, and the worker replaced,
// since what was half configured stays.
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
	found := Explain(failure, g.proc.last.error(), s.probe())
	if found.Code.State() != StateDegraded {
		return err // the chip, and not the model
	}
	m.tell(&Refused{found, err})
	_ = m.Close() // it never fails
	return &plan{"the model " + m.spec.Name + " was refused"}
}

// settle gives a model its place in a generation.
func (s *Supervisor) settle(ctx context.Context, g *generation, m *Model) error {
	in, cancel := context.WithTimeout(ctx, loadTime)
	defer cancel()
	id, shape, err := g.proc.Load(in, frame.LoadRequest{
		Name: m.spec.Name, Depth: s.cfg.Depth, Timeout: s.cfg.Cap, Facts: m.spec.Facts,
	}, m.spec.File)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fmt.Errorf("the library did not come back within %v; if a new worker fares no better, look at the chip with prime-spark-agent doctor, or take the model away: %w", loadTime, err)
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
	m.place = &place{g, id, arena, newSlots(s.cfg.Depth)}
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

// Shape is the model's tensors as the worker wants and gives them.
func (m *Model) Shape() frame.LoadReply { return m.shape }

// Memory is how many bytes are shared with the worker for the model's tensors.
func (m *Model) Memory() int64 { return m.plan.Size }

// Close frees the model's place, once nobody waits for it any more. A second
// Close does nothing.
func (m *Model) Close() error {
	m.sup.mu.Lock()
	m.closed = true
	m.sup.mu.Unlock()
	m.sup.prune()
	m.sup.wake() // if it has a place, the worker is replaced
	return nil
}

// ErrClosed means that the model was closed.
var ErrClosed = errors.New("the model was unloaded")

// Timing is where the time of an inference went.
type Timing struct {
	Library time.Duration // within HailoRT, the chip included
	Queue   time.Duration // in the worker, before it
}

// Infer runs the model. Fill writes the inputs, each into its own memory, and
// take reads the outputs; neither may keep them. While a worker is being replaced
// it waits, for as long as ctx lasts.
//
// It fails with a *Down if the chip is out of service, or falls out of it during
// the inference; with ErrClosed; or with ctx's error, soon after ctx ends: what
// the chip still does then is of no consequence.
func (m *Model) Infer(ctx context.Context, fill, take func(tensors [][]byte)) (Timing, error) {
	for again := false; ; {
		p, err := m.enter(ctx)
		if err != nil {
			return Timing{}, err
		}
		timing, err := m.in(ctx, p, fill, take)
		switch {
		case errors.Is(err, errReplaced):
		case interrupted(err) && !again:
			again = true
		default:
			m.counts.add(timing, err)
			return timing, err
		}
	}
}

// interrupted reports a call that a signal cut short: the driver gives up waiting
// then, with nothing wrong, so that it is tried once more.
func interrupted(err error) bool {
	failure, ok := errors.AsType[*frame.Failure](err)
	return ok && failure.Status == statusInterrupted
}

// errReplaced means that the generation went before the inference had begun.
var errReplaced = errors.New("the worker is being replaced")

// enter waits for a generation in which the model has its place, and counts the
// inference in; the place's gen is to be told when it is over.
func (m *Model) enter(ctx context.Context) (*place, error) {
	s := m.sup
	for {
		s.mu.Lock()
		if m.closed {
			s.mu.Unlock()
			return nil, ErrClosed
		}
		if err := ctx.Err(); err != nil {
			s.mu.Unlock()
			return nil, err
		}
		if p := m.place; p != nil && p.gen == s.gen && !p.gen.failed() {
			p.gen.asked.Add(1)
			s.mu.Unlock()
			return p, nil
		}
		down, turn := s.down, s.turn
		s.mu.Unlock()
		if down != nil && !down.soon() {
			return nil, down
		}
		select {
		case <-turn:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// in runs the inference in a slot of the place.
func (m *Model) in(ctx context.Context, p *place, fill, take func([][]byte)) (Timing, error) {
	var slot int
	select {
	case <-p.slots.free:
		slot = p.slots.take()
		if p.gen.failed() { // the chip may still write to it
			p.slots.give(slot)
			p.gen.asked.Done()
			return Timing{}, errReplaced
		}
	case <-ctx.Done():
		p.gen.asked.Done()
		return Timing{}, ctx.Err()
	case <-p.gen.bad:
		p.gen.asked.Done()
		return Timing{}, errReplaced
	}
	giveBack := func() {
		p.slots.give(slot)
		p.gen.asked.Done()
	}
	in, out := m.plan.Slot(slot)
	fill(views(p.arena.Bytes(), in, m.plan.In, m.shape.Inputs))
	reply, err := p.gen.proc.Begin(frame.Message{Header: frame.Header{Type: frame.Infer, Model: p.id, A: uint64(in), B: uint64(out)}})
	if err != nil {
		defer giveBack()
		return Timing{}, m.failed(p.gen, err)
	}
	hang := time.NewTimer(m.counts.patience(m.sup.cfg.Cap))
	select {
	case r, ok := <-reply:
		hang.Stop()
		defer giveBack()
		t, err := p.outcome(r, ok)
		if err != nil {
			return t, m.failed(p.gen, err)
		}
		take(views(p.arena.Bytes(), out, m.plan.Out, m.shape.Outputs))
		return t, nil
	case <-hang.C:
		defer giveBack()
		return Timing{}, m.failed(p.gen, p.hung())
	case <-ctx.Done():
		go func() { // ends with the answer or with the worker; asked counts it
			defer giveBack()
			defer hang.Stop()
			select {
			case r, ok := <-reply:
				_, _ = p.outcome(r, ok) // it has told the generation if that has to go
			case <-hang.C:
				_ = p.hung()
			}
		}()
		return Timing{}, ctx.Err()
	}
}

// outcome is what a reply, or its failing to come, says. A failure that is not the
// request's own is the end of the generation.
func (p *place) outcome(r frame.Message, ok bool) (Timing, error) {
	if !ok {
		p.gen.fail(frame.ErrGone)
		return Timing{}, frame.ErrGone
	}
	t := Timing{time.Duration(r.A), time.Duration(r.B)}
	err := r.Err()
	if failure, ok := errors.AsType[*frame.Failure](err); ok && !OfRequest(failure) {
		p.gen.fail(err)
	}
	return t, err
}

// hung ends a worker whose chip hangs. It does not wait for that, which may take
// for ever if the driver hangs, too: nobody is given a slot of it any more.
func (p *place) hung() error {
	err := &frame.Failure{Type: frame.Infer, Status: statusTimeout, Call: "hailo_vstream_read_raw_buffer", Detail: "no answer in time"}
	p.gen.fail(err)
	return err
}

// failed is the error of an inference that the worker did not do.
func (m *Model) failed(g *generation, err error) error {
	if failure, ok := errors.AsType[*frame.Failure](err); ok {
		found := Explain(failure, g.proc.last.error(), m.sup.probe())
		if OfRequest(failure) {
			return &Refused{found, err}
		}
		return &Down{Finding: found, Err: err}
	}
	g.fail(err)
	return &Down{Finding: warning(InferAborted, "Try again.", "The Hailo's worker ended during the inference."), Err: err}
}

// views are the tensors of one side of a slot.
func views(arena []byte, base int64, at []int64, tensors []frame.Tensor) [][]byte {
	all := make([][]byte, len(at))
	for i, off := range at {
		all[i] = arena[base+off:][:tensors[i].Bytes:tensors[i].Bytes]
	}
	return all
}
