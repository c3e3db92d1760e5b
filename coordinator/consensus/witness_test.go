package consensus

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"primespark/coordinator/fsm"
	"primespark/shared/identity"
	"primespark/shared/pipenet"
)

// withWitness runs a story of two coordinators, c1 and c2, and a witness, w.
func withWitness(t *testing.T, story func(t *testing.T, g *group)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, &pipenet.Net{})
		g.witness = "w"
		g.found()
		g.join("c2")
		w := g.join("w")
		g.propose("w", fsm.NodeAnnounce{Name: "w", Addresses: identity.Addresses{Raft: w.addr}, Witness: true})
		g.wait("all know the witness", func() bool { return g.nodes["c1"].isWitness("w") && g.nodes["c2"].isWitness("w") && w.isWitness("w") })
		story(t, g)
	})
}

// TestWitnessKeepsQuorum: with a witness, two coordinators survive the loss of
// any one, and the witness does not lead.
func TestWitnessKeepsQuorum(t *testing.T) {
	withWitness(t, func(t *testing.T, g *group) {
		for range 3 {
			old := g.leader("c1", "c2", "w")
			rest := g.others(old.name, "w")[0]
			cut := time.Now()
			g.net.Isolate(old.name)
			if _, err := g.token(rest); err != nil {
				t.Fatalf("%s and the witness do not decide: %v", rest, err)
			}
			if gap := time.Since(cut); gap > 3*time.Second {
				t.Errorf("the first write came %v after the leader was lost", gap)
			}
			if g.leader(rest, "w").name != rest {
				t.Error("the witness leads")
			}
			g.net.Heal()
			g.leader("c1", "c2", "w")
		}
		g.net.Isolate("w")
		if _, err := g.token("c1"); err != nil {
			t.Errorf("without the witness: %v", err)
		}
		g.net.Heal()
		checkAll(g)
	})
}

// TestWitnessHasTheNewest loses the leader when only it and the witness have what
// was acknowledged last. The other coordinator cannot win before it has that, and
// gets it from the witness.
func TestWitnessHasTheNewest(t *testing.T) {
	for name, many := range map[string]int{"a few entries": 3, "more than the witness keeps behind its snapshot": 2 * witnessLogs} {
		t.Run(name, func(t *testing.T) {
			withWitness(t, func(t *testing.T, g *group) {
				old := g.leader("c1", "c2", "w")
				rest := g.nodes[g.others(old.name, "w")[0]]
				g.net.Isolate(rest.name)
				var ids []string
				for range many {
					id, err := g.token(old.name)
					if err != nil {
						t.Fatal(err)
					}
					ids = append(ids, id)
					if many > 100 { // no state holds so many tokens
						g.propose(old.name, fsm.TokenRevoke{ID: id})
						ids = ids[:0]
					}
				}
				id, err := g.token(old.name)
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, id)
				if many > 100 { // has the witness shorten its log
					if err := g.nodes["w"].raft.Snapshot().Error(); err != nil {
						t.Fatal(err)
					}
					if first, err := g.nodes["w"].store.FirstIndex(); err != nil || first < uint64(many) {
						t.Fatalf("the witness's log begins at %d (%v): it was not shortened", first, err)
					}
				}
				g.net.Isolate(old.name)
				g.net.Heal(rest.name)
				lost := time.Now()
				s, err := readFor(rest.Node, time.Minute)
				if err != nil {
					t.Fatalf("what the witness alone has is not to be had: %v", err)
				}
				if took := time.Since(lost); took > 5*time.Second {
					t.Errorf("%s answered %v after it came back, want at most 5 s", rest.name, took)
				}
				for _, id := range ids {
					if _, ok := s.Tokens[id]; !ok {
						t.Errorf("token %s was acknowledged, and is lost", id)
					}
				}
				if g.leader(rest.name, "w") != rest {
					t.Error("the witness leads on")
				}
				g.net.Heal()
				g.leader("c1", "c2", "w")
				if _, err := g.token("c1"); err != nil {
					t.Error(err)
				}
				checkAll(g)
			})
		})
	}
}

