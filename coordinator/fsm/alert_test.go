package fsm

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"primespark/shared/problem"
)

// alertSeq is the id of the alert among the samples: the sequence of its event.
const alertSeq = 21

// TestAlertIsToldOnce tells the story of one incident and two leaders that
// overlap.
func TestAlertIsToldOnce(t *testing.T) {
	f := New()
	apply(t, f, 1, noon, samples[0])
	index, now := uint64(1), noon
	do := func(c Command) problem.Code {
		t.Helper()
		index++
		if r := apply(t, f, index, now, c); r.Err != nil {
			return problem.Of(r.Err).Code
		}
		return ""
	}
	alert := func() Alert { s, _ := f.State(); return s.Alerts["hot/pi-1"] }
	open := AlertChange{Open: []AlertOpen{{Rule: "hot", Subject: "pi-1", Severity: "warning", Detail: "pi-1 is hot.", Remedy: "Cool it.", Since: noon}}}
	if code := do(open); code != "" || alert().ID == 0 {
		t.Fatalf("%v, %+v", code, alert())
	}
	id := alert().ID
	if code := do(open); code != "" || alert().ID != id {
		t.Errorf("opened twice: %v, %+v", code, alert())
	}
	send := func(node, step, message string) problem.Code {
		t.Helper()
		return do(AlertSend{Key: "hot/pi-1", ID: id, Message: message, Step: step, Node: node})
	}
	for _, step := range []struct {
		about               string
		after               time.Duration
		node, step, message string
		want                problem.Code
	}{
		{"the leader claims", 0, "c1", SendClaim, "ops firing", ""},
		{"another one that leads, too", 0, "c2", SendClaim, "ops firing", problem.Conflict},
		{"another channel is another message", 0, "c2", SendClaim, "phone firing", ""},
		{"the receiver was away", 0, "c1", SendRelease, "ops firing", ""},
		{"so the other one may", 0, "c2", SendClaim, "ops firing", ""},
		{"the first cannot take that back", 0, "c1", SendRelease, "ops firing", ""},
		{"nor claim", time.Minute, "c1", SendClaim, "ops firing", problem.Conflict},
		{"c2 has died in between", time.Minute, "c1", SendClaim, "ops firing", ""},
		{"the receiver has it", 0, "c1", SendDone, "ops firing", ""},
		{"which is for good", time.Hour, "c2", SendClaim, "ops firing", problem.Conflict},
		{"and not undone", 0, "c1", SendRelease, "ops firing", ""},
		{"unknown step", 0, "c1", "shout", "ops firing", problem.Invalid},
		{"unknown phase", 0, "c1", SendClaim, "ops later", problem.Invalid},
	} {
		now = now.Add(step.after)
		if got := send(step.node, step.step, step.message); got != step.want {
			t.Errorf("%s: %q, want %q", step.about, got, step.want)
		}
	}
	if d := alert().Sent["ops firing"]; !d.Done || d.Node != "c1" {
		t.Errorf("%+v", d)
	}
	do(AlertChange{Forget: []string{"hot/pi-1"}})
	if alert().ID != id {
		t.Error("an alert that holds was forgotten")
	}
	do(AlertChange{Resolve: []string{"hot/pi-1"}})
	if alert().Resolved.IsZero() {
		t.Error("not resolved")
	}
	do(open)
	if a := alert(); a.ID == id || !a.Resolved.IsZero() || len(a.Sent) != 0 {
		t.Errorf("it came again, and is %+v", a)
	}
	if code := send("c1", SendDone, "ops resolved"); code != problem.NotFound {
		t.Errorf("word of the incident before: %v", code)
	}
	do(AlertChange{Resolve: []string{"hot/pi-1"}})
	do(AlertChange{Forget: []string{"hot/pi-1"}})
	if s, _ := f.State(); len(s.Alerts) != 0 {
		t.Errorf("left: %+v", s.Alerts)
	}
}

func TestAlertsAreBounded(t *testing.T) {
	f := New()
	apply(t, f, 1, noon, samples[0])
	var many AlertChange
	for i := range MaxAlerts + 10 {
		many.Open = append(many.Open, AlertOpen{Rule: "hot", Subject: "pi-" + fmt.Sprint(i), Severity: "warning", Detail: "Hot."})
	}
	for i := 0; i < len(many.Open); i += 100 {
		if r := apply(t, f, uint64(i+2), noon, AlertChange{Open: many.Open[i:min(i+100, len(many.Open))]}); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if s, _ := f.State(); len(s.Alerts) != MaxAlerts {
		t.Errorf("%d alerts", len(s.Alerts))
	}
	index := uint64(5000)
	for name, o := range map[string]AlertOpen{
		"rule":    {Rule: "a/b", Subject: "x", Severity: "warning"},
		"subject": {Rule: "a", Subject: "", Severity: "warning"},
		"control": {Rule: "a", Subject: "x", Severity: "warning", Detail: "a\x1b[2J"},
		"length":  {Rule: "a", Subject: "x", Severity: "warning", Detail: strings.Repeat("x", 513)},
	} {
		index++
		if r := apply(t, f, index, noon, AlertChange{Open: []AlertOpen{o}}); r.Err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestSinkRecord: where each coordinator's cursor may go is kept as the leader said
// last, and a record of what can be no log is refused.
func TestSinkRecord(t *testing.T) {
	f := New()
	apply(t, f, 1, noon, samples[0])
	for i, logs := range []map[string]uint64{nil, {"a1": 7, "b2": 9}, {"b2": 10}} {
		if r := apply(t, f, uint64(i+2), noon, SinkRecord{Name: "kafka", Node: "c1", Logs: logs}); r.Err != nil {
			t.Fatal(r.Err)
		}
		s, _ := f.State()
		if got := s.Sinks["kafka"]; !maps.Equal(got.Logs, logs) || got.Times != uint64(i+1) {
			t.Errorf("%+v after %v", got, logs)
		}
	}
	many := map[string]uint64{}
	for i := range 65 {
		many[fmt.Sprintf("log-%d", i)] = 1
	}
	for i, logs := range []map[string]uint64{many, {"No Id": 1}} {
		if r := apply(t, f, uint64(i+5), noon, SinkRecord{Name: "kafka", Node: "c1", Logs: logs}); r.Err == nil {
			t.Errorf("taken: %v", logs)
		}
	}
}
