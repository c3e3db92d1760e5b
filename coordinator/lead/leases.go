package lead

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/problem"
	"primespark/shared/run"
	"primespark/shared/task"
)

// Leases knows when each lease was renewed, and ends those that were not. It is
// the leader's memory: renewals are no entries of the log. Who comes to lead
// knows of none, and so takes all leases that there are for fresh ones: a change
// of leader takes no task from a node that is well.
type Leases struct {
	group LeaseGroup
	dead  func() map[string]time.Duration
	log   *slog.Logger

	mu    sync.Mutex
	known map[string]renewal   // by task
	heard map[string]time.Time // by node: when it renewed anything
}

// LeaseGroup is what Leases needs of the raft node.
type LeaseGroup interface {
	Group
	// Read returns a state that holds all that was acknowledged before.
	Read(ctx context.Context) (fsm.State, error)
}

// A renewal is what is remembered of a lease.
type renewal struct {
	lease  task.Lease
	at     time.Time // when it was last renewed, or first seen
	ending string    // why it is to end; it is not renewed any more
}

// NewLeases returns a Leases. dead are the nodes that both witnesses, heartbeat and
// gossip, hold for dead, and for how long. It is this coordinator's own
// judgement, which does not begin anew when it comes to lead.
func NewLeases(g LeaseGroup, dead func() map[string]time.Duration, log *slog.Logger) *Leases {
	return &Leases{group: g, dead: dead, log: log, known: map[string]renewal{}, heard: map[string]time.Time{}}
}

// A Renewal is a request to renew a lease, as it travels to the leader.
type Renewal struct {
	Node  string     `json:"node"`
	ID    string     `json:"id"`
	Lease task.Lease `json:"lease"`
}

// Answer renews a lease as a coordinator asked for it in JSON.
func (l *Leases) Answer(ctx context.Context, body []byte) error {
	var r Renewal
	if err := json.Unmarshal(body, &r); err != nil {
		return problem.New(problem.Invalid, "Update all coordinators to the same version.", "The leader does not understand the renewal.")
	}
	return l.Renew(ctx, r)
}

