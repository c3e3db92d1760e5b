package coordinator

import (
	"testing"
	"time"

	"primespark/coordinator/consensus"
	"primespark/coordinator/events"
	"primespark/shared/fleet"
)

func TestStanding(t *testing.T) {
	for name, test := range map[string]struct {
		status consensus.Status
		want   events.Standing
	}{
		"leads":            {consensus.Status{Name: "c1", Leader: "c1"}, events.Standing{Leader: "c1", Quorum: true}},
		"follows":          {consensus.Status{Name: "c1", Leader: "c2", LastContact: 100 * time.Millisecond}, events.Standing{Leader: "c2", Quorum: true}},
		"leader is silent": {consensus.Status{Name: "c1", Leader: "c2", LastContact: silence}, events.Standing{Leader: "c2"}},
		"never heard":      {consensus.Status{Name: "c1", Leader: "c2", LastContact: -1}, events.Standing{Leader: "c2"}},
		"no leader":        {consensus.Status{Name: "c1"}, events.Standing{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := standing(test.status); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestModeOf(t *testing.T) {
	other := fleet.Node{Member: fleet.Member{Name: "pi-1"}, Liveness: fleet.Alive}
	gone := fleet.Node{Member: fleet.Member{Name: "pi-1"}, Liveness: fleet.Dead}
	self := fleet.Node{Member: fleet.Member{Name: "c1"}, Liveness: fleet.Alive}
	for name, test := range map[string]struct {
		quorum bool
		view   fleet.View
		want   fleet.Mode
	}{
		"quorum":          {true, nil, fleet.Normal},
		"others, none":    {false, fleet.View{self, other}, fleet.Degraded},
		"others are dead": {false, fleet.View{self, gone}, fleet.Isolated},
		"only itself":     {false, fleet.View{self}, fleet.Isolated},
	} {
		t.Run(name, func(t *testing.T) {
			if got := modeOf("c1", events.Standing{Quorum: test.quorum}, test.view); got != test.want {
				t.Errorf("mode %s, want %s", got, test.want)
			}
		})
	}
}

func TestSentence(t *testing.T) {
	for _, test := range []struct {
		group events.Standing
		wrong []string
		want  string
	}{
		{events.Standing{Leader: "c1", Quorum: true}, nil, "Leads the group."},
		{events.Standing{Leader: "c2", Quorum: true}, []string{"storage_full"}, "Not ready (storage_full). Follows c2."},
		{events.Standing{Leader: "c2"}, nil, "Sees no quorum: nothing can be decided, inference goes on."},
	} {
		if got := sentence("c1", test.group, test.wrong); got != test.want {
			t.Errorf("sentence(%+v, %v) = %q, want %q", test.group, test.wrong, got, test.want)
		}
	}
}
