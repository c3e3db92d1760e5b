package fsm

import (
	"fmt"
	"strings"
	"testing"

	"primespark/shared/fleet"
	"primespark/shared/problem"
)

// A telling is a founded cluster to which commands come one after another.
type telling struct {
	*FSM
	t     *testing.T
	index uint64
}

func founded(t *testing.T) *telling {
	f := &telling{FSM: New(), t: t}
	if err := f.do(samples[0]); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *telling) do(c Command) error {
	f.index++
	return apply(f.t, f.FSM, f.index, noon, c).Err
}

// TestGossipKeyChanges tells the story of some changes, with those that come in
// between and those whose answers were lost.
func TestGossipKeyChanges(t *testing.T) {
	f := founded(t)
	show := func() string {
		s, _ := f.State()
		g := s.Gossip
		var text strings.Builder
		fmt.Fprintf(&text, "primary %d target %d held", g.Primary, g.Target)
		for _, k := range g.Keys() {
			fmt.Fprint(&text, " ", k.Gen)
		}
		return text.String()
	}
	rotate := func(salt string) Command { return GossipRotate{Salt: Hash(salt)} }
	for _, step := range []struct {
		cmd  Command
		code problem.Code // of the refusal
		want string
	}{
		{GossipSwitch{1}, problem.Conflict, "primary 0 target 0 held 0"},
		{GossipDrop{0}, "", "primary 0 target 0 held 0"},
		{rotate("a"), "", "primary 0 target 1 held 0 1"},
		{rotate("a"), "", "primary 0 target 1 held 0 1"},
		{GossipDrop{1}, problem.Conflict, "primary 0 target 1 held 0 1"},
		{rotate("b"), "", "primary 0 target 2 held 0 2"},
		{GossipSwitch{1}, problem.Conflict, "primary 0 target 2 held 0 2"},
		{GossipSwitch{2}, "", "primary 2 target 2 held 0 2"},
		{GossipSwitch{2}, "", "primary 2 target 2 held 0 2"},
		{rotate("c"), "", "primary 2 target 3 held 0 2 3"},
		{GossipDrop{2}, problem.Conflict, "primary 2 target 3 held 0 2 3"},
		{GossipSwitch{3}, "", "primary 3 target 3 held 0 2 3"},
		{GossipDrop{3}, "", "primary 3 target 3 held 3"},
		{GossipDrop{3}, "", "primary 3 target 3 held 3"},
		{GossipDrop{2}, problem.Conflict, "primary 3 target 3 held 3"},
		{GossipRotate{Salt: "short"}, problem.Invalid, "primary 3 target 3 held 3"},
		{GossipRotate{Salt: Hash("d"), Why: "\n"}, problem.Invalid, "primary 3 target 3 held 3"},
		{rotate("e"), "", "primary 3 target 4 held 3 4"},
	} {
		err := f.do(step.cmd)
		if (err != nil) != (step.code != "") || err != nil && !problem.Is(err, step.code) {
			t.Errorf("%#v: %v, want %q", step.cmd, err, step.code)
		}
		if got := show(); got != step.want {
			t.Errorf("after %#v: %s, want %s", step.cmd, got, step.want)
		}
	}
}

// TestGossipIsDueAfterARevocation, and once for each.
func TestGossipIsDueAfterARevocation(t *testing.T) {
	f := founded(t)
	due := func() bool { s, _ := f.State(); return s.GossipDue() }
	join := func(name string) {
		for _, c := range []Command{
			CodeCreate{ID: "kk" + name[3:], Hash: Hash("s"), Role: fleet.Agent, Uses: 1, Expires: noon.Add(1 << 40)},
			NodeJoin{Code: "kk" + name[3:], Hash: Hash("s"), Name: name, Role: fleet.Agent, Key: Hash(name)},
		} {
			if err := f.do(c); err != nil {
				t.Fatal(err)
			}
		}
	}
	join("pi-1")
	join("pi-2")
	if due() {
		t.Error("due, and nobody was shut out")
	}
	for _, name := range []string{"pi-1", "pi-2"} {
		if err := f.do(NodeRevoke{Name: name}); err != nil {
			t.Fatal(err)
		}
		if !due() {
			t.Errorf("not due after %s was revoked", name)
		}
		if err := f.do(GossipRotate{Salt: Hash(name)}); err != nil {
			t.Fatal(err)
		}
		if due() {
			t.Errorf("still due after the key was changed for %s", name)
		}
	}
}
