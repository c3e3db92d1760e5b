package status

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/wire"
)

func TestPulse(t *testing.T) {
	var p Pulse
	note := func(after time.Duration, change func(*wire.NodeBody)) string {
		n := agent("pi-1")
		if change != nil {
			change(&n)
		}
		v := View{At: noon.Add(after), Nodes: []wire.NodeBody{{Name: "c1", Role: fleet.Coordinator}, n}}
		p.Note(&v)
		if len(v.Beats) > 1 {
			t.Errorf("bars of %d nodes", len(v.Beats))
		}
		return strings.TrimLeft(string(v.Beats["pi-1"]), ".")
	}
	dead := func(n *wire.NodeBody) { n.Liveness = fleet.Dead }
	for _, step := range []struct {
		name   string
		after  time.Duration
		change func(*wire.NodeBody)
		want   string
	}{
		{"the first look", 0, nil, "o"},
		{"the same minute", 59 * time.Second, nil, "o"},
		{"dead in the next", time.Minute, dead, "ox"},
		{"back in the same: the worst counts", 70 * time.Second, nil, "ox"},
		{"not ready", 2 * time.Minute, func(n *wire.NodeBody) { n.Ready = false }, "oxw"},
		{"a clock that went back", time.Minute, nil, "oxw"},
		{"nobody looked for two", 5 * time.Minute, nil, "oxw..o"},
		{"it said goodbye", 6 * time.Minute, func(n *wire.NodeBody) { n.Liveness = fleet.Left }, "oxw..ol"},
		{"half an hour later", 30 * time.Minute, nil, "xw..ol.......................o"},
		{"a day later", 24 * time.Hour, nil, "o"},
		{"revoked", 25 * time.Hour, func(n *wire.NodeBody) { n.State = "revoked" }, ""},
		{"admitted again", 25 * time.Hour, nil, "o"},
	} {
		if got := note(step.after, step.change); got != step.want {
			t.Errorf("%s: %q, want %q", step.name, got, step.want)
		}
	}
}

func TestBeats(t *testing.T) {
	for b, want := range map[Beats]struct {
		bars  []Bar
		words string
	}{
		"":       {nil, "nothing is known of the last half hour"},
		"...":    {[]Bar{{"off", 0, 11}}, "nothing is known of the last half hour"},
		".oo":    {[]Bar{{"off", 0, 3}, {"ok", 4, 7}}, "well in all of the last 2 min"},
		"oxwxl":  {[]Bar{{"ok", 0, 3}, {"bad", 4, 3}, {"warn", 8, 3}, {"bad", 12, 3}, {"left", 16, 3}}, "of the last 5 min: down 2, not well 1, switched off 1"},
		"<'o":    {[]Bar{{"ok", 8, 3}}, "well in all of the last 3 min"},
		"wwwoow": {[]Bar{{"warn", 0, 11}, {"ok", 12, 7}, {"warn", 20, 3}}, "of the last 6 min: not well 4"},
	} {
		if got := b.Bars(); !reflect.DeepEqual(got, want.bars) || b.Words() != want.words {
			t.Errorf("%q: %v %q", b, got, b.Words())
		}
	}
}
