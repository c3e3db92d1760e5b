package status

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"primespark/shared/fleet"
)

var ids = regexp.MustCompile(`(?:^|\n)<(?:section|tr) id="([^"]*)"`)

// TestChanges: what is sent is what changed, each an element with an id.
func TestChanges(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*View)
		want   string
	}{
		"nothing":       {func(*View) {}, ""},
		"the clock":     {func(v *View) { v.At = v.At.Add(2e9) }, "lead"},
		"one agent":     {func(v *View) { v.Nodes[2].CPU = 0.5 }, "node-pi-2"},
		"its model":     {func(v *View) { v.Nodes[2].Models = nil }, "node-pi-2 models"},
		"a death":       {func(v *View) { v.Nodes[3].Liveness = fleet.Dead }, "node-pi-3 models"},
		"a new agent":   {func(v *View) { v.Nodes = append(v.Nodes, agent("pi-4")) }, "agents node-pi-1 node-pi-2 node-pi-3 node-pi-4 models"},
		"another agent": {func(v *View) { v.Nodes[3].Name = "pi-4" }, "agents node-pi-1 node-pi-2 node-pi-4 models"},
		"none left":     {func(v *View) { v.Nodes = nil }, "agents models"},
		"an event":      {func(v *View) { v.Events = v.Events[:1] }, "events"},
		"a dead task":   {func(v *View) { v.Queue.Counts[5]++ }, "tasks"},
		"another term":  {func(v *View) { v.Status.Term++ }, "coordinators"},
		"an alert":      {func(v *View) { v.Alerts = trouble().Alerts }, "alerts"},
	} {
		before := healthy()
		after := before
		after.Nodes = slices.Clone(before.Nodes)
		test.change(&after)
		old, err := cut(Shown{before, true})
		if err != nil {
			t.Fatal(err)
		}
		now, err := cut(Shown{after, true})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range ids.FindAllStringSubmatch(strings.Join(now.since(&old), ""), -1) {
			got = append(got, m[1])
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
