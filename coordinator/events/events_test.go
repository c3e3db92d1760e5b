package events

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/watch"
	"primespark/shared/wire"
)

func ids(all []wire.Event) string {
	var out []string
	for _, e := range all {
		out = append(out, e.ID)
	}
	return strings.Join(out, " ")
}

func TestAfter(t *testing.T) {
	// "c" came late: it is of before "d" but was learnt after it.
	all := []wire.Event{{ID: "a"}, {ID: "b"}, {ID: "d"}, {ID: "c"}, {ID: "f"}}
	for name, test := range map[string]struct {
		id    string
		limit int
		want  string
	}{
		"the last ones":       {"", 2, "c f"},
		"more than there are": {"", 9, "a b d c f"},
		"after one":           {"b", 9, "d c f"},
		"the late one too":    {"d", 9, "c f"},
		"limited":             {"a", 2, "b d"},
		"after the last":      {"f", 9, ""},
		"of elsewhere":        {"bb", 9, "d c f"},
		"of the future":       {"z", 9, ""},
		"none":                {"a", 0, ""},
		"less than none":      {"a", -1, ""},
	} {
		if got := ids(After(all, test.id, test.limit)); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

func TestLogIsBounded(t *testing.T) {
	l := NewLog()
	l.Add(wire.Event{ID: "first"})
	before, changed := l.Load()
	for i := range Kept {
		l.Add(wire.Event{ID: fmt.Sprint(i)})
	}
	all, _ := l.Load()
	if len(all) != Kept || all[0].ID != "0" || all[Kept-1].ID != fmt.Sprint(Kept-1) {
		t.Errorf("%d events from %s", len(all), all[0].ID)
	}
	if len(before) != 1 || before[0].ID != "first" {
		t.Error("what was handed out has changed")
	}
	select {
	case <-changed:
	default:
		t.Error("nobody was told")
	}
}

func TestWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		states := watch.New(fsm.State{
			Nodes:  map[string]fsm.Node{"pi-1": {Name: "pi-1"}},
			Events: []fsm.Event{{Seq: 1, At: at, Kind: fsm.KindJoin, Actor: "code:x", Subject: "pi-1", Severity: fsm.Info, Detail: "The agent pi-1 joined."}},
		})
		node := func(name string, l fleet.Liveness) fleet.Node {
			return fleet.Node{Member: fleet.Member{Name: name, Role: fleet.Agent}, Liveness: l, Since: time.Now()}
		}
		views := watch.New(fleet.View{node("c1", fleet.Alive)})
		standing := watch.New(Standing{})
		log := NewLog()
		w := &Watcher{Self: "c1", Log: log, State: states.Load, Views: views, Group: standing.Get}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()

		steps := []func(){
			func() { standing.Store(Standing{Leader: "c1", Quorum: true}) },
			func() { views.Store(fleet.View{node("c1", fleet.Alive), node("pi-1", fleet.Alive)}) },
			func() { views.Store(fleet.View{node("c1", fleet.Alive), node("pi-1", fleet.Dead)}) },
			func() { standing.Store(Standing{}) }, // an election
			func() { standing.Store(Standing{Leader: "c1", Quorum: true}) },
			func() { standing.Store(Standing{}) }, // no leader known, no quorum
			func() { time.Sleep(4 * time.Second) },
			func() { standing.Store(Standing{Leader: "c1", Quorum: true}) },
			func() { views.Store(fleet.View{node("c1", fleet.Alive), node("pi-1", fleet.Alive)}) },
			func() { standing.Store(Standing{Leader: "c2", Quorum: true}) },
			func() { views.Store(fleet.View{node("c1", fleet.Alive), node("pi-1", fleet.LinkDown)}) },
			func() { views.Store(fleet.View{node("c1", fleet.Alive), node("pi-1", fleet.Left)}) },
			func() {
				s := states.Get()
				s.Events = append(s.Events, fsm.Event{Seq: 2, At: time.Now(), Kind: fsm.KindToken, Subject: "t1", Severity: fsm.Warning, Detail: "A token."})
				states.Store(s)
			},
		}
		for _, step := range steps {
			step()
			time.Sleep(time.Second)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		all, _ := log.Load()
		var got []string
		for _, e := range all {
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s: %s", e.Severity, e.Code, e.Node, e.Detail)))
			if !wire.ValidEventID(e.ID) || e.At.IsZero() {
				t.Errorf("event without id or time: %+v", e)
			}
			if e.Severity != Info && e.ID[17] == 'l' && e.Remedy == "" {
				t.Errorf("%s has no remedy", e.Code)
			}
		}
		want := []string{
			"info node.join pi-1: The agent pi-1 joined.",
			"info leader.changed c1: c1 leads the coordinators.",
			"info node.alive pi-1: The agent pi-1 is there.",
			"warning node.dead pi-1: The agent pi-1 does not answer any more.",
			"error quorum.lost : Most coordinators cannot be reached: nothing can be decided. Inference goes on.",
			"info quorum.back : The coordinators have a quorum again, after 6 s.",
			"info node.alive pi-1: The agent pi-1 is back after 10 s.",
			"info leader.changed c2: c2 leads the coordinators.",
			"warning node.link_down pi-1: The link to pi-1 is down; others still see it.",
			"info node.left pi-1: The agent pi-1 said goodbye.",
			"warning token.create : A token.",
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if all[0].ID != wire.EventID(at, 'a', 1) {
			t.Errorf("a decision's id is %s: it must be the same on every coordinator", all[0].ID)
		}
	})
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 119 * time.Second: "119 s", 3 * time.Minute: "3 min", 5 * time.Hour: "5 h", 72 * time.Hour: "3 d",
	} {
		if got := span(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
