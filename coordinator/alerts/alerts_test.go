package alerts_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"primespark/coordinator/alerts"
	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/logs"
	"primespark/shared/run"
)

// A group is a raft group made of one state, which any number of leaders change.
type group struct {
	mu    sync.Mutex
	fsm   *fsm.FSM
	index uint64
}

func (g *group) State() (fsm.State, <-chan struct{}) { return g.fsm.State() }

func (g *group) Propose(_ context.Context, actor string, c fsm.Command) (json.RawMessage, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.index++
	data, err := fsm.Encode(time.Now(), actor, c)
	if err != nil {
		return nil, err
	}
	return nil, g.fsm.Apply(&raft.Log{Index: g.index, Data: data}).(fsm.Result).Err
}

// An ear is a channel that hears what is sent, and can be deaf.
type ear struct {
	mu    sync.Mutex
	heard []string
	deaf  error
}

func (e *ear) Send(_ context.Context, m alerts.Message) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.deaf == nil {
		e.heard = append(e.heard, m.State+" "+m.Key)
	}
	return e.deaf
}

func (e *ear) set(deaf error) { e.mu.Lock(); defer e.mu.Unlock(); e.deaf = deaf }
func (e *ear) all() string    { e.mu.Lock(); defer e.mu.Unlock(); return strings.Join(e.heard, ", ") }

type lab struct {
	group *group
	ear   *ear
	alive atomic.Bool
	view  func() fleet.View
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{group: &group{fsm: fsm.New()}, ear: &ear{}}
	l.alive.Store(true)
	init := fsm.ClusterInit{
		Name: "home", Node: fsm.Node{Name: "c1", Key: fsm.Hash("k"), Version: "1", Addresses: identity.Addresses{API: "192.0.2.1:7480", Raft: "192.0.2.1:7481", Gossip: "192.0.2.1:7482"}},
		Token: fsm.TokenCreate{ID: "t1", Name: "admin", Hash: fsm.Hash("s"), Access: fsm.Admin},
	}
	if _, err := l.group.Propose(t.Context(), "ada", init); err != nil {
		t.Fatal(err)
	}
	l.view = func() fleet.View {
		n := fleet.Node{Member: fleet.Member{Name: "c1", Role: fleet.Coordinator}, Liveness: fleet.Alive, Vital: fleet.Vital{Ready: true}}
		if !l.alive.Load() {
			n.Liveness = fleet.Dead
		}
		return fleet.View{n}
	}
	return l
}

// lead has a coordinator lead until stop is called.
func (l *lab) lead(t *testing.T, name string) (stop func()) {
	log := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- run.All(ctx,
			&alerts.Watch{Group: l.group, View: l.view, Limits: alerts.Limits{NodeDown: time.Minute, Celsius: 80, Charge: 0.2}, Channels: []string{"ops"}, Log: log},
			&alerts.Sender{Name: "ops", Self: name, Channel: l.ear, Group: l.group, Log: log})
	}()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func pass(d time.Duration) { time.Sleep(d); synctest.Wait() }

// TestOneMessageWhenItBeginsAndOneWhenItEnds, with two leaders that overlap, and a
// change of the leader in between.
func TestOneMessageWhenItBeginsAndOneWhenItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		first, second := l.lead(t, "c1"), l.lead(t, "c2")
		l.alive.Store(false)
		pass(50 * time.Second)
		if got := l.ear.all(); got != "" {
			t.Errorf("told before it has lasted: %s", got)
		}
		pass(30 * time.Second)
		if got := l.ear.all(); got != "firing node_down/c1" {
			t.Errorf("heard %q, want one message", got)
		}
		first()
		second()
		stop := l.lead(t, "c3")
		pass(10 * time.Minute)
		if got := l.ear.all(); got != "firing node_down/c1" {
			t.Errorf("heard %q after a change of the leader, want one message", got)
		}
		l.alive.Store(true)
		pass(time.Minute)
		if got := l.ear.all(); got != "firing node_down/c1, resolved node_down/c1" {
			t.Errorf("heard %q, want that it is over", got)
		}
		pass(time.Minute)
		if s, _ := l.group.State(); len(s.Alerts) != 0 {
			t.Errorf("kept: %+v", s.Alerts)
		}
		stop()
	})
}

func TestTheReceiverIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		defer l.lead(t, "c1")()
		l.alive.Store(false)
		l.ear.set(errors.New("connection refused"))
		pass(5 * time.Minute)
		l.ear.set(nil)
		pass(6 * time.Minute)
		if got := l.ear.all(); got != "firing node_down/c1" {
			t.Errorf("heard %q, want one message", got)
		}
	})
}

// TestNobodyWasTold: what came and went while the receiver was away is no news.
func TestNobodyWasTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		defer l.lead(t, "c1")()
		l.alive.Store(false)
		l.ear.set(errors.New("connection refused"))
		pass(2 * time.Minute)
		l.alive.Store(true)
		pass(2 * time.Minute)
		l.ear.set(nil)
		pass(10 * time.Minute)
		if got := l.ear.all(); got != "" {
			t.Errorf("heard %q", got)
		}
	})
}

func TestHTTP(t *testing.T) {
	type post struct {
		header http.Header
		body   string
	}
	got := make(chan post, 1)
	status := http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- post{r.Header, string(b)}
		w.WriteHeader(status)
	}))
	defer s.Close()
	secret := func(s string) func() (logs.Secret, error) {
		return func() (logs.Secret, error) { return logs.Secret(s), nil }
	}
	m := alerts.Message{ID: "home/7/firing", State: "firing", Cluster: "home", Key: "node_down/c1", Severity: alerts.Critical, Subject: "c1", Detail: "c1 is down.", Remedy: "Look."}
	c := alerts.HTTP{URL: secret(s.URL), Token: secret("guess-7"), Client: alerts.Client()}
	if err := c.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	p := <-got
	var back alerts.Message
	if err := json.Unmarshal([]byte(p.body), &back); err != nil || back != m {
		t.Errorf("webhook got %s, %v", p.body, err)
	}
	if p.header.Get("Authorization") != "Bearer guess-7" || p.header.Get("Idempotency-Key") != m.ID {
		t.Errorf("headers %v", p.header)
	}
	c.Ntfy = true
	if err := c.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if p = <-got; p.body != "c1 is down. Look." || p.header.Get("X-Priority") != "5" || !strings.Contains(p.header.Get("X-Title"), "node_down c1") {
		t.Errorf("ntfy got %+v", p)
	}
	status = http.StatusInternalServerError
	if err := c.Send(t.Context(), m); err == nil || !strings.Contains(err.Error(), "500") {
		t.Errorf("%v", err)
	}
	<-got
	status = http.StatusFound
	if err := c.Send(t.Context(), m); err == nil {
		t.Error("a redirect counts as sent")
	}
	<-got
	c.URL = secret("http://127.0.0.1:1/guess-7")
	if err := c.Send(t.Context(), m); err == nil || strings.Contains(err.Error(), "guess-7") {
		t.Errorf("nobody there: %v", err)
	}
}

func TestRules(t *testing.T) {
	low, hot := 0.1, 85.0
	state := fsm.State{
		Nodes: map[string]fsm.Node{
			"c1":   {Name: "c1", Role: fleet.Coordinator, State: fsm.Approved},
			"pi-1": {Name: "pi-1", Role: fleet.Agent, State: fsm.Approved},
			"pi-2": {Name: "pi-2", Role: fleet.Agent, State: fsm.Draining},
			"pi-3": {Name: "pi-3", Role: fleet.Agent, State: fsm.Revoked},
		},
		Backup: fsm.Backup{Error: "full"},
	}
	view := fleet.View{
		{Member: fleet.Member{Name: "pi-1"}, Liveness: fleet.Alive, Vital: fleet.Vital{Reasons: []string{"no_models"}, Temperature: &hot, Power: fleet.Power{Source: fleet.Battery, Charge: &low}}},
		{Member: fleet.Member{Name: "pi-2"}, Liveness: fleet.Alive},
	}
	var got []string
	for _, f := range alerts.Find(state, view, alerts.Limits{NodeDown: time.Minute, Celsius: 80, Charge: 0.2}) {
		got = append(got, f.Key()+" "+f.Severity)
	}
	want := "node_down/c1 critical, node_not_ready/pi-1 warning, hot/pi-1 warning, on_battery/pi-1 warning, battery_low/pi-1 critical, backup_failing/backup warning"
	if strings.Join(got, ", ") != want {
		t.Errorf("found %s\nwant %s", strings.Join(got, ", "), want)
	}
}
