package consensus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/problem"
)

// The control protocol is HTTP/1.1 on the raft port, from coordinator to
// coordinator. None of its handlers asks a third one: a request is forwarded
// once.
const (
	pathPropose = "/propose"    // POST an entry -> reply
	pathIndex   = "/read-index" // POST -> reply
	pathStatus  = "/status"     // GET -> Status
	pathAsk     = "/ask"        // POST what OnAsk understands -> reply
	pathResign  = "/resign"     // POST: hand the leadership over -> reply
	pathState   = "/state"      // GET ?index=N -> a snapshot of a state that has entry N
)

// Bounds of the control protocol.
const (
	maxControl     = 5 << 20 // bytes of a body, either way; the largest entry has 4 MiB
	controlTimeout = 30 * time.Second
)

// A reply is the answer of the leader, or of one who is not.
type reply struct {
	Result  json.RawMessage `json:"result,omitempty"`
	Index   uint64          `json:"index,omitempty"`
	Problem *problem.Error  `json:"problem,omitempty"`
	Undone  bool            `json:"undone,omitempty"`  // nothing has happened; try again
	Unknown bool            `json:"unknown,omitempty"` // ErrUnknown
}

func replyTo(result json.RawMessage, index uint64, err error) reply {
	if err == nil {
		return reply{Result: result, Index: index}
	}
	if isUndone(err) {
		return reply{Undone: true, Problem: &problem.Error{Code: problem.NoLeader, Detail: err.Error()}}
	}
	return reply{Problem: problem.Of(err), Unknown: errors.Is(err, ErrUnknown)}
}

func (r reply) err() error {
	switch {
	case r.Problem == nil:
		return nil
	case r.Undone:
		return undone{r.Problem}
	case r.Unknown:
		r.Problem.Err = ErrUnknown
	}
	return r.Problem
}

// serveControl starts to answer the others' requests, and makes the client for
// this node's own.
func (n *Node) serveControl() {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+pathPropose, func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxControl))
		if err != nil {
			n.answer(w, replyTo(nil, 0, err))
			return
		}
		if err := fsm.Check(data); err != nil {
			n.answer(w, replyTo(nil, 0, err))
			return
		}
		result, err := n.apply(r.Context(), data)
		n.answer(w, replyTo(result, 0, err))
	})
	mux.HandleFunc("POST "+pathIndex, func(w http.ResponseWriter, r *http.Request) {
		index, err := n.readIndex(r.Context())
		n.answer(w, replyTo(nil, index, err))
	})
	mux.HandleFunc("POST "+pathAsk, n.serveAsk)
	mux.HandleFunc("POST "+pathResign, n.serveResign)
	mux.HandleFunc("GET "+pathStatus, func(w http.ResponseWriter, _ *http.Request) { n.answer(w, n.Status()) })
	whole := http.NewServeMux()
	whole.HandleFunc("GET "+pathState, n.serveState) // does not fit in memory twice
	whole.Handle("/", http.TimeoutHandler(mux, controlTimeout, ""))
	n.server = &http.Server{
		Handler:           whole,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      controlTimeout + 5*time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
	}
	n.done.Go(func() {
		if err := n.server.Serve(n.port.control); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			n.log.Error("control protocol ended", "err", err)
		}
	})
	transport := &http.Transport{
		DialTLSContext:         n.dialControl,
		MaxIdleConnsPerHost:    8,
		MaxConnsPerHost:        32,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 8 << 10,
	}
	n.client = &http.Client{Timeout: controlTimeout, Transport: transport}
	n.lasting = &http.Client{Transport: transport}
}

func (n *Node) answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		n.log.Debug("answer not sent", "err", err) // the one who asked went away
	}
}

// errDial tells that a coordinator was never reached.
type errDial struct{ error }

func (e errDial) Unwrap() error { return e.error }

// dialControl connects to the coordinator whose name stands where a host's
// usually does.
func (n *Node) dialControl(ctx context.Context, _, hostport string) (net.Conn, error) {
	name, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, errDial{err}
	}
	to, err := n.addressOf(name)
	if err != nil {
		return nil, errDial{err}
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	c, err := n.port.open(ctx, to, protoControl, identity.Node(name, fleet.Coordinator))
	if err != nil {
		return nil, errDial{err}
	}
	return c, nil
}

// call sends one request and decodes the answer.
func (n *Node) call(ctx context.Context, method, name, path string, body []byte, answer any) error {
	r, err := http.NewRequestWithContext(ctx, method, "https://"+name+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("call coordinator %s: %w", name, err)
	}
	res, err := n.client.Do(r)
	if err != nil {
		return fmt.Errorf("call coordinator %s: %w", name, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxControl))
	if err != nil {
		return fmt.Errorf("call coordinator %s: %w", name, err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("call coordinator %s: it answers %s", name, res.Status)
	}
	if err := json.Unmarshal(b, answer); err != nil {
		return fmt.Errorf("call coordinator %s: %w", name, err)
	}
	return nil
}

// neverSent reports whether a call failed before the other end saw anything. A
// certificate that the other end refuses shows only after our side of the
// handshake, as an alert instead of an answer: it saw nothing either.
func neverSent(err error) bool {
	if _, ok := errors.AsType[errDial](err); ok {
		return true
	}
	return refusedBy(err)
}

// refusedBy reports whether the other end refused this node's certificate.
func refusedBy(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error" // crypto/tls marks a received alert so
}

// forward has the leader append an entry.
func (n *Node) forward(ctx context.Context, leader string, data []byte) (json.RawMessage, error) {
	var r reply
	if err := n.call(ctx, http.MethodPost, leader, pathPropose, data, &r); err != nil {
		if neverSent(err) {
			return nil, undone{err}
		}
		return nil, unknown(err)
	}
	return r.Result, r.err()
}

// askIndex has the leader find an index to read at.
func (n *Node) askIndex(ctx context.Context, leader string) (uint64, error) {
	var r reply
	if err := n.call(ctx, http.MethodPost, leader, pathIndex, nil, &r); err != nil {
		return 0, again(ctx, err)
	}
	if err := r.err(); err != nil && !isUndone(err) {
		return 0, again(ctx, err)
	}
	return r.Index, r.err()
}

// StatusOf asks another coordinator for its Status.
func (n *Node) StatusOf(ctx context.Context, name string) (Status, error) {
	var s Status
	err := n.call(ctx, http.MethodGet, name, pathStatus, nil, &s)
	return s, err
}