// Renew keeps a lease for task.LeaseFor from now, or says that it has ended
// (problem.StaleLease). It asks a majority whether this coordinator still leads:
// one that was paused must not renew what another has given away.
func (l *Leases) Renew(ctx context.Context, r Renewal) error {
	s, err := l.group.Read(ctx)
	if err != nil {
		return err
	}
	t, ok := s.Tasks.Get(r.ID)
	if !ok {
		return fsm.NoTask(r.ID)
	}
	if t.State != task.Leased || t.Lease != r.Lease || t.Node != r.Node {
		return ended(r)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if old := l.known[r.ID]; old.lease == r.Lease && old.ending != "" {
		return ended(r)
	}
	now := time.Now()
	l.known[r.ID] = renewal{lease: r.Lease, at: now}
	l.heard[r.Node] = now
	return nil
}

func ended(r Renewal) error {
	return problem.New(problem.StaleLease, "Stop working on it, and throw away what was done.",
		"The lease %s of task %s has ended.", r.Lease, r.ID)
}

func (*Leases) String() string { return "task leases" }

// Run ends leases while this coordinator leads, until ctx ends.
func (l *Leases) Run(ctx context.Context) error {
	l.mu.Lock()
	clear(l.known)
	clear(l.heard)
	l.mu.Unlock()
	for {
		s, changed := l.group.State()
		expired := l.look(s, time.Now())
		for len(expired) > 0 {
			some := expired[:min(len(expired), maxExpiries)]
			if err := propose(ctx, l.group, fsm.TaskOp{Expire: &fsm.TaskExpire{Leases: some}}, l.log); err != nil {
				return err
			}
			expired = expired[len(some):]
		}
		if s.Tasks.Count(task.Leased) == 0 {
			select {
			case <-changed:
			case <-ctx.Done():
			}
		} else {
			run.Sleep(ctx, lookEvery)
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

const (
	lookEvery   = 500 * time.Millisecond
	maxExpiries = 256 // in one entry of the log
)

// look compares the leases of a state with what is remembered of them, and
// returns those that are over.
func (l *Leases) look(s fsm.State, now time.Time) []fsm.Expiry {
	l.mu.Lock()
	defer l.mu.Unlock()
	dead := l.dead()
	var over []fsm.Expiry
	held := make(map[string]renewal, len(l.known))
	nodes := make(map[string]time.Time, len(l.heard))
	for t := range s.Tasks.Held() {
		r, ok := l.known[t.ID]
		if !ok || r.lease != t.Lease {
			r = renewal{lease: t.Lease, at: now}
		}
		if r.ending == "" {
			gone, isDead := dead[t.Node]
			r.ending = why(death{isDead, gone, now.Sub(l.heard[t.Node])}, now.Sub(r.at), s.Nodes[t.Node].State)
		}
		if r.ending != "" {
			over = append(over, fsm.Expiry{ID: t.ID, Lease: t.Lease, Draw: rand.Uint32(), Why: r.ending})
		}
		held[t.ID] = r
		if at, ok := l.heard[t.Node]; ok {
			nodes[t.Node] = at
		}
	}
	l.known, l.heard = held, nodes
	return over
}

// settled is how long both witnesses must have held a node for dead, and how old a
// lease must be, until it ends for that. A link that was broken for a moment has
// healed by then.
const settled = time.Second

// missed is how long a node must have been silent that renewed a lease after it was
// held for dead: it renews each every task.RenewEvery.
const missed = task.RenewEvery + time.Second

// A death is what is known of a node's.
type death struct {
	is     bool
	gone   time.Duration // how long both witnesses have held it for dead
	silent time.Duration // since it renewed a lease here; very long if it never did
}

// why tells why a lease is over that was renewed, or first seen, so long ago; ""
// if it is not.
func why(d death, renewed time.Duration, decided fsm.NodeState) string {
	switch {
	case decided == fsm.Revoked:
		return "its node was revoked"
	case renewed >= task.LeaseFor:
		return fmt.Sprintf("its node did not renew the lease for %v", task.LeaseFor)
	case !d.is || d.gone < settled || renewed < settled:
		return ""
	case d.silent > d.gone || d.silent >= missed:
		return "its node died"
	}
	return ""
}

// propose has one operation on tasks carried out. That there is no leader just
// now is no fault: the next one does it.
func propose(ctx context.Context, g Group, op fsm.TaskOp, log *slog.Logger) error {
	_, err := g.Propose(ctx, Actor, fsm.TaskBatch{Ops: []fsm.TaskOp{op}})
	if err == nil || ctx.Err() != nil {
		return nil
	}
	if problem.Is(err, problem.NoLeader) || problem.Is(err, problem.NoQuorum) || problem.Is(err, problem.Deadline) {
		log.Debug("tasks not moved this time", "err", err)
		return nil
	}
	return err
}

// tickPause lets what is due within it share an entry of the log.
const tickPause = 100 * time.Millisecond

// Tick is the loop that moves the tasks whose time has come.
func Tick(g Group, log *slog.Logger) run.Part {
	return run.Func("task timers", func(ctx context.Context) error {
		for {
			s, changed := g.State()
			next := s.Tasks.Next()
			if !next.IsZero() && !next.After(time.Now()) {
				if err := propose(ctx, g, fsm.TaskOp{Tick: &fsm.TaskTick{}}, log); err != nil {
					return err
				}
				if !run.Sleep(ctx, tickPause) {
					return nil
				}
				continue
			}
			wake := time.NewTimer(time.Hour)
			if !next.IsZero() {
				wake.Reset(min(time.Until(next), time.Hour))
			}
			select {
			case <-changed:
			case <-wake.C:
			case <-ctx.Done():
			}
			wake.Stop()
			if ctx.Err() != nil {
				return nil
			}
		}
	})
}
