package api

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"primespark/coordinator/fsm"
	"primespark/shared/wire"
)

// TestAlerts: what holds is listed with who was told; what is over, or was only
// claimed to be sent, is not.
func TestAlerts(t *testing.T) {
	l := newLab(t)
	ask := func() (b wire.AlertsBody) {
		t.Helper()
		w := l.do(l.as("viewer", "GET", "/v1/alerts", ""))
		if err := json.Unmarshal(w.Body.Bytes(), &b); err != nil || w.Code != 200 {
			t.Fatalf("status %d, %v: %s", w.Code, err, w.Body)
		}
		return b
	}
	if b := ask(); b.Alerts == nil || len(b.Alerts) != 0 {
		t.Errorf("before anything is wrong: %+v, want an empty list", b)
	}
	open := func(rule, subject, severity string, since time.Duration) fsm.AlertOpen {
		return fsm.AlertOpen{Rule: rule, Subject: subject, Severity: severity, Detail: subject + " is " + rule + ".", Remedy: "Look.", Since: noon.Add(since)}
	}
	l.must(fsm.AlertChange{Open: []fsm.AlertOpen{
		open("hot", "pi-2", "warning", 2*time.Minute), open("hot", "pi-1", "warning", time.Minute), open("node_down", "c3", "critical", time.Hour), open("over", "pi-1", "warning", 0),
	}})
	l.must(fsm.AlertChange{Resolve: []string{"over/pi-1"}})
	before, _ := l.group.State()
	id := before.Alerts["node_down/c3"].ID
	for _, message := range []string{"ops firing", "phone firing", "home firing"} {
		l.must(fsm.AlertSend{Key: "node_down/c3", ID: id, Message: message, Step: fsm.SendClaim, Node: "c2"})
	}
	l.must(fsm.AlertSend{Key: "node_down/c3", ID: id, Message: "ops firing", Step: fsm.SendDone, Node: "c2"})
	l.must(fsm.AlertSend{Key: "node_down/c3", ID: id, Message: "home firing", Step: fsm.SendRelease, Node: "c2"})

	b := ask()
	var keys []string
	for _, a := range b.Alerts {
		keys = append(keys, a.Key)
	}
	if d := cmp.Diff([]string{"node_down/c3", "hot/pi-1", "hot/pi-2"}, keys); d != "" {
		t.Fatalf("(-want +got):\n%s", d)
	}
	want := wire.Alert{
		ID: id, Key: "node_down/c3", Rule: "node_down", Subject: "c3", Severity: "critical", Detail: "c3 is node_down.", Remedy: "Look.",
		Since: noon.Add(time.Hour), Told: []wire.AlertTold{{Channel: "ops", At: noon, By: "c2"}},
	}
	if d := cmp.Diff(want, b.Alerts[0]); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if b.Alerts[1].Told == nil {
		t.Error("nobody was told is null, want an empty list")
	}
}
