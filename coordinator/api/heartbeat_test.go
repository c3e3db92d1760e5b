package api

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"primespark/coordinator/fsm"
	"primespark/coordinator/liveness"
	"primespark/shared/fleet"
	"primespark/shared/heartbeat"
	"primespark/shared/identity"
	"primespark/shared/identity/identitytest"
	"primespark/shared/pipenet"
	"primespark/shared/watch"
)

// A clinic is a coordinator that takes the beats of pi-1.
type clinic struct {
	*lab
	net    *pipenet.Net
	watch  *liveness.Watch
	target heartbeat.Target
	beater *heartbeat.Beater
	tls    *tls.Config // of pi-1, for a connection to c1
}

// newClinic serves by handler(h) what the API's handler h answers.
func newClinic(t *testing.T, handler func(h http.Handler) http.Handler) *clinic {
	t.Helper()
	l := newLab(t)
	cluster := identitytest.New(t, "home")
	c1, pi := cluster.Node(fleet.Coordinator, "c1"), cluster.Node(fleet.Agent, "pi-1")
	c := &clinic{lab: l, net: new(pipenet.Net), target: heartbeat.Target{Name: "c1", API: "c1:7480"}}
	c.watch = liveness.New(liveness.Config{Self: "c1", Gossip: watch.New(fleet.View{}), Ping: func(string) error { return context.DeadlineExceeded }, Log: slog.New(slog.DiscardHandler)})
	l.api.cfg.Ear = c.watch
	listener, err := c.net.Host("c1").Listen(t.Context(), "tcp", ":7480")
	if err != nil {
		t.Fatal(err)
	}
	server := Server{Name: "api", Listener: listener, TLS: c1.ServerTLS(tls.VerifyClientCertIfGiven), Handler: handler(l.api.Handler()), Stop: l.api.Stop, Log: slog.New(slog.DiscardHandler)}
	c.tls = pi.ClientTLSFor(identity.Node("c1", fleet.Coordinator))
	c.beater = heartbeat.New(heartbeat.Config{
		Targets: func() []heartbeat.Target { return []heartbeat.Target{c.target} },
		Dial:    c.net.Host("pi-1").Dial, TLS: func(string) *tls.Config { return c.tls },
		Say: func() heartbeat.Beat { return heartbeat.Beat{Vital: &fleet.Vital{Node: "pi-1", Boot: 7}} },
		Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- server.Run(ctx) }()
	go func() { done <- c.watch.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
	})
	return c
}

// beat has pi-1 beat until the returned function is called, or the test ends.
func (c *clinic) beat(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.beater.Run(ctx) }()
	stop = func() {
		cancel()
		if err, open := <-done; open && err != nil {
			t.Error(err)
		}
		close(done)
	}
	return stop
}

func plainly(h http.Handler) http.Handler { return h }

// TestHeartbeat has a node beat to a coordinator that gives connections up to it, and
// to one that knows HTTP/2 only, for a minute, and say goodbye.
func TestHeartbeat(t *testing.T) {
	for name, handler := range map[string]func(http.Handler) http.Handler{
		"on a line": func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.ProtoMajor != 1 {
					t.Errorf("asked by %s", r.Proto)
				}
				h.ServeHTTP(w, r)
			})
		},
		"by HTTP/2, to an older one": func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Header.Del("Upgrade")
				h.ServeHTTP(w, r)
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClinic(t, handler)
				stop := c.beat(t)
				for range 60 {
					time.Sleep(time.Second)
					if got := c.watch.Hears(); len(got) != 1 || c.beater.Connected()["c1"] == "" {
						t.Fatalf("hears %v, the node thinks it is connected to %v", got, c.beater.Connected())
					}
				}
				stop()
				synctest.Wait()
				if got := c.watch.Hears(); len(got) != 0 {
					t.Errorf("after the goodbye it hears %v", got)
				}
			})
		})
	}
}

