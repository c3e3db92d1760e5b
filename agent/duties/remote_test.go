package duties

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/identity/identitytest"
	"primespark/shared/pipenet"
	"primespark/shared/problem"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// A lab is a network with a node, pi-1, and whoever a test adds.
type lab struct {
	t       *testing.T
	net     pipenet.Net
	cluster *identitytest.Cluster
	remote  *Remote
	at      []string // what the node takes for coordinators
}

func newLab(t *testing.T) *lab {
	l := &lab{t: t, cluster: identitytest.New(t, "spark")}
	id := l.cluster.Node(fleet.Agent, "pi-1")
	l.remote = NewRemote("pi-1", func() []string { return l.at }, l.net.Host("pi-1").Dial, id.ClientTLS(fleet.Coordinator))
	t.Cleanup(l.remote.Close)
	return l
}

// serve runs a server with the certificate of a node.
func (l *lab) serve(role fleet.Role, name string, h http.HandlerFunc) {
	l.t.Helper()
	listener, err := l.net.Host(name).Listen(l.t.Context(), "tcp", ":7480")
	if err != nil {
		l.t.Fatal(err)
	}
	srv := &http.Server{
		Handler: h, ErrorLog: log.New(io.Discard, "", 0), // of handshakes that are meant to fail
		TLSConfig: l.cluster.Node(role, name).ServerTLS(tls.RequireAndVerifyClientCert, fleet.Agent),
	}
	done := make(chan error, 1)
	go func() { done <- srv.ServeTLS(listener, "", "") }() // waited for by the cleanup
	l.t.Cleanup(func() {
		srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			l.t.Error(err)
		}
	})
	l.at = append(l.at, name+":7480")
}

var granted = `[{"id":"t1","lease":"1-7","expires_in":15,"kind":"noop","priority":4,"attempt":1}]`

