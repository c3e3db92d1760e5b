package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"primespark/coordinator/events"
	"primespark/coordinator/status"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

// Bounds of what a client gets of the events at once.
const (
	defaultEvents = 100
	maxEvents     = 1000
	firstEvents   = 20 // of a stream that does not say where to begin
)

func (a *API) events(w http.ResponseWriter, r *call) error {
	q := r.URL.Query()
	after := q.Get("after")
	if after != "" && !wire.ValidEventID(after) {
		return badEventID(after)
	}
	limit := defaultEvents
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxEvents {
			return problem.New(problem.Invalid, "Give a number from 1 to 1000.", "The limit is %.32q.", text)
		}
		limit = n
	}
	all, _ := a.cfg.Events.Load()
	body := wire.EventsBody{Events: events.After(all, after, limit)}
	if body.Events == nil {
		body.Events = []wire.Event{}
	}
	return answer(w, body)
}

func badEventID(id string) error {
	return problem.New(problem.Invalid, "Give the id of an event that GET /v1/events listed.", "%.64q is no id of an event.", id)
}

// route tells whom a request for a model would go to, and why.
func (a *API) route(w http.ResponseWriter, r *call) error {
	name := r.URL.Query().Get("model")
	if name == "" {
		return problem.New(problem.Invalid, "Add ?model=NAME.", "No model is named.")
	}
	choice := a.cfg.Gateway.Choose(name)
	b := wire.RouteBody{Model: name, Candidates: []wire.Candidate{}, Rejected: choice.Rejected}
	for _, c := range choice.Candidates {
		b.Candidates = append(b.Candidates, c.Explain())
	}
	if b.Rejected == nil {
		b.Rejected = []wire.Rejected{}
	}
	return answer(w, b)
}

// enter counts a stream in, or refuses it. The function that it returns counts
// it out again.
func (a *API) enter(w http.ResponseWriter) (leave func(), err error) {
	select {
	case a.streams <- struct{}{}:
	default:
		return nil, &problem.Error{
			Code: problem.Busy, Detail: fmt.Sprintf("There are %d streams open already.", maxStreams), RetryAfter: 10 * time.Second,
			Remedy: "Close some, or ask another coordinator.",
		}
	}
	a.metrics.streams.Inc()
	// A stream has no end by which the server could measure it.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return func() { <-a.streams; a.metrics.streams.Dec() }, nil
}

func (a *API) pageStream(w http.ResponseWriter, r *call) error {
	leave, err := a.enter(w)
	if err != nil {
		return err
	}
	defer leave()
	status.Stream(a.stopped, w, r.Request, a.page, a.looks.take(r.URL.Query().Get("after")), Operate.to(r.who.Role), func() bool { return r.still() == nil })
	return nil
}

// The pace of a stream.
const (
	streamBeat    = 15 * time.Second // a comment, so that proxies keep the connection
	streamTimeout = 10 * time.Second // for the client to accept a message
)

func (a *API) stream(w http.ResponseWriter, r *call) error {
	after := or(r.Header.Get("Last-Event-ID"), r.URL.Query().Get("after"))
	if after != "" && !wire.ValidEventID(after) {
		return badEventID(after)
	}
	leave, err := a.enter(w)
	if err != nil {
		return err
	}
	defer leave()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	s := &sender{w: w, out: http.NewResponseController(w), after: after, limit: firstEvents}
	idle := time.NewTicker(streamBeat)
	defer idle.Stop()
	for r.still() == nil {
		sheet, changed := a.page.Load()
		all, happened := a.cfg.Events.Load()
		if !s.send(all, sheet.View.Status.Summary) {
			return nil // the client has gone
		}
		select {
		case <-happened:
		case <-changed:
		case <-idle.C:
			if !s.write(": still here\n\n") {
				return nil
			}
		case <-r.Context().Done():
			return nil
		case <-a.stopped:
			return nil
		}
	}
	return nil // whoever is not allowed any more hears no more
}

// A sender writes what is new to one stream.
type sender struct {
	w     http.ResponseWriter
	out   *http.ResponseController
	after string
	limit int // of the first batch
	last  []byte
}

func (s *sender) send(all []wire.Event, summary wire.Summary) bool {
	limit := s.limit
	if s.after != "" {
		limit = len(all)
	}
	var b bytes.Buffer
	for _, e := range events.After(all, s.after, limit) {
		s.after = e.ID
		message(&b, wire.MessageEvent, e.ID, e)
	}
	var fleet bytes.Buffer
	message(&fleet, wire.MessageFleet, "", summary)
	if !bytes.Equal(fleet.Bytes(), s.last) {
		s.last = fleet.Bytes()
		b.Write(s.last)
	}
	return s.write(b.String())
}

// write sends text; with none it only brings the header on its way.
func (s *sender) write(text string) bool {
	_ = s.out.SetWriteDeadline(time.Now().Add(streamTimeout)) // as above: where there is none, none is needed
	_, err := s.w.Write([]byte(text))
	ok := err == nil && s.out.Flush() == nil
	_ = s.out.SetWriteDeadline(time.Time{}) // HTTP/2 ends a stream whose deadline passes, written to or not
	return ok
}

// message writes one server-sent event.
func message(b *bytes.Buffer, kind, id string, data any) {
	text, err := json.Marshal(data)
	if err != nil {
		panic(fmt.Sprintf("a %T cannot be encoded: %v", data, err)) // plain strings and finite numbers
	}
	fmt.Fprintf(b, "event: %s\n", kind)
	if id != "" {
		fmt.Fprintf(b, "id: %s\n", id)
	}
	fmt.Fprintf(b, "data: %s\n\n", text)
}
