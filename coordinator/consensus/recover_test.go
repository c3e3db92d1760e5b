package consensus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/identity"
	"primespark/shared/pipenet"
	"primespark/shared/problem"
)

// TestRecover loses two of three coordinators for good. What was acknowledged is
// with the third one, which goes on alone and takes others in again.
func TestRecover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, &pipenet.Net{}).three()
		for range 20 {
			if _, err := g.token("c2"); err != nil {
				t.Fatal(err)
			}
		}
		want, _ := g.leader("c1", "c2", "c3").State()
		c3 := g.nodes["c3"]
		g.wait("c3 has all", func() bool { return c3.Status().Applied == want.Index })
		_, err := ReadState(c3.dir)
		if p := problem.Of(err); p.Code != problem.Conflict {
			t.Errorf("read while it runs: %v", err)
		}
		for _, name := range []string{"c1", "c2", "c3"} {
			g.halt(g.nodes[name])
		}

		state, err := ReadState(c3.dir)
		if err != nil || state.Checksum() != want.Checksum() || state.Index != want.Index {
			t.Fatalf("offline state %d %s, %v; want %d %s", state.Index, state.Checksum(), err, want.Index, want.Checksum())
		}
		lost, err := Recover(c3.dir, "c3", c3.addr)
		if err != nil || fmt.Sprint(lost) != "[c1 c2]" {
			t.Fatalf("recover: lost %v, %v", lost, err)
		}
		delete(g.nodes, "c1")
		delete(g.nodes, "c2")
		c3 = g.start("c3")
		begin := time.Now()
		g.leader("c3")
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("it led after %v", took)
		}
		s, _ := c3.State()
		if len(s.Tokens) < 21 {
			t.Errorf("%d tokens are left, want 21", len(s.Tokens))
		}
		if _, err := g.token("c3"); err != nil {
			t.Errorf("a change after the recovery: %v", err)
		}
		// The lost ones stay in the state, and may not count.
		g.wait("c1 and c2 follow without a vote", func() bool { return len(c3.Status().Servers) == 3 })
		for _, s := range c3.Status().Servers {
			if s.Voter != (s.Name == "c3") {
				t.Errorf("%s votes: %v", s.Name, s.Voter)
			}
		}
		g.propose("c3", fsm.NodeRevoke{Name: "c1"})
		g.propose("c3", fsm.NodeRevoke{Name: "c2"})
		g.wait("they are gone", func() bool { return len(c3.Status().Servers) == 1 })
	})
}

// TestPlant: a state that is restored is the state that was saved, a single
// coordinator leads with it, and another one gets it.
func TestPlant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := newGroup(t, &pipenet.Net{})
		c1 := old.found()
		for range 30 {
			if _, err := old.token("c1"); err != nil {
				t.Fatal(err)
			}
		}
		saved, _ := c1.State()

		g := newGroup(t, &pipenet.Net{})
		dir := filepath.Join(t.TempDir(), "raft")
		if err := os.MkdirAll(dir+".restoring/snapshots", 0o700); err != nil { // of one that was broken off
			t.Fatal(err)
		}
		if err := Plant(dir, "c1", "c1:"+raftPort, saved); err != nil {
			t.Fatal(err)
		}
		if err := Plant(dir, "c1", "c1:"+raftPort, saved); problem.Of(err).Code != problem.Conflict {
			t.Errorf("planted over another: %v", err)
		}
		offline, err := ReadState(dir)
		if err != nil || offline.Checksum() != saved.Checksum() {
			t.Errorf("offline state %s, %v; want %s", offline.Checksum(), err, saved.Checksum())
		}
		g.nodes["c1"] = &member{dir: dir, id: g.ca.Node("coordinator", "c1"), addr: "c1:" + raftPort}
		n := g.start("c1")
		if s, _ := n.State(); s.Checksum() != saved.Checksum() || s.Index != saved.Index || n.Status().Fresh {
			t.Errorf("it starts with state %d %s, fresh %v; want %d %s", s.Index, s.Checksum(), n.Status().Fresh, saved.Index, saved.Checksum())
		}
		g.leader("c1")
		g.propose("c1", fsm.CodeCreate{ID: "join2", Hash: fsm.Hash("secret"), Role: "coordinator", Expires: time.Now().Add(time.Hour)})
		c2 := g.start("c2")
		g.propose("c1", fsm.NodeJoin{
			Code: "join2", Hash: fsm.Hash("secret"), Name: "c2", Role: "coordinator", Key: c2.id.KeyHash(), Addresses: identity.Addresses{Raft: c2.addr},
		})
		g.wait("c2 votes", func() bool {
			s := c2.Status()
			return len(s.Servers) == 2 && s.Servers[1].Voter && same(c2.Node, n.Node)
		})
	})
}

func TestRecoverRefuses(t *testing.T) {
	if _, err := ReadState(t.TempDir()); problem.Of(err).Code != problem.NotFound {
		t.Errorf("state of an empty directory: %v", err)
	}
	if _, err := Recover(t.TempDir(), "c1", "c1:1"); problem.Of(err).Code != problem.NotFound {
		t.Errorf("recover an empty directory: %v", err)
	}
	fresh := t.TempDir()
	st, err := openStore(fresh)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(st.SetUint64(keyFresh, 1), st.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Recover(fresh, "c1", "c1:1"); problem.Of(err).Code != problem.Conflict {
		t.Errorf("recover from a coordinator without a memory: %v", err)
	}
	if _, err := ReadState(fresh); problem.Of(err).Code != problem.NotFound {
		t.Errorf("state of a coordinator without a memory: %v", err)
	}
	if err := os.WriteFile(filepath.Join(fresh, logFile), []byte("not a log"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadState(fresh); !errors.Is(err, ErrCorrupt) {
		t.Errorf("state of a damaged log: %v", err)
	}
}
