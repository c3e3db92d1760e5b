package consensus

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"primespark/coordinator/fsm"
	"primespark/shared/pipenet"
	"primespark/shared/problem"
)

// A gate is a disk under a log that can be made to hang, or to be full.
type gate struct {
	mu   sync.Mutex
	hung chan struct{} // nil: it answers
	err  error
}

// before is what comes before entries are written: it waits, or fails.
func (g *gate) before() error {
	g.mu.Lock()
	hung, err := g.hung, g.err
	g.mu.Unlock()
	if hung != nil {
		<-hung
	}
	return err
}

// hang makes the gate hang until release is called.
func (g *gate) hang() (release func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	hung := make(chan struct{})
	g.hung = hung
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.hung = nil
		close(hung)
	})
}

func (g *gate) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = err
}

// TestHungLeader has the disk of the leader hang in the middle of a write. Raft
// alone keeps such a leader for ever (hashicorp/raft#503), which is shown first:
// should it ever learn better, this test says so and Silent may go. Silent, it
// is replaced within two seconds, and comes back as a follower.
func TestHungLeader(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		old := g.leader("c1", "c2", "c3")
		rest := g.others(old.name)
		if _, err := g.token(rest[0]); err != nil {
			t.Fatal(err)
		}
		release := old.disk.hang()
		defer release()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := old.Propose(ctx, "token:test", fsm.Prune{})
		cancel()
		if err == nil {
			t.Fatal("a write was acknowledged by a leader whose disk hangs")
		}
		for _, name := range rest {
			if s := g.nodes[name].Status(); s.Leader != old.name {
				t.Fatalf("%s follows %q after 10 s of a hanging disk: raft replaces such a leader by itself now", name, s.Leader)
			}
		}

		begin := time.Now()
		old.Take(Silent)
		next := g.leader(rest...)
		id, err := g.token(rest[1])
		if err != nil {
			t.Fatalf("a write through %s: %v", next.name, err)
		}
		took := time.Since(begin)
		t.Logf("the first write came %v after the leader fell silent", took)
		if took > 2*time.Second {
			t.Errorf("the first write came %v after the leader fell silent, want at most 2 s", took)
		}
		if s := old.Status(); old.Leading().Get() || s.Role == "leader" || s.Leader == old.name {
			t.Errorf("the silent one still takes itself for the leader: %+v", s)
		}

		release()
		old.Take(Willing)
		g.leader("c1", "c2", "c3")
		s, err := old.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := s.Tokens[id]; !ok {
			t.Error("what was acknowledged while the disk hung is missing afterwards")
		}
		checkAll(g)
	})
}

// TestFullLeader has the leader's disk fill up. It hands over at once, does not
// come back to lead while the others can, and leads when nobody else does.
func TestFullLeader(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		full := g.leader("c1", "c2", "c3")
		rest := g.others(full.name)
		begin := time.Now()
		full.Take(Reluctant)
		g.leader(rest...)
		if _, err := g.token(full.name); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > 500*time.Millisecond {
			t.Errorf("the first write came %v after the leader would rather not lead, want at most 500 ms", took)
		}

		// Its disk takes nothing: still no election, and no write lost.
		full.disk.fail(unix.ENOSPC)
		term := g.nodes[rest[0]].Status().Term
		for range 20 {
			if _, err := g.token(rest[0]); err != nil {
				t.Fatal(err)
			}
			time.Sleep(500 * time.Millisecond)
		}
		if s := g.nodes[rest[0]].Status(); s.Term != term || s.Leader == full.name {
			t.Errorf("term %d and leader %s, was term %d: the full one disturbs the others", s.Term, s.Leader, term)
		}
		full.disk.fail(nil)
		begin = time.Now()
		g.wait("the full one has caught up", func() bool { return full.Status().Applied == g.nodes[rest[0]].Status().Applied })
		if took := time.Since(begin); took > 15*time.Second {
			t.Errorf("caught up %v after there was room", took)
		}

		// An election without it: it votes, and does not win.
		first := g.leader("c1", "c2", "c3")
		other := g.nodes[g.others(full.name, first.name)[0]]
		g.net.Isolate(first.name)
		g.leader(full.name, other.name)
		if full.Leading().Get() {
			t.Error("the full one was elected although another could lead")
		}
		g.net.Heal()
		g.leader("c1", "c2", "c3")

		// Everybody's disk is full: somebody leads all the same.
		for _, m := range g.nodes {
			m.Take(Reluctant)
		}
		last := g.leader("c1", "c2", "c3")
		g.net.Isolate(last.name)
		begin = time.Now()
		g.leader(g.others(last.name)...)
		if took := time.Since(begin); took < lastResort || took > 2*lastResort {
			t.Errorf("a group of full disks has a leader after %v, want %v to %v", took, lastResort, 2*lastResort)
		}
		g.net.Heal()
		checkAll(g)
	})
}

// inBubbleOfOne runs a story of a group of one.
func inBubbleOfOne(t *testing.T, story func(t *testing.T, m *member, g *group)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, &pipenet.Net{})
		story(t, g.found(), g)
	})
}

// TestReluctantAlone: a group of one has nobody to hand over to, and leads on.
func TestReluctantAlone(t *testing.T) {
	inBubbleOfOne(t, func(t *testing.T, m *member, g *group) {
		m.Take(Reluctant)
		time.Sleep(2 * handOverRest)
		if _, err := g.token(m.name); err != nil {
			t.Errorf("a full coordinator that is the only one: %v", err)
		}
	})
}

// TestSilentAlone: its disk does not answer, so nothing is acknowledged, and the
// reason is said at once.
func TestSilentAlone(t *testing.T) {
	inBubbleOfOne(t, func(t *testing.T, m *member, _ *group) {
		m.Take(Silent)
		time.Sleep(time.Minute)
		_, err := m.Propose(t.Context(), "token:test", fsm.Prune{})
		if !problem.Is(err, problem.NoQuorum) {
			t.Errorf("a write at a silent coordinator = %v, want no_quorum", err)
		}
		m.Take(Willing)
		time.Sleep(2 * time.Second)
		if _, err := m.Propose(t.Context(), "token:test", fsm.Prune{}); err != nil {
			t.Errorf("a write once it is willing again: %v", err)
		}
	})
}

// TestTransferRefused: nobody else would lead, so the leader says so and leads on.
func TestTransferRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		leader := g.leader("c1", "c2", "c3")
		for _, name := range g.others(leader.name) {
			g.nodes[name].Take(Reluctant)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := leader.TransferLeadership(ctx); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("TransferLeadership = %v, want that nobody took it", err)
		}
		if _, err := g.token(leader.name); err != nil || !leader.Leading().Get() {
			t.Errorf("after a transfer that nobody took: %v", err)
		}
		for _, name := range g.others(leader.name)[:1] {
			g.nodes[name].Take(Willing)
		}
		if err := leader.TransferLeadership(ctx); err != nil {
			t.Errorf("TransferLeadership to the one that is willing: %v", err)
		}
		if now := g.leader("c1", "c2", "c3"); now.name != g.others(leader.name)[0] {
			t.Errorf("%s leads, want the one that is willing", now.name)
		}
	})
}
