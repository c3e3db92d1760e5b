package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"primespark/shared/health"
	"primespark/shared/problem"
	"primespark/shared/run"
)

// A Listener is one door to the API.
type Listener struct {
	net.Listener
	// TLS, if not nil, is spoken on the connections, with HTTP/1.1 and HTTP/2. Without
	// it both are there, too, the latter for clients that know so (gRPC's do). A TCP
	// listener without it must be on loopback, and is then guarded against other
	// sites' pages in a browser on the node: the Host header must name loopback, and
	// what changes something must not come from another origin.
	TLS *tls.Config
	// Authorize says whether a request may come in; its error is the answer. Nil
	// lets all in.
	Authorize func(*http.Request) error
}

func (l Listener) plainTCP() bool {
	_, tcp := l.Addr().(*net.TCPAddr)
	return tcp && l.TLS == nil
}

// check refuses what would serve the network in plain text.
func (l Listener) check() error {
	if addr, ok := l.Addr().(*net.TCPAddr); ok && l.TLS == nil && !addr.IP.IsLoopback() {
		return fmt.Errorf("listener %v: plain HTTP is for loopback only; give it TLS, or listen on 127.0.0.1", addr)
	}
	return nil
}

// guard lets a request through to next, or answers why not.
func (l Listener) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := l.admit(r); err != nil {
			refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// admit says why a request may not come in, or nil.
func (l Listener) admit(r *http.Request) error {
	if l.plainTCP() && !loopbackHost(r.Host) {
		return problem.New(problem.Forbidden, "Call it as http://localhost or http://127.0.0.1.",
			"This listener serves programs on this node only, not the host that the request names.")
	}
	if l.plainTCP() && crossOrigin.Check(r) != nil {
		return problem.New(problem.Forbidden, "Call it from a program on this node.",
			"A web page of another origin, %s, may not ask this node for anything.", clip(r.Header.Get("Origin")))
	}
	if l.Authorize != nil && !open(r.URL.Path) {
		if err := l.Authorize(r); err != nil {
			return asForbidden(err)
		}
	}
	return nil
}

// crossOrigin finds requests that a browser sends for another site's page; it
// lets pass what no browser sent.
var crossOrigin = http.NewCrossOriginProtection()

func open(path string) bool { return path == "/livez" || path == "/readyz" || path == "/v1/version" }

func asForbidden(err error) error {
	if _, ok := errors.AsType[*problem.Error](err); ok {
		return err
	}
	return &problem.Error{
		Code: problem.Forbidden, Detail: "This listener does not let you in.",
		Remedy: "Call it with a certificate of this cluster.", Err: err,
	}
}

// loopbackHost reports whether a Host header names this machine by a name that
// no other site can point here.
func loopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// Limits of a connection. A handler that reads a body or works for longer moves
// the two outer ones for itself.
const (
	headerTime   = 5 * time.Second
	readTime     = 30 * time.Second // a whole request
	writeTime    = 60 * time.Second // from the end of the header to the end of the answer
	idleTime     = 60 * time.Second
	pingTime     = 15 * time.Second // HTTP/2: a silent connection is asked for a sign of life
	maxHeader    = 64 << 10
	maxStreams   = 64 // HTTP/2: requests at once on one connection
	requestSlack = 10 * time.Second
)

func (a *API) server(l Listener, requests context.Context) *http.Server {
	return &http.Server{
		Handler:           a.rpc.Beside(l.guard(a.handler), l.admit),
		Protocols:         protocols(l.TLS != nil),
		TLSConfig:         l.TLS.Clone(),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       readTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, SendPingTimeout: pingTime, PingTimeout: pingTime, WriteByteTimeout: readTime,
		},
		BaseContext: func(net.Listener) context.Context { return requests },
		ErrorLog:    slog.NewLogLogger(a.out.Log.Handler(), slog.LevelDebug), // what clients do wrong
	}
}

func protocols(secure bool) *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(secure)
	p.SetUnencryptedHTTP2(!secure)
	return p
}

// Run serves the listeners until ctx ends. Then the node is draining: it says so
// to whoever asks for its health, takes no more connections after Config.Notice,
// finishes what is under way within Config.Drain, and cuts off the rest.
func (a *API) Run(ctx context.Context) error {
	requests, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	var servers []*http.Server
	failed := make(chan error, len(a.out.Serve))
	var serving sync.WaitGroup // Run waits for it below
	for _, l := range a.out.Serve {
		s := a.server(l, requests)
		servers = append(servers, s)
		a.out.Log.Info("serving", "address", l.Addr().String(), "network", l.Addr().Network(), "tls", l.TLS != nil)
		serving.Go(func() { failed <- fmt.Errorf("serve %v: %w", l.Addr(), serve(s, l)) })
	}
	var fault error
	select {
	case <-ctx.Done():
		a.out.Health.Set(health.Draining, health.Unready, "This node is shutting down.", "Use another node.")
		run.Sleep(requests, a.cfg.Notice)
	case fault = <-failed:
	}
	a.endStreams()
	a.stop(servers, abandon)
	serving.Wait()
	return fault
}

func serve(s *http.Server, l Listener) error {
	if l.TLS != nil {
		return s.ServeTLS(l.Listener, "", "")
	}
	return s.Serve(l.Listener)
}

// stop lets requests finish for as long as Config.Drain, then ends them.
func (a *API) stop(servers []*http.Server, abandon func()) {
	bound, cancel := context.WithTimeout(context.Background(), a.cfg.Drain)
	defer cancel()
	var stopping sync.WaitGroup
	for _, s := range servers {
		stopping.Go(func() {
			if err := s.Shutdown(bound); err == nil {
				return
			}
			a.out.Log.Warn("requests were cut off at shutdown", "after", a.cfg.Drain.String())
			abandon()
			// What Close says has no reader any more: the connections are gone either way.
			_ = s.Close()
		})
	}
	stopping.Wait()
}
