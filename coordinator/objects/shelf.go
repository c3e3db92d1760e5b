package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/shared/problem"
	"primespark/shared/run"
	"primespark/shared/task"
)

// A Peer is another coordinator that keeps objects.
type Peer interface {
	Name() string
	// Push has it keep an object, whose bytes come from r.
	Push(ctx context.Context, o task.Object, r io.Reader) error
	// Pull reads an object that it has itself; fs.ErrNotExist if it has none.
	Pull(ctx context.Context, sha string) (io.ReadCloser, error)
	// Missing returns which of these it does not have.
	Missing(ctx context.Context, shas []string) ([]string, error)
}

// A Shelf is the objects of all coordinators, as one of them serves them.
type Shelf struct {
	store  *Store
	self   string
	copies int                           // of each object, at least
	others func() (up []Peer, known int) // those that can be asked now, and how many there are
	log    *slog.Logger
	lost   prometheus.Counter
}

// NewShelf returns the shelf of the coordinator self. An object is acknowledged
// when so many coordinators have it, or all if there are fewer.
func NewShelf(s *Store, self string, copies int, others func() (up []Peer, known int), log *slog.Logger, metrics prometheus.Registerer) *Shelf {
	h := &Shelf{store: s, self: self, copies: copies, others: others, log: log, lost: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "primespark_objects_copied_total", Help: "Objects that were copied again since a holder of them was lost.",
	})}
	metrics.MustRegister(h.lost, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "primespark_objects_bytes", Help: "What the objects on this coordinator's disk take.",
	}, func() float64 { s.mu.Lock(); defer s.mu.Unlock(); return float64(s.bytes) }))
	return h
}

func (*Shelf) String() string { return "objects" }

// pushTime bounds the copy of one object to one other coordinator.
const pushTime = 20 * time.Second

// Put keeps what is read from r, here and elsewhere, and tells where.
func (h *Shelf) Put(ctx context.Context, r io.Reader) (task.Object, []string, error) {
	o, err := h.store.Put(r, "")
	if err != nil {
		return o, nil, err
	}
	holders, err := h.spread(ctx, o)
	return o, holders, err
}

// Keep keeps a copy that another coordinator sends.
func (h *Shelf) Keep(r io.Reader, sha string) (task.Object, error) {
	return h.store.Put(r, sha)
}

// spread copies an object that is here to as many others as it takes.
func (h *Shelf) spread(ctx context.Context, o task.Object) (holders []string, err error) {
	holders = []string{h.self}
	up, known := h.others()
	rand.Shuffle(len(up), func(i, j int) { up[i], up[j] = up[j], up[i] })
	want := min(h.copies, known+1)
	var faults []error
	for _, p := range up {
		if len(holders) >= want {
			break
		}
		if err := h.push(ctx, p, o); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", p.Name(), err))
			continue
		}
		holders = append(holders, p.Name())
	}
	if len(holders) < want {
		return holders, &problem.Error{
			Code: problem.NotReady, Err: errors.Join(faults...), RetryAfter: 2 * time.Second,
			Detail: fmt.Sprintf("The object is on %d coordinator, and has to be on %d.", len(holders), want),
			Remedy: "Start another coordinator, or set objects.copies to 1 and do without the second copy.",
		}
	}
	return holders, nil
}

func (h *Shelf) push(ctx context.Context, p Peer, o task.Object) error {
	ctx, cancel := context.WithTimeout(ctx, pushTime)
	defer cancel()
	if missing, err := p.Missing(ctx, []string{o.SHA256}); err == nil && len(missing) == 0 {
		return nil
	}
	f, _, err := h.store.Open(o.SHA256)
	if err != nil {
		return err
	}
	defer f.Close()
	return p.Push(ctx, o, f)
}

// Here opens an object if this coordinator has it; the error is fs.ErrNotExist
// if not.
func (h *Shelf) Here(sha string) (*os.File, int64, error) { return h.store.Open(sha) }