// TestHeartbeatOfRevoked ends the beats of a node that is not to be trusted any more,
// and takes none from a coordinator that stops.
func TestHeartbeatOfRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClinic(t, plainly)
		stop := c.beat(t)
		defer stop()
		time.Sleep(time.Second)
		if got := c.watch.Hears(); len(got) != 1 {
			t.Fatalf("hears %v", got)
		}
		c.must(fsm.NodeRevoke{Name: "pi-1"})
		time.Sleep(time.Second)
		if got := c.watch.Hears(); len(got) != 0 || c.beater.Connected()["c1"] != "" {
			t.Errorf("a revoked node is heard: %v, %v", got, c.beater.Connected())
		}
	})
}

// TestHeartbeatToFrozen has a coordinator fall silent without a word: the node finds
// out, and beats again when it is back.
func TestHeartbeatToFrozen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClinic(t, plainly)
		stop := c.beat(t)
		defer stop()
		time.Sleep(time.Second)
		c.net.CutOneWay("c1", "pi-1")
		time.Sleep(3 * time.Second)
		if c.beater.Connected()["c1"] == "" {
			t.Error("given up after 3 s")
		}
		time.Sleep(3 * time.Second)
		if c.beater.Connected()["c1"] != "" {
			t.Error("still connected after 6 s")
		}
		c.net.Heal("c1", "pi-1")
		time.Sleep(3 * time.Second)
		if c.beater.Connected()["c1"] == "" || len(c.watch.Hears()) != 1 {
			t.Errorf("after 3 s the node is connected to %v, the coordinator hears %v", c.beater.Connected(), c.watch.Hears())
		}
	})
}

// TestHeartbeatLine speaks it by hand.
func TestHeartbeatLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClinic(t, plainly)
		ask := func(header, after string) (*tls.Conn, *bufio.Reader) {
			t.Helper()
			raw, err := c.net.Host("pi-1").Dial(t.Context(), "tcp", "c1:7480")
			if err != nil {
				t.Fatal(err)
			}
			conn := tls.Client(raw, c.tls)
			t.Cleanup(func() { conn.Close() }) // it may be closed
			if _, err := fmt.Fprintf(conn, "POST /v1/heartbeat HTTP/1.1\r\nHost: c1\r\nContent-Length: 0\r\n%s\r\n%s", header, after); err != nil {
				t.Fatal(err)
			}
			return conn, bufio.NewReader(conn)
		}
		line := func(from *bufio.Reader, want string) {
			t.Helper()
			if got, err := from.ReadString('\n'); err != nil || strings.TrimSpace(got) != want {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		}
		upgrade := "Connection: Upgrade\r\nUpgrade: " + heartbeat.Protocol + "\r\n"

		// Beats may come along with the request.
		conn, from := ask(upgrade, "\n{\"vital\":{\"node\":\"pi-1\",\"boot\":7}}\n")
		line(from, "HTTP/1.1 101 Switching Protocols")
		line(from, "Connection: Upgrade")
		line(from, "Upgrade: "+heartbeat.Protocol)
		line(from, "")
		line(from, `{"every_ms":400}`)
		synctest.Wait()
		if got := c.watch.Hears(); len(got) != 1 {
			t.Errorf("hears %v", got)
		}
		// The answer to a beat comes when the last is old.
		time.Sleep(heartbeat.AnswerEvery)
		if _, err := io.WriteString(conn, "\n"); err != nil {
			t.Fatal(err)
		}
		line(from, `{"every_ms":400}`)
		// What is no beat ends it.
		if _, err := io.WriteString(conn, "{\"vital\":{\"node\":\"pi-2\"}}\n"); err != nil {
			t.Fatal(err)
		}
		if rest, err := io.ReadAll(from); len(rest) > 0 || err != nil && err != io.ErrUnexpectedEOF {
			t.Errorf("after a beat of another node: %q, %v", rest, err)
		}

		_, from = ask("", "")
		line(from, "HTTP/1.1 400 Bad Request")
		_, from = ask("Connection: Upgrade\r\nUpgrade: websocket\r\n", "")
		line(from, "HTTP/1.1 400 Bad Request")
	})
}
