package consensus

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/pipenet"
	"primespark/shared/problem"
)

// inBubble runs a story of a three-node group.
func inBubble(t *testing.T, story func(t *testing.T, g *group)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { story(t, newGroup(t, &pipenet.Net{}).three()) })
}

func TestLeaderCutOff(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		old := g.leader("c1", "c2", "c3")
		rest := g.others(old.name)
		term := old.Status().Term
		if _, err := old.Read(t.Context()); err != nil { // so that its barrier has passed
			t.Fatal(err)
		}
		cut := time.Now()
		g.net.Isolate(old.name)

		// Nothing is acknowledged, and nothing read, on the side of the minority.
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if _, err := old.Read(ctx); err == nil {
			t.Error("the leader that was cut off answered a read")
		}
		id, err := g.token(rest[0])
		if err != nil {
			t.Fatalf("the majority does not accept: %v", err)
		}
		if gap := time.Since(cut); gap > 10*time.Second {
			t.Errorf("the first write came %v after the cut", gap)
		}
		time.Sleep(2 * time.Second)
		start := time.Now()
		_, err = old.Propose(ctx, "token:test", fsm.Prune{})
		if !problem.Is(err, problem.NoQuorum) || problem.Of(err).RetryAfter == 0 {
			t.Errorf("long after the cut the minority says %v, want no_quorum with a time to retry", err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("and takes %v to say so", took)
		}

		g.net.Heal()
		g.leader("c1", "c2", "c3")
		s, err := old.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := s.Tokens[id]; !ok {
			t.Error("after the heal the old leader reads a state without what was acknowledged meanwhile")
		}
		checkAll(g)
		if now := old.Status().Term; now > term+3 {
			t.Errorf("the term rose from %d to %d", term, now)
		}
	})
}

// TestReadNeedsFreshAnswers has the answers to heartbeats that were sent before a read
// come in after it began, when nothing that the leader sends arrives any more: they are
// no answers to the read.
func TestReadNeedsFreshAnswers(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		old := g.leader("c1", "c2", "c3")
		if _, err := old.Read(t.Context()); err != nil { // so that its barrier has passed
			t.Fatal(err)
		}
		rest := g.others(old.name)
		for _, other := range rest {
			g.net.CutOneWay(other, old.name)
		}
		time.Sleep(old.profile.Heartbeat / 5) // twice as long as between two heartbeats
		for _, other := range rest {
			g.net.CutOneWay(old.name, other)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		read := make(chan error, 1)
		go func() { _, err := old.Read(ctx); read <- err }()
		synctest.Wait()
		for _, other := range rest {
			g.net.HealOneWay(other, old.name)
		}
		if err := <-read; err == nil {
			t.Error("answers to what was sent before the read confirmed it")
		}
		g.net.Heal()
		g.leader("c1", "c2", "c3")
		if _, err := old.Read(t.Context()); err != nil {
			t.Error(err)
		}
		checkAll(g)
	})
}

func TestLeaderStopsGracefully(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		old := g.leader("c1", "c2", "c3")
		rest := g.others(old.name)
		stopped := time.Now()
		g.halt(old)
		if _, err := g.token(rest[0]); err != nil {
			t.Fatal(err)
		}
		if gap := time.Since(stopped); gap > 200*time.Millisecond {
			t.Errorf("a planned stop cost %v, want at most 200 ms", gap)
		}
		g.start(old.name)
		g.leader("c1", "c2", "c3")
		checkAll(g)
	})
}

