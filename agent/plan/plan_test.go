package plan

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/identity"
	"primespark/shared/identity/identitytest"
	"primespark/shared/pipenet"
	"primespark/shared/problem"
	"primespark/shared/task"
	"primespark/shared/watch"
	"primespark/shared/wire"
)

// A lab is an agent, and a coordinator that answers with whatever plan is set.
type lab struct {
	t          *testing.T
	net        pipenet.Net
	cluster    *identitytest.Cluster
	id         *identity.Identity
	dir        string
	conditions *health.Registry
	plan       *watch.Value[wire.PlanBody]
	fail       atomic.Pointer[problem.Error] // what the coordinator answers instead
	hasty      atomic.Bool                   // it does not wait
	polls      atomic.Int64
}

func newLab(t *testing.T, dir string) *lab {
	t.Helper()
	l := &lab{
		t: t, cluster: identitytest.New(t, "home"), dir: dir, conditions: health.New(nil),
		plan: watch.New(wire.PlanBody{Index: 7, State: "approved", Deny: map[string]time.Time{}, Coordinators: []wire.PlanCoordinator{{Name: "c1", API: "10.0.0.1:7480", Gossip: "10.0.0.1:7482"}}}),
	}
	credentials := l.cluster.Credentials(fleet.Agent, "pi-1", time.Now())
	credentials.Peers.API = []string{"10.0.0.9:7480", "10.0.0.1:7480"} // the first is gone for good
	var err error
	if l.id, err = identity.New(credentials); err != nil {
		t.Fatal(err)
	}
	l.net.Host("10.0.0.9")
	listener, err := l.net.Host("10.0.0.1").Listen(t.Context(), "tcp", ":7480")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(l.answer), TLSConfig: l.cluster.Node(fleet.Coordinator, "c1").ServerTLS(tls.RequireAndVerifyClientCert), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	done := make(chan error, 1)
	go func() { done <- server.ServeTLS(listener, "", "") }()
	t.Cleanup(func() { server.Close(); <-done })
	return l
}

// answer is the coordinator's long poll.
func (l *lab) answer(w http.ResponseWriter, r *http.Request) {
	l.polls.Add(1)
	if e := l.fail.Load(); e != nil {
		problem.Write(w, e)
		return
	}
	since := r.URL.Query().Get("index")
	wait, err := time.ParseDuration(r.URL.Query().Get("wait"))
	if err != nil {
		problem.Write(w, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	if l.hasty.Load() {
		since = ""
		time.Sleep(time.Millisecond) // of a bubble, in which time would not pass otherwise
	}
	p, _ := l.plan.Until(ctx, func(p wire.PlanBody) bool { b, _ := json.Marshal(p.Index); return string(b) > since })
	if err := json.NewEncoder(w).Encode(p); err != nil {
		l.t.Log(err)
	}
}

// start makes the agent's follower, as a process that has just begun, and runs it.
func (l *lab) start() (f *Follower, stop func()) {
	l.t.Helper()
	host := l.net.Host("10.0.0.2")
	f = New(Config{
		Identity: l.id, Dir: l.dir, View: func() fleet.View { return nil }, Conditions: l.conditions, Log: slog.New(slog.DiscardHandler),
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			return host.Dial(ctx, network, address)
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	return f, func() {
		cancel()
		if err := <-done; err != nil {
			l.t.Errorf("Run: %v", err)
		}
	}
}

func (l *lab) codes() string { return strings.Join(l.conditions.All().Codes(), " ") }

// admits reports whether the agent takes a certificate.
func (l *lab) admits(who *identity.Identity) bool {
	leaf, err := who.ServerTLS(tls.NoClientCert).GetCertificate(nil)
	if err != nil {
		l.t.Fatal(err)
	}
	_, err = l.id.Admitted(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf.Leaf}})
	return err == nil
}

func story(t *testing.T, tell func(*testing.T, *lab)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		tell(t, newLab(t, dir))
		time.Sleep(2 * time.Minute) // connections that were cut are given up
	})
}

