package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"primespark/coordinator/route"
	"primespark/shared/fleet"
	"primespark/shared/pipenet"
	"primespark/shared/problem"
	"primespark/shared/watch"
	"primespark/shared/wire"
)

// A lab is a coordinator and some agents in a bubble.
type lab struct {
	t     *testing.T
	net   pipenet.Net
	views *watch.Value[fleet.View]
	d     *Dispatcher

	mu    sync.Mutex
	names []string // of the agents, as they got requests
}

// asked lists the agents that got requests, in order.
func (l *lab) asked() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.names)
}

// newLab starts agents that answer as told; earlier ones are less loaded, so
// that they are asked in the order of their names whenever two are there.
func newLab(t *testing.T, agents ...http.HandlerFunc) *lab {
	l := &lab{t: t, views: watch.New(fleet.View(nil))}
	states := map[string]string{}
	var view fleet.View
	for i, h := range agents {
		name := fmt.Sprintf("pi-%d", i+1)
		l.agent(name, h)
		states[name] = route.Approved
		view = append(view, fleet.Node{
			Member:   fleet.Member{Name: name, Role: fleet.Agent, API: name + ":7490"},
			Liveness: fleet.Alive,
			Vital:    fleet.Vital{Node: name, Seq: 1, Ready: true, Queue: 100 * i, Models: []fleet.Serving{{Name: "m", Millis: 10}}},
		})
	}
	l.views.Store(view)
	transport := NewTransport(l.net.Host("c1").Dial, nil)
	l.d = New(Config{
		Self: "c1", Views: l.views, States: func() map[string]string { return states },
		Transport: transport, Scheme: "http", Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- l.d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		transport.CloseIdleConnections()
		if n := l.d.flights.sent(); len(n) != 0 {
			t.Errorf("requests are still under way: %v", n)
		}
	})
	return l
}

func (l *lab) agent(name string, h http.HandlerFunc) {
	l.t.Helper()
	listener, err := l.net.Host(name).Listen(l.t.Context(), "tcp", ":7490")
	if err != nil {
		l.t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		l.names = append(l.names, name)
		l.mu.Unlock()
		w.Header().Set(wire.HeaderNode, name)
		h(w, r)
	})}
	go s.Serve(listener)
	l.t.Cleanup(func() { s.Close() })
}

// infer sends a request and returns who answered, and what.
func (l *lab) infer(header http.Header) (*Answer, string, error) {
	a, err := l.d.Do(l.t.Context(), Request{Method: "POST", Path: "/v2/models/m/infer", Model: "m", Header: header, Body: []byte("jpeg")})
	if err != nil {
		return nil, "", err
	}
	defer a.Close()
	b, err := io.ReadAll(a.Body)
	return a, string(b), err
}

// change replaces one node of the view.
func (l *lab) change(name string, f func(*fleet.Node)) {
	l.views.Update(func(v fleet.View) fleet.View {
		v = append(fleet.View(nil), v...)
		for i := range v {
			if v[i].Name == name {
				f(&v[i])
			}
		}
		return v
	})
}

func answers(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "seen %s", b)
}

func hangs(_ http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body) // so that the server notices when the client goes
	<-r.Context().Done()
}

func breaks(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func says(code problem.Code) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		problem.Write(w, &problem.Error{Code: code, Detail: "No.", RetryAfter: 3 * time.Second})
	}
}

