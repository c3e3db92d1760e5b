package consensus

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"primespark/coordinator/fsm"
	"primespark/shared/pipenet"
)

// nothingChanges is a change that changes nothing, for the entry that it makes.
var nothingChanges = fsm.TaskBatch{Ops: []fsm.TaskOp{{Cancel: &fsm.TaskCancel{ID: "none"}}}}

// TestCommittedIsOnQuorumOfDisks goes through who votes, whose disk hangs and who is
// cut off. With l for the leader and the others as they come, an entry is answered if
// the rest, the leader among them, are a majority; then it is on so many disks. If
// not, nobody takes it for agreed on.
func TestCommittedIsOnQuorumOfDisks(t *testing.T) {
	for name, test := range map[string]struct {
		voters    int
		hung, cut string // l, 1 to 4 for the others
		want      bool
	}{
		"one":                                {1, "", "", true},
		"one, hung":                          {1, "l", "", false},
		"two":                                {2, "", "", true},
		"two, leader hung":                   {2, "l", "", false},
		"two, follower hung":                 {2, "1", "", false},
		"two, follower cut off":              {2, "", "1", false},
		"three":                              {3, "", "", true},
		"three, leader hung":                 {3, "l", "", false},
		"three, one hung":                    {3, "1", "", true},
		"three, both hung":                   {3, "12", "", false},
		"three, one cut off":                 {3, "", "2", true},
		"three, one hung and one cut off":    {3, "1", "2", false},
		"three, leader hung and one cut off": {3, "l", "1", false},
		"three, leader and one hung":         {3, "l1", "", false},
		"five, leader hung":                  {5, "l", "", false},
		"five, three hung":                   {5, "123", "", false},
		"five, two hung and one cut off":     {5, "12", "3", false},
		"five, leader hung, two cut off":     {5, "l", "12", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGroup(t, &pipenet.Net{})
				g.found()
				for _, name := range []string{"c2", "c3", "c4", "c5"}[:test.voters-1] {
					g.join(name)
				}
				quorumOfDisks(t, g, test.hung, test.cut, test.want)
			})
		})
	}
}

// TestWitnessDiskCounts: what a witness has on its disk counts, and what it has not
// does not.
func TestWitnessDiskCounts(t *testing.T) {
	for name, test := range map[string]struct {
		hung, cut string
		want      bool
	}{
		"leader hung":                     {"l", "", false},
		"witness hung":                    {"2", "", true},
		"the other cut off":               {"", "1", true},
		"the other cut off, witness hung": {"2", "1", false},
	} {
		t.Run(name, func(t *testing.T) {
			withWitness(t, func(t *testing.T, g *group) { quorumOfDisks(t, g, test.hung, test.cut, test.want) })
		})
	}
}

// quorumOfDisks proposes while the disks of some hang, and checks at the answer what a
// power cut of all would leave. The witness is the last of the others.
func quorumOfDisks(t *testing.T, g *group, hung, cut string, want bool) {
	t.Helper()
	names := g.others()
	leader := g.leader(names...)
	order := append([]string{leader.name}, g.others(leader.name)...)
	chosen := func(marks string) (all []*member) {
		for _, m := range marks {
			at := 0
			if m != 'l' {
				at = int(m - '0')
			}
			all = append(all, g.nodes[order[at]])
		}
		return all
	}
	g.wait("all have the same", func() bool {
		return !slices.ContainsFunc(names, func(n string) bool { return g.nodes[n].Status().Applied != leader.Status().Applied })
	})
	_, before := edges(t, leader.store)
	for _, m := range chosen(cut) {
		g.net.Isolate(m.name)
	}
	for _, m := range chosen(hung) {
		defer m.disk.hang()()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	answer := make(chan error, 1)
	go func() {
		_, err := leader.Propose(ctx, "token:test", nothingChanges)
		answer <- err
	}()
	time.Sleep(150 * time.Millisecond) // less than a leader leads without hearing of anybody
	select {
	case err := <-answer:
		if !want || err != nil {
			t.Fatalf("answered %v, want an answer: %t", err, want)
		}
	default:
		if want {
			t.Fatal("not answered, although a majority has it on the disk")
		}
		for _, name := range names {
			if i := g.nodes[name].raft.CommitIndex(); i > before {
				t.Errorf("%s takes entry %d for agreed on, the last one that is is %d", name, i, before)
			}
		}
		return
	}
	var have []string
	for _, name := range names {
		if _, last := edges(t, afterPowerCut(t, g.nodes[name].store)); last > before {
			have = append(have, name)
		}
	}
	if !slices.Contains(have, leader.name) || len(have) <= len(names)/2 {
		t.Errorf("acknowledged, and on the disks of %v of %d", have, len(names))
	}
}

// TestLeaderDiesBehind: a leader loses its power when the others have entries on their
// disks that its own has not. It comes back without them, and is given them.
func TestLeaderDiesBehind(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		old := g.leader("c1", "c2", "c3")
		rest := g.others(old.name)
		if _, err := g.token(old.name); err != nil {
			t.Fatal(err)
		}
		release := old.disk.hang()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := old.Propose(ctx, "token:test", nothingChanges); err == nil {
			t.Fatal("answered before the leader's disk has written")
		}
		_, ahead := edges(t, g.nodes[rest[0]].store)
		cut := filepath.Dir(afterPowerCut(t, old.store).path) // opened and given back by the end of the test
		left := filepath.Join(t.TempDir(), "raft")
		if err := os.CopyFS(left, os.DirFS(cut)); err != nil {
			t.Fatal(err)
		}
		g.net.Isolate(old.name)
		id, err := g.token(g.leader(rest...).name)
		if err != nil {
			t.Fatal(err)
		}
		release()
		g.halt(old)
		old.dir = left
		g.net.Heal()
		back := g.start(old.name)
		if _, last := edges(t, back.store); last >= ahead {
			t.Fatalf("it came back with entry %d, and should have lost %d", last, ahead)
		}
		g.leader("c1", "c2", "c3")
		s, err := readFor(back.Node, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := s.Tokens[id]; !ok {
			t.Error("what was acknowledged meanwhile is missing")
		}
		checkAll(g)
	})
}