// TestFollow: news is in force at once, and still after a restart with nobody in
// reach.
func TestFollow(t *testing.T) {
	story(t, func(t *testing.T, l *lab) {
		outlaw := l.cluster.Node(fleet.Agent, "pi-2")
		f, stop := l.start()
		time.Sleep(5 * time.Second)
		if d := cmp.Diff([]string{"10.0.0.1:7482"}, f.Seeds()); d != "" || l.codes() != "" || !l.admits(outlaw) {
			t.Errorf("after the first plan: seeds %s, conditions %q", d, l.codes())
		}
		next := l.plan.Get()
		next.Index, next.State, next.Deny = 8, "draining", map[string]time.Time{outlaw.KeyHash(): time.Now().Add(time.Hour)}
		l.plan.Store(next)
		time.Sleep(time.Second)
		if l.admits(outlaw) || l.codes() != "draining" {
			t.Errorf("a second after the news: admitted %t, conditions %q", l.admits(outlaw), l.codes())
		}
		// A plan that lacks the key, as of an older state, gives it nothing back.
		next.Index, next.State, next.Deny = 9, "approved", nil
		l.plan.Store(next)
		time.Sleep(time.Second)
		if l.admits(outlaw) || l.codes() != "" {
			t.Errorf("after the next plan: admitted %t, conditions %q", l.admits(outlaw), l.codes())
		}
		stop()
		l.net.Isolate("10.0.0.1")
		l.id.SetDeny(identity.Deny{}.Denies)
		f, stop = l.start()
		if l.admits(outlaw) || len(f.Seeds()) != 1 {
			t.Errorf("right after a boot alone: admitted %t, seeds %v", l.admits(outlaw), f.Seeds())
		}
		time.Sleep(2 * time.Hour) // its certificates have expired
		l.net.Heal()
		time.Sleep(time.Minute)
		if n := len(f.now().Deny); n != 0 {
			t.Errorf("%d keys are denied whose certificates have expired", n)
		}
		stop()
	})
}

// TestHasty: a coordinator that answers at once without news, as one of another release
// may that stops, is not asked again and again.
func TestHasty(t *testing.T) {
	story(t, func(t *testing.T, l *lab) {
		l.hasty.Store(true)
		_, stop := l.start()
		time.Sleep(10 * time.Second)
		stop()
		if n := l.polls.Load(); n < 2 || n > 50 {
			t.Errorf("asked %d times in 10 s", n)
		}
	})
}

// TestModels: what the node is to serve is told at once, is known after a restart with
// nobody in reach, and is not taken away by a coordinator that knows of no models.
func TestModels(t *testing.T) {
	story(t, func(t *testing.T, l *lab) {
		f, stop := l.start()
		if m, _ := f.Models(); m.Known {
			t.Errorf("before anybody told: %+v", m)
		}
		time.Sleep(time.Second)
		m, changed := f.Models()
		if m.Known {
			t.Errorf("told by a coordinator that knows of none: %+v", m)
		}
		next := l.plan.Get()
		next.Index, next.Models = 8, []wire.PlanModel{{Name: "pets", Version: "1", Bill: task.ObjectOf([]byte("bill"))}}
		l.plan.Store(next)
		<-changed
		if m, _ := f.Models(); !m.Known || len(m.List) != 1 || m.List[0] != next.Models[0] {
			t.Errorf("after the news: %+v", m)
		}
		stop()
		l.net.Isolate("10.0.0.1")
		f, stop = l.start()
		if m, _ := f.Models(); !m.Known || len(m.List) != 1 {
			t.Errorf("right after a boot alone: %+v", m)
		}
		l.net.Heal()
		older := next
		older.Index, older.Models, older.Fleet = 9, nil, 5
		l.plan.Store(older)
		time.Sleep(time.Minute)
		if m, _ := f.Models(); len(m.List) != 1 || f.Fleet() != 5 {
			t.Errorf("after the plan of an older coordinator: %+v", m)
		}
		older.Index, older.Models = 91, []wire.PlanModel{}
		l.plan.Store(older)
		time.Sleep(time.Minute)
		if m, _ := f.Models(); !m.Known || len(m.List) != 0 {
			t.Errorf("after all went: %+v", m)
		}
		stop()
	})
}

