package systest_test

import (
	"strings"
	"testing"
	"time"

	"primespark/coordinator/systest"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

// TestReplaceTheLeader has a new coordinator join, and the leader removed through
// itself: it hands over, says that it is no member any more, and the others go on.
func TestReplaceTheLeader(t *testing.T) {
	systest.Test(t, 3, 1, func(t *testing.T, f *systest.Fleet) {
		old := f.WaitHealthy(3, 1).Leader
		f.JoinCoordinator("c4")
		all := f.Via("c1", "c2", "c3", "c4")
		defer all.Close()
		s, _ := all.Wait("four vote", time.Minute, func(s wire.StatusBody) bool { return s.Summary.Voters == 4 })
		own := f.Via(old)
		defer own.Close()
		n, err := own.RevokeNode(t.Context(), old, false)
		if err != nil || n.State != "revoked" {
			t.Fatalf("remove the leader %s through itself: %+v, %v", old, n, err)
		}
		rest := f.Via(others(s, old)...)
		defer rest.Close()
		if err := rest.Change(5 * time.Second); err != nil {
			t.Errorf("a change afterwards: %v", err)
		}
		rest.Wait("three are left", time.Minute, func(s wire.StatusBody) bool {
			return s.Summary.Voters == 3 && find(s, old).Name == "" && find(s, s.Leader).Role == wire.RoleLeader
		})
		time.Sleep(10 * time.Second)
		ready, err := own.Ready(t.Context())
		if err != nil || ready.Ready || !strings.Contains(codes(ready), "removed") || strings.Contains(codes(ready), "no_quorum") {
			t.Errorf("the removed one says %+v, %v, want that it is removed, and nothing of a quorum", ready, err)
		}
		if err := own.Change(time.Second); err == nil {
			t.Error("the removed one changes something")
		}
	})
}

// TestRemoveKeepsQuorum: with one of three away, no other one can be removed
// unless that is wanted; the one that is away can.
func TestRemoveKeepsQuorum(t *testing.T) {
	systest.Test(t, 3, 0, func(t *testing.T, f *systest.Fleet) {
		s := f.WaitHealthy(3, 0)
		rest := others(s, s.Leader)
		f.Kill(rest[0])
		c := f.Via(s.Leader)
		defer c.Close()
		_, err := c.RevokeNode(t.Context(), rest[1], false)
		if !problem.Is(err, problem.Conflict) || !strings.Contains(problem.Of(err).Remedy, "recover --from-one") {
			t.Errorf("remove %s while %s is away: %+v", rest[1], rest[0], err)
		}
		if err := c.Change(5 * time.Second); err != nil {
			t.Errorf("after a refusal: %v", err)
		}
		if _, err := c.RevokeNode(t.Context(), rest[0], false); err != nil {
			t.Errorf("remove the one that is away: %v", err)
		}
		c.Wait("two are left", time.Minute, func(s wire.StatusBody) bool { return s.Summary.Voters == 2 })
		if _, err := c.RevokeNode(t.Context(), rest[1], true); err != nil {
			t.Errorf("by force: %v", err)
		}
		c.Wait("one is left", time.Minute, func(s wire.StatusBody) bool { return s.Summary.Voters == 1 })
		if _, err := c.RevokeNode(t.Context(), s.Leader, true); !problem.Is(err, problem.Conflict) {
			t.Errorf("to remove the only coordinator: %v", err)
		}
	})
}

func codes(b wire.ReadyBody) string {
	var all []string
	for _, r := range b.Reasons {
		all = append(all, r.Code)
	}
	return strings.Join(all, " ")
}