// TestNothingAcknowledgedIsLost kills the leader again and again under writers.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		var mu sync.Mutex
		var ledger []string
		stop := make(chan struct{})
		var writers sync.WaitGroup
		for _, at := range []string{"c1", "c2", "c3"} {
			node := g.nodes[at].Node
			writers.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(150 * time.Millisecond):
					}
					ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
					code := fsm.CodeCreate{ID: fsm.NewID(), Hash: fsm.Hash("x"), Role: fleet.Agent, Expires: time.Now().Add(time.Hour)}
					_, err := node.Propose(ctx, "token:test", code)
					cancel()
					if err == nil {
						mu.Lock()
						ledger = append(ledger, code.ID)
						mu.Unlock()
					}
				}
			})
		}
		for range 3 {
			leader := g.leader("c1", "c2", "c3")
			time.Sleep(time.Second)
			g.net.Isolate(leader.name)
			time.Sleep(1500 * time.Millisecond)
			g.net.Heal()
			time.Sleep(time.Second)
		}
		close(stop)
		writers.Wait()
		g.leader("c1", "c2", "c3")
		checkAll(g)
		if len(ledger) < 30 {
			t.Errorf("%d writes were acknowledged, that is no load", len(ledger))
		}
		for name, m := range g.nodes {
			s, _ := m.State()
			for _, id := range ledger {
				if _, ok := s.Codes[id]; !ok {
					t.Errorf("%s has lost %s, which was acknowledged", name, id)
				}
			}
		}
	})
}

// TestReadsAreNeverStale has one writer count upwards and readers at every
// node check that they never see less than was acknowledged before they asked.
func TestReadsAreNeverStale(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		var mu sync.Mutex
		var newest time.Time // expiry of the newest acknowledged code
		stop := make(chan struct{})
		var all sync.WaitGroup
		all.Go(func() {
			for i := 1; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(40 * time.Millisecond):
				}
				at := g.nodes[[]string{"c1", "c2", "c3"}[i%3]].Node
				ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
				code := fsm.CodeCreate{ID: fsm.NewID(), Hash: fsm.Hash("x"), Role: fleet.Agent, Expires: time.Now().Add(time.Hour)}
				_, err := at.Propose(ctx, "token:test", code)
				cancel()
				if err == nil {
					mu.Lock()
					newest = code.Expires
					mu.Unlock()
				}
			}
		})
		reads := 0
		for _, name := range g.others() {
			node := g.nodes[name].Node
			all.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(30 * time.Millisecond):
					}
					mu.Lock()
					least := newest
					mu.Unlock()
					ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
					s, err := node.Read(ctx)
					cancel()
					if err != nil {
						continue
					}
					var seen time.Time
					for _, c := range s.Codes {
						if c.ID != "join" && c.Expires.After(seen) {
							seen = c.Expires
						}
					}
					mu.Lock()
					reads++
					mu.Unlock()
					if seen.Before(least) {
						t.Errorf("a read at %s shows %v, acknowledged before it was %v", node.name, seen, least)
					}
				}
			})
		}
		for range 2 {
			time.Sleep(500 * time.Millisecond)
			leader := g.leader("c1", "c2", "c3")
			g.net.Isolate(leader.name)
			time.Sleep(1300 * time.Millisecond)
			g.net.Heal()
			time.Sleep(500 * time.Millisecond)
		}
		close(stop)
		all.Wait()
		if reads < 50 {
			t.Errorf("%d reads went well, that is no test", reads)
		}
	})
}

func TestRestartOfAll(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		id, err := g.token("c2")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range g.nodes {
			g.halt(m)
		}
		for _, name := range g.others() {
			g.start(name)
		}
		g.leader("c1", "c2", "c3")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		s, err := g.nodes["c3"].Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := s.Tokens[id]; !ok {
			t.Error("what was acknowledged is gone after a restart of all")
		}
	})
}

// TestWipedNodeDoesNotVote empties the disk of a voter: it must not vote with
// lost memory, and comes back as a voter by itself.
func TestWipedNodeDoesNotVote(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		leader := g.leader("c1", "c2", "c3")
		rest := g.others(leader.name)
		wiped, other := g.nodes[rest[0]], g.nodes[rest[1]]
		g.halt(wiped)
		if aside, err := Reset(wiped.dir); err != nil || aside == "" {
			t.Fatalf("Reset = %q, %v", aside, err)
		}
		// It finds the other follower only, and together they would be two of three.
		g.net.Isolate(leader.name)
		term := other.Status().Term
		wiped = g.start(wiped.name)
		if !wiped.Status().Fresh {
			t.Fatal("a node with an empty log does not know that it is fresh")
		}
		time.Sleep(10 * time.Second)
		if s := other.Status(); s.Leader != "" || s.Term != term {
			t.Errorf("leader %q in term %d after %d: a node that lost its memory has voted", s.Leader, s.Term, term)
		}
		g.net.Heal()
		g.wait("the wiped node votes again", func() bool {
			s := wiped.Status()
			return !s.Fresh && slices.ContainsFunc(s.Servers, func(s Server) bool { return s.Name == wiped.name && s.Voter })
		})
		checkAll(g)
	})
}

func TestResetRefusesWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newGroup(t, &pipenet.Net{}).found()
		if _, err := Reset(m.dir); !errors.Is(err, ErrBusy) {
			t.Errorf("Reset of a running node = %v, want that it is in use", err)
		}
	})
}

// TestJoinedAndNeverStarted admits two coordinators that never come: the group
// of one goes on deciding alone.
func TestJoinedAndNeverStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, &pipenet.Net{})
		g.found()
		for _, name := range []string{"c8", "c9"} {
			g.propose("c1", fsm.NodeJoin{
				Code: "join", Hash: fsm.Hash("secret"), Name: name, Role: fleet.Coordinator,
				Key: fsm.Hash(name), Addresses: identity.Addresses{Raft: name + ":" + raftPort},
			})
		}
		time.Sleep(time.Minute)
		g.propose("c1", fsm.Prune{})
		s := g.nodes["c1"].Status()
		if len(s.Servers) != 3 {
			t.Errorf("%d servers, want the two absent ones listed: %v", len(s.Servers), s.Servers)
		}
		for _, server := range s.Servers {
			if server.Voter != (server.Name == "c1") {
				t.Errorf("%s: voter %t", server.Name, server.Voter)
			}
		}
	})
}

func TestRevokedCoordinatorIsRemoved(t *testing.T) {
	for _, who := range []string{"leader", "follower"} {
		t.Run(who, func(t *testing.T) {
			inBubble(t, func(t *testing.T, g *group) {
				m := g.leader("c1", "c2", "c3")
				if who == "follower" {
					m = g.nodes[g.others(m.name)[0]]
				}
				rest := g.others(m.name)
				g.propose(rest[0], fsm.NodeRevoke{Name: m.name})
				g.wait("removed", func() bool {
					return len(g.nodes[rest[0]].Status().Servers) == 2 && len(g.nodes[rest[1]].Status().Servers) == 2
				})
				g.leader(rest...)
				if _, err := g.token(rest[1]); err != nil {
					t.Errorf("the two that are left do not decide: %v", err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				if _, err := m.Propose(ctx, "token:test", fsm.Prune{}); err == nil {
					t.Error("the revoked coordinator still changes the state")
				}
			})
		})
	}
}

// TestMovedCoordinator gives a follower another address. It says so itself,
// though no leader can reach it to be known to it.
func TestMovedCoordinator(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		leader := g.leader("c1", "c2", "c3")
		m := g.nodes[g.others(leader.name)[0]]
		g.halt(m)
		m.addr = m.name + ":9999"
		m = g.start(m.name)
		g.wait("its address is known", func() bool {
			return m.Announce(t.Context(), fsm.NodeAnnounce{Name: m.name, Addresses: identity.Addresses{Raft: m.addr}}) == nil
		})
		g.wait("it follows at the new address", func() bool { return m.Status().Leader != "" })
		checkAll(g)
	})
}

// TestReplacedWhileAway: c3 sleeps while the others become c2 and c4, of which
// it never heard. It refuses a stranger at first, and takes c2's word for it.
func TestReplacedWhileAway(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		g.halt(g.nodes["c3"])
		g.leader("c1", "c2")
		g.join("c4")
		g.propose("c2", fsm.NodeRevoke{Name: "c1"})
		g.wait("c1 removed", func() bool {
			return len(g.nodes["c4"].Status().Servers) == 3 && len(g.nodes["c2"].Status().Servers) == 3
		})
		if l := g.leader("c2", "c4"); l.name == "c2" { // the harder case is the stranger that leads
			if err := l.raft.LeadershipTransferToServer("c4", "c4:"+raftPort).Error(); err != nil {
				t.Fatal(err)
			}
		}
		m := g.start("c3")
		g.wait("c3 follows c4", func() bool { return m.Status().Leader == "c4" })
		if _, err := g.token("c3"); err != nil {
			t.Error(err)
		}
	})
}