func TestRemote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		var got []string
		l.serve(fleet.Coordinator, "c1", func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			got = append(got, fmt.Sprintf("%s %s %s", r.Proto, r.URL.Path, body))
			switch {
			case strings.HasSuffix(r.URL.Path, ":lease"):
				io.WriteString(w, granted)
			case strings.HasSuffix(r.URL.Path, ":renew"):
				io.WriteString(w, `{"expires_in":14.5}`)
			case strings.HasSuffix(r.URL.Path, ":complete"):
				problem.Write(w, problem.New(problem.StaleLease, "", "It has passed to pi-2."))
			default:
				io.WriteString(w, `{"id":"t1"}`)
			}
		})
		ctx := t.Context()
		j, err := l.remote.Lease(ctx, []string{"blazeface"}, 10*time.Second)
		if err != nil || j == nil || j.Lease != (task.Lease{Epoch: 1, Seq: 7}) {
			t.Fatalf("Lease = %+v, %v", j, err)
		}
		if d, err := l.remote.Renew(ctx, j); err != nil || d != 14500*time.Millisecond {
			t.Errorf("Renew = %v, %v", d, err)
		}
		if err := l.remote.Complete(ctx, j, json.RawMessage(`{"a":1}`)); !problem.Is(err, problem.StaleLease) || !final(err) {
			t.Errorf("Complete = %v, want stale_lease, for good", err)
		}
		if err := l.remote.Fail(ctx, j, Failure{Reason: "x", Release: true}); err != nil {
			t.Errorf("Fail = %v", err)
		}
		want := []string{
			`HTTP/2.0 /v1/tasks:lease {"node":"pi-1","kinds":["infer","noop"],"models":["blazeface"],"max":1,"wait":"10s"}`,
			`HTTP/2.0 /v1/tasks/t1:renew {"lease":"1-7"}`,
			`HTTP/2.0 /v1/tasks/t1:complete {"lease":"1-7","result":{"a":1}}`,
			`HTTP/2.0 /v1/tasks/t1:fail {"lease":"1-7","error":"x","release":true}`,
		}
		if !slices.Equal(got, want) {
			t.Errorf("requests\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestGivesBackWhatItDoesNotWaitFor: a call for work that is given up, or of which nobody
// knows whether it was answered, is followed by its release.
func TestGivesBackWhatItDoesNotWaitFor(t *testing.T) {
	for name, test := range map[string]struct {
		give    func(w http.ResponseWriter, r *http.Request) // what a call for work is answered with
		release int                                          // and a release, by status
		after   time.Duration                                // how long the call has
		want    bool                                         // that it is given back
		most    time.Duration                                // that all of it takes
	}{
		"the node stops": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 200, 2 * time.Second, true, 2 * time.Second},
		"nobody knows": {func(w http.ResponseWriter, _ *http.Request) {
			problem.Write(w, problem.New(problem.Deadline, "", "Not confirmed."))
		}, 200, time.Minute, true, 0},
		"a plain no": {func(w http.ResponseWriter, _ *http.Request) {
			problem.Write(w, problem.New(problem.Forbidden, "", "No."))
		}, 200, time.Minute, false, 0},
		"an old one":        {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 404, 2 * time.Second, true, 2 * time.Second},
		"nobody listens":    {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 0, 2 * time.Second, true, 2*time.Second + reportTime},
		"there was no work": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "[]") }, 200, time.Minute, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				var mu sync.Mutex
				var asked, released string
				is := func(s *string, value string) {
					mu.Lock()
					defer mu.Unlock()
					*s = value
				}
				l.serve(fleet.Coordinator, "c1", func(w http.ResponseWriter, r *http.Request) {
					if strings.HasSuffix(r.URL.Path, ":lease") {
						is(&asked, r.Header.Get(wire.HeaderKey))
						test.give(w, r)
						return
					}
					var b wire.ReleaseRequest
					if err := json.NewDecoder(r.Body).Decode(&b); err != nil || r.URL.Path != wire.PathRelease || b.Node != "pi-1" {
						t.Errorf("%s with %+v, %v", r.URL.Path, b, err)
					}
					is(&released, b.Grant)
					if test.release == 0 {
						<-r.Context().Done()
						return
					}
					w.WriteHeader(test.release)
					io.WriteString(w, `{"released":1}`)
				})
				ctx, cancel := context.WithTimeout(t.Context(), test.after)
				defer cancel()
				begin := time.Now()
				got, err := l.remote.Lease(ctx, nil, 10*time.Second)
				if got != nil || (err == nil) != (name == "there was no work") {
					t.Errorf("leased %+v, %v", got, err)
				}
				mu.Lock()
				defer mu.Unlock()
				if (released != "") != test.want || test.want && released != asked {
					t.Errorf("%q was given back, and %q asked for", released, asked)
				}
				if took := time.Since(begin); took > test.most {
					t.Errorf("it took %v, want %v at most", took, test.most)
				}
			})
		})
	}
}

// TestManyModels: a node with more models than one request may name asks for
// all of them in time.
func TestManyModels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		seen := map[string]bool{}
		l.serve(fleet.Coordinator, "c1", func(w http.ResponseWriter, r *http.Request) {
			var q wire.LeaseRequest
			if err := json.NewDecoder(r.Body).Decode(&q); err != nil || len(q.Models) > maxModels {
				t.Errorf("%d models, %v", len(q.Models), err)
			}
			for _, m := range q.Models {
				seen[m] = true
			}
			io.WriteString(w, "[]")
		})
		var models []string
		for i := range maxModels + 10 {
			models = append(models, fmt.Sprint("m", i))
		}
		for range 20 {
			if _, err := l.remote.Lease(t.Context(), models, 0); err != nil {
				t.Fatal(err)
			}
		}
		if len(seen) != len(models) { // but for a chance of 1 in 10^16
			t.Errorf("%d of %d models were named", len(seen), len(models))
		}
	})
}

// TestRemoteWantsCoordinators: whoever gossips that it is a coordinator is not
// one by that.
func TestRemoteWantsCoordinators(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		if _, err := l.remote.Lease(t.Context(), nil, time.Second); !errors.Is(err, errNobody) {
			t.Errorf("with no coordinator in sight: %v, want errNobody", err)
		}
		l.serve(fleet.Agent, "pi-2", func(w http.ResponseWriter, _ *http.Request) {
			t.Error("an agent was asked for tasks")
			io.WriteString(w, granted)
		})
		if j, err := l.remote.Lease(t.Context(), nil, time.Second); j != nil || !problem.Is(err, problem.Unreachable) {
			t.Errorf("asked an agent: %v, %v", j, err)
		}
	})
}

