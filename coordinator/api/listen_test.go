package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/pipenet"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

// serve runs the API on a host of its own network and returns a client.
func (l *lab) serve(t *testing.T) (c *wire.Client, stop func() error) {
	t.Helper()
	var network pipenet.Net
	listener, err := network.Host("c1").Listen(t.Context(), "tcp", ":7480")
	if err != nil {
		t.Fatal(err)
	}
	server := Server{Name: "api", Listener: listener, Handler: l.api.Handler(), Stop: l.api.Stop, Log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- server.Run(ctx) }()
	go func() { done <- l.api.Run(ctx) }()
	tr := &http.Transport{DialContext: func(ctx context.Context, n, addr string) (net.Conn, error) {
		return network.Host("me").Dial(ctx, n, addr)
	}}
	return &wire.Client{BaseURLs: []string{"http://c1:7480"}, HTTP: &http.Client{Transport: tr}, Token: l.token[Operator]}, func() error {
		cancel()
		err := errors.Join(<-done, <-done)
		tr.CloseIdleConnections()
		return err
	}
}

func TestClientAndServerAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.gate.answer = func(*http.Request, string, []byte) (*http.Response, error) {
			return reply(200, "{}", wire.HeaderNode, "pi-1", wire.HeaderBackend, "builtin", wire.HeaderGateway, "c1", wire.HeaderAttempts, "1"), nil
		}
		c, stop := l.serve(t)
		ctx := t.Context()
		for name, call := range map[string]func() (bool, error){
			"status": func() (bool, error) {
				s, err := c.Status(ctx)
				return s.Cluster == "home" && s.Leader == "c2" && len(s.Coordinators) == 3, err
			},
			"nodes": func() (bool, error) { n, err := c.Nodes(ctx); return len(n) == 5, err },
			"node":  func() (bool, error) { n, err := c.Node(ctx, "pi-1"); return n.CPU == 0.25, err },
			"drain": func() (bool, error) {
				n, err := c.NodeAction(ctx, "pi-1", wire.Drain)
				return n.State == "draining", err
			},
			"code": func() (bool, error) {
				b, err := c.CreateJoinCode(ctx, wire.JoinCodeRequest{Role: fleet.Agent, TTL: "1h"})
				return b.Code != "", err
			},
			"route": func() (bool, error) {
				b, err := c.Route(ctx, "blazeface")
				return len(b.Candidates) == 1 && len(b.Rejected) == 1, err
			},
			"events": func() (bool, error) {
				e, err := c.Events(ctx, wire.EventID(noon, 'l', 1), 9)
				return len(e) == 1 && e[0].Remedy != "", err
			},
			"version": func() (bool, error) { v, err := c.Version(ctx); return v.Version != "", err },
			"ready":   func() (bool, error) { r, err := c.Ready(ctx); return r.Ready, err },
			"models":  func() (bool, error) { _, err := c.Models(ctx); return true, err },
			"infer": func() (bool, error) {
				a, err := c.InferImage(ctx, "blazeface", []byte("x"), nil)
				return a.Node == "pi-1" && a.Attempts == 1, err
			},
		} {
			if ok, err := call(); err != nil || !ok {
				t.Errorf("%s: %v, %v", name, ok, err)
			}
		}
		if _, err := c.CreateToken(ctx, wire.TokenRequest{Name: "x", Role: "admin"}); !problem.Is(err, problem.Forbidden) {
			t.Errorf("an operator makes a token: %v", err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		c, stop := l.serve(t)
		var got []string
		var last error
		done := make(chan struct{})
		go func() {
			defer close(done)
			for m, err := range c.Stream(t.Context(), wire.EventID(noon, 'l', 1)) {
				if last = err; err == nil {
					got = append(got, m.Type+" "+m.ID)
				}
			}
		}()
		time.Sleep(time.Minute) // nothing new: the connection is kept by comments
		l.api.cfg.Events.Add(wire.Event{ID: wire.EventID(noon, 'l', 3), At: noon, Code: "x"})
		time.Sleep(time.Second)
		l.change("pi-1", dead) // the summary changes
		time.Sleep(time.Second)
		begun := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		<-done
		if took := time.Since(begun); took > time.Second {
			t.Errorf("an open stream held up the end for %v", took)
		}
		want := []string{"event " + wire.EventID(noon, 'l', 2), "fleet ", "event " + wire.EventID(noon, 'l', 3), "fleet "}
		if len(got) != len(want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("message %d: %q, want %q", i, got[i], want[i])
			}
		}
		if !problem.Is(last, problem.Unreachable) {
			t.Errorf("the end of the stream: %v", last)
		}
	})
}

// TestStreamsEndWithTheirToken: whoever is shut out hears no more, though the
// stream was opened before.
func TestStreamsEndWithTheirToken(t *testing.T) {
	for _, path := range []string{"/v1/stream", "/page/stream"} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t)
			c, stop := l.serve(t)
			r, err := http.NewRequestWithContext(t.Context(), "GET", c.BaseURLs[0]+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+c.Token)
			res, err := c.HTTP.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			time.AfterFunc(time.Minute, func() {
				state, _ := l.group.State()
				for id, token := range state.Tokens {
					if token.Access == fsm.Operator {
						l.must(fsm.TokenRevoke{ID: id})
					}
				}
			})
			time.AfterFunc(2*time.Minute, func() { res.Body.Close() }) // so that it fails and does not hang
			begun := time.Now()
			if _, err := io.Copy(io.Discard, res.Body); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			if took := time.Since(begun); took < time.Minute || took > time.Minute+2*latest {
				t.Errorf("%s ended after %v", path, took)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStreamsAreBounded(t *testing.T) {
	l := newLab(t)
	for range maxStreams {
		l.api.streams <- struct{}{}
	}
	for _, path := range []string{"/v1/stream", "/page/stream"} {
		if w := l.do(l.as("viewer", "GET", path, "")); code(w) != problem.Busy {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// A stream lasts longer than any timeout of the server, and an inference longer
// than the time for ordinary answers.
func TestLongCallsOutliveTheTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.gate.answer = func(in *http.Request, _ string, _ []byte) (*http.Response, error) {
			select {
			case <-time.After(3 * time.Minute):
			case <-in.Context().Done():
				return nil, in.Context().Err()
			}
			return reply(200, "late", wire.HeaderNode, "pi-1"), nil
		}
		c, stop := l.serve(t)
		a, err := c.InferImage(t.Context(), "m", []byte("x"), nil)
		if err != nil || string(a.Body) != "late" {
			t.Errorf("%q, %v", a.Body, err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestServerSaysWhyItEnds(t *testing.T) {
	var network pipenet.Net
	listener, err := network.Host("c1").Listen(t.Context(), "tcp", ":7480")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	if err := (Server{Name: "api", Listener: listener, Handler: http.NotFoundHandler(), Log: slog.New(slog.DiscardHandler)}).Run(t.Context()); err == nil {
		t.Error("a server whose listener is gone goes on")
	}
}
