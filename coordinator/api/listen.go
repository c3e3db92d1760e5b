package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// A Server serves one listener. It is a part.
type Server struct {
	Name     string // for logs: "https api"
	Listener net.Listener
	TLS      *tls.Config // nil: plain HTTP
	Handler  http.Handler
	Stop     func() // called before the end, to end streams: API.Stop
	Log      *slog.Logger
}

// Times a client may take, and how long it is waited for at the end.
const (
	headerTimeout = 5 * time.Second  // to send its header
	readTimeout   = 60 * time.Second // and its body
	writeTimeout  = 60 * time.Second // to take the answer; streams and inferences set their own
	idleTimeout   = 30 * time.Second // between two requests, see Server.Run
	graceTimeout  = 5 * time.Second  // to finish when the server ends
	maxHeader     = 32 << 10         // bytes
)

func (s Server) String() string { return s.Name }

// Run serves until ctx ends, and then lets requests finish for a while.
func (s Server) Run(ctx context.Context) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(s.TLS != nil)
	protocols.SetUnencryptedHTTP2(s.TLS == nil) // for clients that know so: gRPC's
	srv := &http.Server{
		Handler: s.Handler, TLSConfig: s.TLS, Protocols: protocols,
		// Go sets the timer of the idle time once more when a connection of HTTP/2 breaks whose
		// streams are open, as those of all agents are, and so keeps 18 KB of each until it runs out.
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader,
		// What strangers do wrong in their handshakes is no news.
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { // ends with srv, which Run always closes
		if s.TLS != nil {
			failed <- srv.ServeTLS(s.Listener, "", "")
			return
		}
		failed <- srv.Serve(s.Listener)
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", s.Listener.Addr(), err)
	case <-ctx.Done():
	}
	if s.Stop != nil {
		s.Stop()
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceTimeout)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		s.Log.Warn("requests were cut off at the end", "err", err)
		srv.Close() // its error is that of the listener, which is closed already
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", s.Listener.Addr(), err)
	}
	return nil
}