// TestRemoteLeavesTheSilent: a coordinator that loses its power while it keeps a
// request for work is noticed soon, and the next one is asked.
func TestRemoteLeavesTheSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		asked := make(chan string, 2)
		for _, name := range []string{"c1", "c2"} {
			l.serve(fleet.Coordinator, name, func(w http.ResponseWriter, r *http.Request) {
				asked <- name
				if len(asked) == 2 || l.net.Reachable("pi-1", name) && len(l.at) == 1 {
					io.WriteString(w, granted)
					return
				}
				select {
				case <-time.After(10 * time.Second):
					io.WriteString(w, "[]")
				case <-r.Context().Done():
				}
			})
		}
		go func() { // ends with the first request
			first := <-asked
			asked <- first
			time.Sleep(time.Second)
			l.net.Isolate(first)
		}()
		begin := time.Now()
		j, err := l.remote.Lease(t.Context(), nil, 10*time.Second)
		if took := time.Since(begin); err != nil || j == nil || took > time.Second+pingAfter+pingTime+connectTime {
			t.Errorf("Lease = %v, %v after %v, want a task after %v at most", j, err, took, time.Second+pingAfter+pingTime+connectTime)
		}
		l.net.Heal()
	})
}

func TestCoordinators(t *testing.T) {
	node := func(name string, role fleet.Role, liveness fleet.Liveness) fleet.Node {
		return fleet.Node{Member: fleet.Member{Name: name, Role: role, API: name + ":7480"}, Liveness: liveness}
	}
	self, peer := node("pi-1", fleet.Agent, fleet.Alive), node("pi-2", fleet.Agent, fleet.Alive)
	for name, test := range map[string]struct {
		view fleet.View
		want []string
	}{
		"not there yet":    {nil, nil},
		"isolated":         {fleet.View{self, node("c1", fleet.Coordinator, fleet.Dead)}, nil},
		"an agent in view": {fleet.View{self, peer, node("c1", fleet.Coordinator, fleet.Dead)}, []string{"told:7480"}},
		"coordinators": {fleet.View{
			self, node("c1", fleet.Coordinator, fleet.Alive), node("c2", fleet.Coordinator, fleet.LinkDown), node("c3", fleet.Coordinator, fleet.Alive),
		}, []string{"c1:7480", "c3:7480"}},
	} {
		if got := Coordinators("pi-1", test.view, []string{"told:7480"}); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// TestLargeThings: a large result is handed in before it is reported, and an
// object that is fetched is the one that was meant, or none.
func TestLargeThings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		large := json.RawMessage(`"` + strings.Repeat("x", task.MaxResult) + `"`)
		kept := task.ObjectOf(large)
		var got []string
		l.serve(fleet.Coordinator, "c1", func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			got = append(got, fmt.Sprintf("%s %s %d", r.Method, r.URL.Path, len(body)))
			switch {
			case r.Method == http.MethodPut:
				json.NewEncoder(w).Encode(wire.ObjectBody{Object: task.ObjectOf(body), Holders: []string{"c1", "c2"}})
			case r.Method == http.MethodGet:
				w.Write([]byte("photo"))
			case !strings.Contains(string(body), kept.SHA256) || strings.Contains(string(body), "xxx"):
				t.Errorf("reported %.100s", body)
			default:
				io.WriteString(w, `{"id":"t1"}`)
			}
		})
		if err := l.remote.Complete(t.Context(), &wire.Leased{ID: "t1"}, large); err != nil {
			t.Error(err)
		}
		if len(got) != 2 || !strings.HasPrefix(got[0], "PUT /v1/objects ") || !strings.HasPrefix(got[1], "POST /v1/tasks/t1:complete ") {
			t.Errorf("the coordinator was asked %q", got)
		}
		if b, err := l.remote.Object(t.Context(), task.ObjectOf([]byte("photo"))); err != nil || string(b) != "photo" {
			t.Errorf("fetched %q, %v", b, err)
		}
		if _, err := l.remote.Object(t.Context(), task.ObjectOf([]byte("phota"))); !problem.Is(err, problem.Unreachable) {
			t.Errorf("bytes that are not what was meant: %v", err)
		}
		l.remote.Close()
	})
}