// TestAlone: a node with nobody to ask asks seldom, and follows soon once there is.
func TestAlone(t *testing.T) {
	story(t, func(t *testing.T, l *lab) {
		l.fail.Store(problem.New(problem.NoQuorum, "Wait.", "No majority."))
		_, stop := l.start()
		time.Sleep(time.Hour)
		if n := l.polls.Load(); n > 1000 {
			t.Errorf("%d tries in an hour", n)
		}
		l.fail.Store(nil)
		next := l.plan.Get()
		next.State = "draining"
		l.plan.Store(next)
		time.Sleep(25 * time.Second)
		if l.codes() != "draining" {
			t.Errorf("25s after the coordinators are back: %q", l.codes())
		}
		before := l.polls.Load()
		time.Sleep(time.Hour)
		if n := l.polls.Load() - before; n > 70 {
			t.Errorf("%d polls in an hour without news", n)
		}
		stop()
	})
}

// TestRevoked: it says so, until it is back with another key.
func TestRevoked(t *testing.T) {
	story(t, func(t *testing.T, l *lab) {
		next := l.plan.Get()
		next.State, next.Deny = "revoked", map[string]time.Time{l.id.KeyHash(): time.Now().Add(time.Hour)}
		l.plan.Store(next)
		_, stop := l.start()
		time.Sleep(5 * time.Second)
		stop()
		if l.codes() != "revoked" {
			t.Errorf("conditions %q", l.codes())
		}
		l.net.Isolate("10.0.0.1")
		_, stop = l.start()
		if l.codes() != "revoked" {
			t.Errorf("after a restart: %q", l.codes())
		}
		stop()
		again := l.cluster.Credentials(fleet.Agent, "pi-1", time.Now())
		if err := l.id.Renew(again.Cert, again.Key); err != nil {
			t.Fatal(err)
		}
		_, stop = l.start()
		if l.codes() != "" {
			t.Errorf("back with another key: %q", l.codes())
		}
		stop()
	})
}

func TestKept(t *testing.T) {
	dir := t.TempDir()
	if p, err := load(dir); err != nil || p.State != approved {
		t.Errorf("nothing kept: %+v, %v", p, err)
	}
	want := wire.PlanBody{Index: 5, State: draining, Deny: map[string]time.Time{"ab": time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)}, Coordinators: []wire.PlanCoordinator{{Name: "c1", API: "c1:7480"}}}
	if err := save(dir, want); err != nil {
		t.Fatal(err)
	}
	if got, err := load(dir); err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("%v %s", err, cmp.Diff(want, got))
	}
	path := filepath.Join(dir, file)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"empty":    nil,
		"cut off":  whole[:len(whole)/2],
		"flipped":  bytes.Replace(whole, []byte("draining"), []byte("dreining"), 1),
		"too long": bytes.Repeat([]byte(" "), maxFile+1),
	} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := load(dir); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	b, err := encode(wire.PlanBody{Index: 5, State: approved, Deny: map[string]time.Time{"ab": time.Unix(1, 0).UTC()}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"crc":0,"plan":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decode(b)
		if err != nil {
			return
		}
		again, err := encode(p)
		if err != nil {
			t.Fatal(err)
		}
		if q, err := decode(again); err != nil || cmp.Diff(p, q) != "" {
			t.Errorf("%v %s", err, cmp.Diff(p, q))
		}
	})
}
