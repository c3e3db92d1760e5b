package consensus

import (
	"testing"

	"github.com/hashicorp/raft"
)

// TestConfirmationsSince counts the answers of voters to what was sent after a moment
// of the same term.
func TestConfirmationsSince(t *testing.T) {
	group := func(voters ...raft.ServerID) (c raft.Configuration) {
		for _, id := range voters {
			c.Servers = append(c.Servers, raft.Server{ID: id, Suffrage: raft.Voter})
		}
		return c
	}
	three := group("c1", "c2", "c3")
	learning := group("c1", "c2")
	learning.Servers = append(learning.Servers, raft.Server{ID: "c3", Suffrage: raft.Nonvoter})

	var c confirmations
	early := c.moment()
	began := c.moment()
	late := c.moment()
	for _, step := range []struct {
		name  string
		note  func()
		group raft.Configuration
		want  bool
	}{
		{"alone", func() {}, group("c1"), true},
		{"nobody answered", func() {}, three, false},
		{"sent before", func() { c.note("c2", 7, early) }, three, false},
		{"sent after, in an older term", func() { c.note("c3", 6, late) }, three, false},
		{"by one who has no vote", func() { c.note("c3", 7, late) }, learning, false},
		{"one of two others", func() {}, three, true},
		{"a majority without this node", func() {}, group("c3"), true},
		{"of two others both are needed", func() {}, group("c2", "c3"), false},
		{"an older answer that came last", func() { c.note("c3", 7, early) }, three, true},
		{"a newer term", func() { c.note("c3", 8, late) }, three, false},
	} {
		step.note()
		if got := c.since(began, 7, "c1", step.group); got != step.want {
			t.Errorf("%s: %v", step.name, got)
		}
	}
}