// TestLeadersDiskFails: it fails when the leader has said that entries are stored.
// Nothing is acknowledged, and another leads without anybody's help.
func TestLeadersDiskFails(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		old := g.leader("c1", "c2", "c3")
		old.disk.fail(unix.EIO)
		for range 2 { // who stores next is told, and that ends the leadership; then another may answer
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := old.Propose(ctx, "token:test", nothingChanges); err == nil && old.Leading().Get() {
				t.Fatal("acknowledged by a leader whose disk fails")
			}
			cancel()
		}
		rest := g.others(old.name)
		g.wait("another leads", func() bool { return g.nodes[rest[0]].Leading().Get() || g.nodes[rest[1]].Leading().Get() })
		id, err := g.token(rest[0])
		if err != nil {
			t.Fatal(err)
		}
		old.disk.fail(nil)
		s, err := readFor(old.Node, 10*time.Second)
		if _, ok := s.Tokens[id]; !ok || err != nil {
			t.Errorf("what was acknowledged meanwhile is missing (%v)", err)
		}
		checkAll(g)
	})
}

// TestTransferBehind: a leader whose disk is behind hands over once it has written,
// and to nobody before.
func TestTransferBehind(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		old := g.leader("c1", "c2", "c3")
		release := old.disk.hang()
		answer := make(chan error, 1)
		go func() {
			_, err := old.Propose(t.Context(), "token:test", nothingChanges)
			answer <- err
		}()
		time.Sleep(50 * time.Millisecond)
		moved := make(chan error, 1)
		go func() { moved <- old.TransferLeadership(t.Context()) }()
		time.Sleep(50 * time.Millisecond)
		release()
		if err := <-moved; err != nil {
			t.Fatal(err)
		}
		if err := <-answer; err != nil && !errors.Is(err, ErrUnknown) {
			t.Errorf("the write under way: %v", err)
		}
		if now := g.leader("c1", "c2", "c3"); now == old {
			t.Error("still leads")
		}
		checkAll(g)
	})
}

// TestSendsWhileItWrites: a leader whose disk hangs has sent the entry all the same.
func TestSendsWhileItWrites(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		leader := g.leader("c1", "c2", "c3")
		_, before := edges(t, leader.store)
		release := leader.disk.hang()
		done := make(chan error, 1)
		go func() {
			_, err := leader.Propose(t.Context(), "token:test", fsm.TaskBatch{Ops: []fsm.TaskOp{{Cancel: &fsm.TaskCancel{ID: "none"}}}})
			done <- err
		}()
		synctest.Wait()
		for _, name := range g.others(leader.name) {
			if _, last := edges(t, g.nodes[name].store); last != before+1 {
				t.Errorf("%s has entries up to %d while the leader writes, want %d", name, last, before+1)
			}
		}
		release()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}