func TestDispatch(t *testing.T) {
	type result struct {
		node string       // who answered; with an agent's own refusal too
		code problem.Code // of the error, or of the refusal that was passed on
		took time.Duration
	}
	for name, test := range map[string]struct {
		agents []http.HandlerFunc
		want   result
		asked  string
	}{
		"first answers":            {[]http.HandlerFunc{answers, answers}, result{node: "pi-1"}, "pi-1"},
		"busy":                     {[]http.HandlerFunc{says(problem.Busy), answers}, result{node: "pi-2"}, "pi-1 pi-2"},
		"not ready":                {[]http.HandlerFunc{says(problem.NotReady), answers}, result{node: "pi-2"}, "pi-1 pi-2"},
		"just unloaded":            {[]http.HandlerFunc{says(problem.NotFound), answers}, result{node: "pi-2"}, "pi-1 pi-2"},
		"own fault":                {[]http.HandlerFunc{says(problem.Unexpected), answers}, result{node: "pi-2"}, "pi-1 pi-2"},
		"refuses the coordinator":  {[]http.HandlerFunc{says(problem.Forbidden), answers}, result{node: "pi-2"}, "pi-1 pi-2"},
		"breaks off":               {[]http.HandlerFunc{breaks, answers}, result{node: "pi-2"}, "pi-1 pi-2"},
		"hangs":                    {[]http.HandlerFunc{hangs, answers}, result{node: "pi-2", took: 15 * time.Second}, "pi-1 pi-2"},
		"client's fault":           {[]http.HandlerFunc{says(problem.Invalid), answers}, result{node: "pi-1", code: problem.Invalid}, "pi-1"},
		"too large":                {[]http.HandlerFunc{says(problem.TooLarge), answers}, result{node: "pi-1", code: problem.TooLarge}, "pi-1"},
		"all busy":                 {[]http.HandlerFunc{says(problem.Busy), says(problem.Busy)}, result{code: problem.Busy}, "pi-1 pi-2"},
		"busy says more than gone": {[]http.HandlerFunc{says(problem.Busy), breaks}, result{code: problem.Busy}, "pi-1 pi-2"},
		"all gone":                 {[]http.HandlerFunc{breaks, breaks}, result{code: problem.Unreachable}, "pi-1 pi-2"},
		"all hang":                 {[]http.HandlerFunc{hangs, hangs}, result{code: problem.Deadline, took: 30 * time.Second}, "pi-1 pi-2"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, test.agents...)
				start := time.Now()
				a, body, err := l.infer(nil)
				got := result{took: time.Since(start)}
				switch {
				case err != nil:
					got.code = problem.Of(err).Code
				default:
					got.node = a.Node
					if a.Header.Get(wire.HeaderNode) != a.Node || a.Attempts != len(l.asked()) {
						t.Errorf("says %d attempts and node %q", a.Attempts, a.Header.Get(wire.HeaderNode))
					}
					if a.Status != http.StatusOK {
						got.code = problem.Read(a.Status, a.Header, []byte(body)).Code
					} else if body != "seen jpeg" {
						t.Errorf("body %q: it should go through as it is", body)
					}
				}
				if got != test.want {
					t.Errorf("got %+v (%v), want %+v", got, err, test.want)
				}
				if asked := strings.Join(l.asked(), " "); asked != test.asked {
					t.Errorf("asked %q, want %q", asked, test.asked)
				}
				if test.want.code == problem.Busy && problem.Of(err).RetryAfter != 3*time.Second {
					t.Errorf("the agent's Retry-After was lost: %v", problem.Of(err).RetryAfter)
				}
			})
		})
	}
}

func TestAKilledAgentIsLeftOutAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, answers, answers)
		l.net.Kill("pi-1")
		for i, want := range []int{2, 1, 1} { // attempts
			a, _, err := l.infer(nil)
			if err != nil || a.Node != "pi-2" || a.Attempts != want {
				t.Fatalf("request %d: %+v, %v, want %d attempts", i, a, err, want)
			}
		}
		l.agent("pi-1", answers) // started anew, and speaks
		l.change("pi-1", func(n *fleet.Node) { n.Vital.Seq = 2 })
		if a, _, err := l.infer(nil); err != nil || a.Node != "pi-1" {
			t.Errorf("after a fresh vital: %+v, %v, want pi-1", a, err)
		}
	})
}

func TestTheHoldEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, breaks, answers)
		l.infer(nil)
		time.Sleep(hold - time.Second)
		l.infer(nil)
		time.Sleep(2 * time.Second)
		l.infer(nil)
		if got := strings.Join(l.asked(), " "); got != "pi-1 pi-2 pi-2 pi-1 pi-2" {
			t.Errorf("asked %q", got)
		}
	})
}

func TestAnUnpluggedAgentCostsAConnectTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, answers, answers)
		l.net.Isolate("pi-1")
		start := time.Now()
		a, _, err := l.infer(nil)
		if took := time.Since(start); err != nil || a.Node != "pi-2" || took > connectTimeout {
			t.Errorf("%+v, %v after %v", a, err, took)
		}
		// Once: it is left out from then on, long before gossip finds it dead.
		start = time.Now()
		a, _, err = l.infer(nil)
		if took := time.Since(start); err != nil || a.Attempts != 1 || took != 0 {
			t.Errorf("the next request: %+v, %v after %v", a, err, took)
		}
	})
}

// A kept connection to a machine without power swallows the request without a
// word; gossip's word ends the wait.
func TestARequestIsTakenFromADeadAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, answers, answers)
		l.infer(nil) // now the connection is kept
		l.net.Isolate("pi-1")
		time.AfterFunc(2*time.Second, func() {
			l.change("pi-1", func(n *fleet.Node) { n.Liveness = fleet.Dead })
		})
		start := time.Now()
		a, _, err := l.infer(nil)
		if took := time.Since(start); err != nil || a.Node != "pi-2" || took != 2*time.Second {
			t.Errorf("%+v, %v after %v", a, err, took)
		}
	})
}

// An agent that started anew has closed the connections we kept: that is no
// reason to suspect it.
func TestARestartIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, answers, answers)
		l.infer(nil)
		l.net.Kill("pi-1")
		l.agent("pi-1", answers)
		a, _, err := l.infer(nil)
		if err != nil || a.Node != "pi-1" || a.Attempts != 1 {
			t.Errorf("%+v, %v", a, err)
		}
	})
}

func TestAnswersBrokenHalfWayAreMadeGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.Write([]byte("half"))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, answers)
		if a, body, err := l.infer(nil); err != nil || a.Node != "pi-2" || body != "seen jpeg" {
			t.Errorf("%+v, %q, %v", a, body, err)
		}
	})
}

func TestLargeAnswersAreStreamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, func(w http.ResponseWriter, _ *http.Request) {
			for range 5 {
				w.Write(make([]byte, held))
			}
		})
		if _, body, err := l.infer(nil); err != nil || len(body) != 5*held {
			t.Errorf("%d bytes, %v", len(body), err)
		}
	})
}

func TestARequestThatBreaksAgentsDoesNotBreakThemAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, breaks, breaks, breaks, breaks, breaks)
		if _, _, err := l.infer(nil); !problem.Is(err, problem.Unreachable) || len(l.asked()) != maxBroken {
			t.Errorf("%v after %d agents", err, len(l.asked()))
		}
	})
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		slow := func(w http.ResponseWriter, r *http.Request) {
			told = append(told, r.Header.Get(wire.HeaderDeadline))
			hangs(w, r)
		}
		l := newLab(t, slow, slow)
		start := time.Now()
		_, _, err := l.infer(http.Header{wire.HeaderDeadline: {"1000"}})
		if !problem.Is(err, problem.Deadline) || time.Since(start) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		if strings.Join(told, " ") != "500 500" {
			t.Errorf("the agents were told %v ms, want half of the rest each time", told)
		}
		for _, bad := range []string{"0", "-1", "1.5", "soon", "9223372036854775808", strconv.FormatInt(MaxDeadline.Milliseconds()+1, 10)} {
			if _, _, err := l.infer(http.Header{wire.HeaderDeadline: {bad}}); !problem.Is(err, problem.Invalid) {
				t.Errorf("%q: %v", bad, err)
			}
		}
	})
}

func TestTheClientGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, hangs, answers)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := l.d.Do(ctx, Request{Method: "POST", Path: "/", Model: "m"})
		if !errors.Is(err, context.Canceled) || len(l.asked()) != 1 {
			t.Errorf("got %v, asked %v", err, l.asked())
		}
		if len(l.d.flights.suspects(l.views.Get(), time.Now())) != 0 {
			t.Error("the agent is suspected for what the client did")
		}
	})
}

func TestOwnRequestsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, hangs)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		for range 3 {
			go func() {
				l.d.Do(ctx, Request{Method: "POST", Path: "/", Model: "m"})
				done <- struct{}{}
			}()
		}
		synctest.Wait()
		if n := l.d.Choose("m").Candidates[0].Sent; n != 3 {
			t.Errorf("%d under way, want 3", n)
		}
		cancel()
		for range 3 {
			<-done
		}
		if n := l.d.Choose("m").Candidates[0].Sent; n != 0 {
			t.Errorf("%d under way, want none", n)
		}
	})
}

func TestNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, answers)
		if _, err := l.d.Do(t.Context(), Request{Model: "other"}); !problem.Is(err, problem.NotFound) {
			t.Errorf("a model that nobody has: %v", err)
		}
		l.change("pi-1", func(n *fleet.Node) { n.Liveness = fleet.Dead })
		_, err := l.d.Do(t.Context(), Request{Model: "m"})
		if e := problem.Of(err); e.Code != problem.NoCapacity || !strings.Contains(e.Detail, "pi-1 is dead") {
			t.Errorf("its only agent dead: %v", err)
		}
		l.change("pi-1", func(n *fleet.Node) {
			n.Liveness, n.Vital = fleet.Alive, fleet.Vital{Reasons: []string{"starting"}}
		})
		if _, err := l.d.Do(t.Context(), Request{Model: "m"}); !problem.Is(err, problem.NoCapacity) {
			t.Errorf("its agent starting: %v", err)
		}
		l.views.Store(nil)
		if _, err := l.d.Do(t.Context(), Request{Model: "m"}); !problem.Is(err, problem.NoCapacity) {
			t.Errorf("no agents: %v", err)
		}
	})
}

func TestForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got *http.Request
		l := newLab(t, says(problem.Busy), func(w http.ResponseWriter, r *http.Request) {
			got = r
			w.Header().Set(wire.HeaderBackend, "builtin")
			w.Header().Set(wire.HeaderTiming, "infer;dur=3")
			answers(w, r)
		})
		in := httptest.NewRequestWithContext(t.Context(), "POST", "/v2/models/m/infer", nil)
		in.Header.Set("Authorization", "Bearer secret")
		in.Header.Set("Cookie", "session=secret")
		in.Header.Set(wire.HeaderLength, "0")
		in.Header.Set(wire.HeaderPriority, "1")
		res, err := l.d.Forward(in, "m", []byte("jpeg"))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if b, err := io.ReadAll(res.Body); err != nil || string(b) != "seen jpeg" {
			t.Errorf("%q, %v", b, err)
		}
		for name, want := range map[string]string{
			wire.HeaderNode: "pi-2", wire.HeaderGateway: "c1", wire.HeaderAttempts: "2",
			wire.HeaderBackend: "builtin", wire.HeaderTiming: "infer;dur=3",
		} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		for name, want := range map[string]string{"Authorization": "", "Cookie": "", wire.HeaderLength: "0", wire.HeaderPriority: "1", wire.HeaderDeadline: "30000"} {
			if v := got.Header.Get(name); v != want {
				t.Errorf("the agent got %s %q, want %q", name, v, want)
			}
		}
		if got.URL.Path != "/v2/models/m/infer" || got.Method != "POST" {
			t.Errorf("the agent got %s %s", got.Method, got.URL)
		}
	})
}