// Open opens an object, and fetches it from another coordinator first if it is
// not here.
func (h *Shelf) Open(ctx context.Context, sha string) (*os.File, int64, error) {
	f, size, err := h.store.Open(sha)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, size, err
	}
	up, known := h.others()
	faults := []error{err}
	for _, p := range up {
		err := h.pull(ctx, p, sha)
		if err == nil {
			return h.store.Open(sha)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			faults = append(faults, fmt.Errorf("%s: %w", p.Name(), err))
		}
	}
	if len(faults) > 1 || len(up) < known {
		return nil, 0, &problem.Error{
			Code: problem.NotReady, Err: errors.Join(faults...), RetryAfter: 2 * time.Second,
			Detail: fmt.Sprintf("No coordinator that can be reached has the object %.16s.", sha), Remedy: "Try again when all coordinators are back.",
		}
	}
	return nil, 0, problem.New(problem.NotFound, "Hand it in again; what no task refers to is kept for a while only.", "There is no object %.64q.", sha)
}

func (h *Shelf) pull(ctx context.Context, p Peer, sha string) error {
	ctx, cancel := context.WithTimeout(ctx, pushTime)
	defer cancel()
	r, err := p.Pull(ctx, sha)
	if err != nil {
		return err
	}
	_, err = h.store.Put(r, sha)
	return errors.Join(err, r.Close())
}

// Confirm reports what is wrong with a reference to an object: it is to be there,
// on as many disks as it takes, and of that size.
func (h *Shelf) Confirm(ctx context.Context, o task.Object) error {
	size, here := h.store.Has(o.SHA256)
	if !here {
		f, n, err := h.Open(ctx, o.SHA256)
		if problem.Is(err, problem.NotFound) {
			return problem.New(problem.Invalid, "Hand it in first: PUT /v1/objects.", "There is no object %.64q to refer to.", o.SHA256)
		}
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return fmt.Errorf("read object %.16s: %w", o.SHA256, err)
		}
		size = n
	}
	if size != o.Size {
		return problem.New(problem.Invalid, "Give it as PUT /v1/objects answered.", "The object %.16s has %d bytes, not %d.", o.SHA256, size, o.Size)
	}
	h.store.touch(o.SHA256)
	// It may have been refused before, for want of a second disk, and stayed on one.
	_, err := h.spread(ctx, o)
	return err
}

// Missing returns which of these are not here. Those that are count as used:
// somebody relies on them.
func (h *Shelf) Missing(shas []string) []string {
	return slices.DeleteFunc(slices.Clone(shas), func(sha string) bool {
		_, ok := h.store.Has(sha)
		h.store.touch(sha)
		return ok
	})
}

// The pace of the housekeeping.
const (
	repairEvery = time.Minute
	atOnce      = 100 // names in one question
)

// Run keeps enough copies of all that is referred to, and throws away what
// nobody wants, until ctx ends.
func (h *Shelf) Run(ctx context.Context) error {
	for run.Sleep(ctx, run.Jitter(repairEvery)) {
		if err := h.store.clean(ctx); err != nil {
			h.log.Warn("old objects not removed, trying again", "err", err)
		}
		if err := h.repair(ctx); err != nil && ctx.Err() == nil {
			h.log.Warn("objects lack a copy, trying again", "err", err)
		}
	}
	return nil
}

// repair copies what is referred to and on this disk alone.
func (h *Shelf) repair(ctx context.Context) error {
	names := h.store.list()
	up, known := h.others()
	if known == 0 || h.copies < 2 {
		return nil
	}
	for part := range slices.Chunk(names, atOnce) {
		alone := part
		for _, p := range up {
			if len(alone) == 0 {
				break
			}
			missing, err := p.Missing(ctx, alone)
			if err != nil {
				continue // it is as good as not there
			}
			alone = missing
		}
		for _, sha := range alone {
			size, ok := h.store.Has(sha)
			if !ok {
				continue // it went meanwhile
			}
			if _, err := h.spread(ctx, task.Object{SHA256: sha, Size: size}); err != nil {
				return err
			}
			h.lost.Inc()
		}
	}
	return nil
}
