// Package dispatch sends a request to the agent that route chooses, and to the
// next one when that is busy, gone or broken, within the request's deadline.
//
// It passes the body on as it came (an image stays compressed) and never looks
// into it. An inference changes nothing, so sending it to a second agent after a
// broken first try does no harm. What is the client's own fault is never tried twice.
//
// An agent that a request failed at is left out at once, long before gossip finds
// it dead, until it speaks of itself again or a short hold has passed; and a request
// that waits for an agent which gossip finds dead is taken away from it.
package dispatch

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/coordinator/route"
	"primespark/shared/fleet"
	"primespark/shared/problem"
	"primespark/shared/watch"
	"primespark/shared/wire"
)

// Config is what a Dispatcher works with.
type Config struct {
	Self      string                   // name of this coordinator
	Views     *watch.Value[fleet.View] // liveness, from gossip
	States    func() map[string]string // decided state of each agent, by name
	Transport http.RoundTripper        // see NewTransport
	Scheme    string                   // https if empty
	Deadline  time.Duration            // of a request that names none; 30 s if 0
	Log       *slog.Logger
	Registry  prometheus.Registerer // may be nil
}

// MaxDeadline is the longest that a request may ask for.
const MaxDeadline = 10 * time.Minute

// maxBroken is how many agents may break off on one request before it is taken
// to be the request that breaks them.
const maxBroken = 3

// shares is the least part of the remaining time that one try gets: a third, so
// that a silent agent does not cost the request.
const shares = 3

// A Dispatcher sends requests to agents. It is safe to share. Its Run must be
// running for requests to be taken away from dead agents.
type Dispatcher struct {
	cfg     Config
	flights flights
	metrics metrics
}

// New returns a Dispatcher; nothing runs yet.
func New(cfg Config) *Dispatcher {
	if cfg.Scheme == "" {
		cfg.Scheme = "https"
	}
	if cfg.Deadline <= 0 {
		cfg.Deadline = 30 * time.Second
	}
	return &Dispatcher{cfg: cfg, metrics: newMetrics(cfg.Registry)}
}

func (d *Dispatcher) String() string { return "dispatcher" }

// Run watches the fleet until ctx ends: it takes requests away from agents that
// are found dead, and clears suspects that speak again.
func (d *Dispatcher) Run(ctx context.Context) error {
	for {
		view, changed := d.cfg.Views.Load()
		d.flights.observe(view)
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// Choose returns the agents that would be asked for model, in order.
func (d *Dispatcher) Choose(model string) route.Choice {
	view, now := d.cfg.Views.Get(), time.Now()
	return route.Choose(route.Request{
		View: view, States: d.cfg.States(), Model: model, Draw: rand.IntN,
		Sent: d.flights.sent(), Others: d.flights.others(now), Suspects: d.flights.suspects(view, now),
	})
}

// A Request is one call to pass on.
type Request struct {
	Method string
	Path   string // with query: "/v2/models/m/infer"
	Model  string
	Header http.Header // what of it concerns the agent is passed on, see passed
	Body   []byte
}

// passed are the request headers that an agent gets to see.
var passed = []string{"Content-Type", "Cache-Control", "Content-Encoding", "Accept", wire.HeaderLength, wire.HeaderPriority, "X-Route"}

// Do sends r to one agent after another until one answers for good, and returns
// its answer, whatever the status, to be closed by the caller. An error is a
// *problem.Error: problem.NotFound if no agent has the model, problem.NoCapacity,
// problem.Busy, problem.Unreachable or problem.Deadline.
func (d *Dispatcher) Do(ctx context.Context, r Request) (*Answer, error) {
	start := time.Now()
	a, err := d.do(ctx, r)
	d.metrics.done(a, err, time.Since(start))
	return a, err
}

func (d *Dispatcher) do(ctx context.Context, r Request) (*Answer, error) {
	deadline, err := d.deadline(r.Header)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	choice := d.Choose(r.Model)
	if len(choice.Candidates) == 0 {
		cancel()
		return nil, nobody(r.Model, choice, d.cfg.Views.Get())
	}
	a, err := d.tryAll(ctx, r, choice.Candidates)
	if err != nil {
		cancel()
		return nil, err
	}
	a.onClose = append(a.onClose, cancel)
	return a, nil
}

// tryAll asks one candidate after another. Where all fail it reports the failure
// that gives the client the most hope: busy before gone.
func (d *Dispatcher) tryAll(ctx context.Context, r Request, all []route.Candidate) (*Answer, error) {
	var worst *problem.Error
	broken := 0
	for i, c := range all {
		end, _ := ctx.Deadline()
		left := min(len(all)-i, shares)
		a, fail := d.try(ctx, r, c, time.Until(end)/time.Duration(left))
		if fail == nil {
			a.Attempts = i + 1
			return a, nil
		}
		d.metrics.attempts.WithLabelValues(string(fail.problem.Code)).Inc()
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, ctx.Err() // the client has gone
		}
		if fail.suspect {
			d.flights.suspect(c.Node, fail.problem.Detail, d.cfg.Views.Get(), time.Now())
			d.cfg.Log.Warn("agent did not answer", "node", c.Node, "model", r.Model, "err", fail.problem, "next", i+1 < len(all))
		}
		if !fail.suspect && ctx.Err() == nil && fail.problem.Code != problem.NotFound && fail.problem.Code != problem.Deadline {
			d.flights.refused(c.Node, time.Now())
		}
		if worst == nil || hope(fail.problem.Code) > hope(worst.Code) {
			worst = fail.problem
		}
		if fail.suspect && fail.sent {
			broken++
		}
		if ctx.Err() != nil {
			return nil, late(r.Model, worst)
		}
		if broken == maxBroken {
			break
		}
	}
	return nil, worst
}

// deadline reads X-Deadline-Ms.
func (d *Dispatcher) deadline(h http.Header) (time.Duration, error) {
	text := h.Get(wire.HeaderDeadline)
	if text == "" {
		return d.cfg.Deadline, nil
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ms < 1 || ms > MaxDeadline.Milliseconds() {
		return 0, problem.New(problem.Invalid, "Give whole milliseconds, such as 2000.",
			"%s is %q, not a number from 1 to %d.", wire.HeaderDeadline, text, MaxDeadline.Milliseconds())
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// request makes the HTTP request for one try, which may take until end.
func (d *Dispatcher) request(ctx context.Context, r Request, c route.Candidate, share time.Duration) (*http.Request, error) {
	ctx = context.WithValue(ctx, agentAddress{}, c.API)
	req, err := http.NewRequestWithContext(ctx, r.Method, d.cfg.Scheme+"://"+c.Node+r.Path, bytes.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	req.Host = c.API
	for _, name := range passed {
		if v := r.Header.Values(name); len(v) > 0 {
			req.Header[http.CanonicalHeaderKey(name)] = v
		}
	}
	req.Header.Set(wire.HeaderDeadline, strconv.FormatInt(max(1, share.Milliseconds()), 10))
	req.Header.Set(wire.HeaderGateway, d.cfg.Self)
	// Not sent, being empty: it lets net/http repeat a request whose kept
	// connection turns out to have been closed by an agent that restarted.
	req.Header["X-Idempotency-Key"] = nil
	return req, nil
}