// readFor reads, and tries again for so long.
func readFor(n *Node, most time.Duration) (s fsm.State, err error) {
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		s, err = n.Read(ctx)
		cancel()
		if err == nil {
			return s, nil
		}
	}
	return s, err
}

// TestWitnessAndFullDisk: the only coordinator that is left would rather not
// lead, and has not got everything. It is brought up to date, and leads.
func TestWitnessAndFullDisk(t *testing.T) {
	withWitness(t, func(t *testing.T, g *group) {
		old := g.leader("c1", "c2", "w")
		rest := g.nodes[g.others(old.name, "w")[0]]
		rest.Take(Reluctant)
		g.net.Isolate(rest.name)
		id, err := g.token(old.name)
		if err != nil {
			t.Fatal(err)
		}
		g.net.Isolate(old.name)
		g.net.Heal(rest.name)
		s, err := readFor(rest.Node, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := s.Tokens[id]; !ok {
			t.Error("what was acknowledged is lost")
		}
	})
}

// TestWitnessGetsNoLead: a leader that stops hands over to the coordinator, however
// far behind, and asks nothing of the witness.
func TestWitnessGetsNoLead(t *testing.T) {
	withWitness(t, func(t *testing.T, g *group) {
		for range 4 {
			old := g.leader("c1", "c2", "w")
			other := g.others(old.name, "w")[0]
			begin := time.Now()
			if err := old.TransferLeadership(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := g.token(other); err != nil {
				t.Fatal(err)
			}
			if gap := time.Since(begin); gap > 200*time.Millisecond {
				t.Errorf("the leadership was handed over in %v, want at most 200 ms", gap)
			}
			if now := g.leader("c1", "c2", "w"); now.name != other {
				t.Errorf("%s leads, want %s", now.name, other)
			}
		}
		// Nobody is left but the witness.
		old := g.leader("c1", "c2", "w")
		g.net.Isolate(g.others(old.name, "w")[0])
		if err := old.TransferLeadership(t.Context()); err == nil {
			t.Error("the leadership was handed to the witness")
		}
		if f := old.raft.LeadershipTransferToServer("w", raft.ServerAddress(g.nodes["w"].addr)); f.Error() == nil {
			t.Error("the witness takes the lead when it is asked to")
		}
	})
}

// TestWitnessTurns: a coordinator that becomes a witness keeps what it had, and
// one that stops being a witness has the whole state from its own files.
func TestWitnessTurns(t *testing.T) {
	withWitness(t, func(t *testing.T, g *group) {
		leader := g.leader("c1", "c2", "w")
		ids := []string{}
		for range witnessLogs {
			id, err := g.token(leader.name)
			if err != nil {
				t.Fatal(err)
			}
			g.propose(leader.name, fsm.TokenRevoke{ID: id})
		}
		id, err := g.token(leader.name)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
		if err := g.nodes["w"].raft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
		g.halt(g.nodes["w"])
		lone, err := ReadState(g.nodes["w"].dir) // as recover --from-one would
		if err != nil {
			t.Fatal(err)
		}
		g.witness = ""
		w := g.start("w")
		s, err := readFor(w.Node, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			if _, ok := s.Tokens[id]; !ok {
				t.Error("the former witness misses what was acknowledged")
			}
			if _, ok := lone.Tokens[id]; !ok {
				t.Error("the witness's files miss what was acknowledged")
			}
		}
		g.wait("equal states", func() bool {
			return same(g.nodes["c1"].Node, w.Node)
		})
		g.halt(w)
		g.witness = "w"
		g.start("w")
		if _, err := g.token("w"); err != nil {
			t.Error(err)
		}
	})
}

// TestWitnessWithoutOthers: a snapshot that nobody gives is tried again, and the
// node stops at once nevertheless.
func TestWitnessWithoutOthers(t *testing.T) {
	withWitness(t, func(t *testing.T, g *group) {
		w := g.nodes["w"]
		g.net.Isolate("w")
		if err := w.raft.Snapshot().Error(); err == nil {
			t.Error("a snapshot came from nowhere")
		}
		g.net.Heal()
		g.leader("c1", "c2", "w")
		if err := w.raft.Snapshot().Error(); err != nil {
			t.Error(err)
		}
	})
}
