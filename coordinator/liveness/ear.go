package liveness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/heartbeat"
	"primespark/shared/identity"
	"primespark/shared/mesh"
	"primespark/shared/problem"
)

// A heard node is what its beats told.
type heard struct {
	role    fleet.Role
	member  *fleet.Member
	vital   *fleet.Vital
	hears   map[string]bool          // coordinators
	teller  *session                 // on which it told that
	dropped map[string]time.Duration // whom it heard and does, by now, not, and since when
	keys    *heartbeat.Keys
	mesh    *mesh.Report
	at      time.Duration // of the last beat, by the clock of time awake
	seen    time.Time     // the same by the wall, for people
	late    time.Duration // of its own timers
	told    time.Duration // how often to beat, on this connection
	session *session      // the newest; nil if it has ended
	ended   time.Duration // when it has
	left    bool
}

// A session is one connection with beats.
type session struct{ end context.CancelFunc }

// Bounds of what one node may send.
const (
	burst   = 40 // beats at once
	sustain = 20 // and a second
)

// Attend takes the beats of a node, whose certificate was checked, until they
// end or ctx does; then it closes in. still says whether the node is allowed here
// yet, and is asked at each beat; pace is called at first and after each beat with how
// often to beat, and whether that is news. It is called in this goroutine alone, since
// there are as many as nodes.
func (w *Watch) Attend(ctx context.Context, who identity.ID, in io.ReadCloser, still func() error, pace func(p heartbeat.Pace, news bool) error) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	s := &session{end}
	if err := w.open(who, s); err != nil {
		return err
	}
	defer w.close(who.Name, s)
	defer context.AfterFunc(ctx, func() { _ = in.Close() })() // what was read to its end, or given up
	from := heartbeat.NewReader(in)
	room, since := burst, time.Now()
	for {
		every, news := w.paceOf(who.Name, s)
		if err := pace(heartbeat.Pace{EveryMS: every.Milliseconds()}, news); err != nil {
			return nil // it has gone
		}
		b, err := from.Read(who)
		if errors.Is(err, heartbeat.ErrInvalid) {
			return &problem.Error{Code: problem.Invalid, Err: err, Detail: "The heartbeat is not valid: " + err.Error() + ".", Remedy: "Update the node and the coordinators to the same version."}
		}
		if err != nil || ctx.Err() != nil {
			return nil // the connection's end says all
		}
		if err := still(); err != nil {
			return err
		}
		if now := time.Now(); now.Sub(since) >= time.Second {
			room, since = min(burst, room+int(now.Sub(since).Seconds()*sustain)), now
		}
		if room--; room < 0 {
			return &problem.Error{Code: problem.Busy, RetryAfter: 10 * time.Second, Detail: fmt.Sprintf("The node %s beats too often.", who.Name), Remedy: "See what runs under its name."}
		}
		w.beat(who, s, b)
		if b.Bye {
			return nil
		}
	}
}

// paceOf is how often a node shall beat, and whether that is other than what it
// was told; it takes it for told.
func (w *Watch) paceOf(node string, s *session) (every time.Duration, news bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h := w.heard[node]; h != nil && h.session == s && h.told != w.pace {
		h.told, news = w.pace, true
	}
	return w.pace, news
}

// open begins a session, which ends an older one of the same node.
func (w *Watch) open(who identity.ID, s *session) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.heard[who.Name]
	if h == nil || h.role != who.Role {
		if len(w.heard) >= maxHeard {
			return problem.New(problem.Busy, "Ask another coordinator.", "More than %d nodes beat to this coordinator.", maxHeard)
		}
		h = &heard{role: who.Role}
		w.heard[who.Name] = h
	}
	if h.session != nil {
		h.session.end()
	}
	h.session, h.told, h.mesh = s, 0, nil // which it tells at first, if it takes part
	return nil
}

// beat takes one beat of a session in.
func (w *Watch) beat(who identity.ID, s *session, b heartbeat.Beat) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.heard[who.Name]
	if h == nil || h.session != s {
		return // a newer connection has taken its place
	}
	news := h.at == 0 || h.left || b.Bye
	h.at, h.seen, h.left = max(w.clock.awake, 1), time.Now(), b.Bye
	h.late = time.Duration(b.LateMS) * time.Millisecond
	if b.Member != nil {
		h.member, news = b.Member, true
	}
	if b.Vital != nil && (h.vital == nil || b.Vital.Boot != h.vital.Boot || b.Vital.Seq != h.vital.Seq) {
		h.vital, news = b.Vital, true
	}
	if b.Keys != nil {
		h.keys = b.Keys
	}
	if b.Mesh != nil {
		h.mesh = b.Mesh
	}
	if b.Hears != nil {
		h.hearing(*b.Hears, s, w.clock.awake)
		news = true
	}
	if news {
		w.wake()
	}
}

// hearing takes whom a coordinator hears now, and remembers for a while whom it does
// not any more. On a new connection it begins anew, since it may have been restarted.
func (h *heard) hearing(names heartbeat.Names, by *session, now time.Duration) {
	before := h.hears
	if h.teller != by {
		before, h.teller, h.dropped = nil, by, nil
	}
	h.hears = make(map[string]bool, len(names))
	for _, name := range names {
		h.hears[name] = true
		delete(h.dropped, name)
	}
	for name, since := range h.dropped {
		if now-since > grace {
			delete(h.dropped, name)
		}
	}
	for name := range before {
		if h.hears[name] {
			continue
		}
		if h.dropped == nil {
			h.dropped = map[string]time.Duration{}
		}
		h.dropped[name] = now
	}
}

// close ends a session, unless a newer one has. A node that was silent for long before
// is not news by that: what it did not answer meanwhile still counts.
func (w *Watch) close(node string, s *session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h := w.heard[node]; h != nil && h.session == s {
		h.session, h.ended = nil, w.clock.awake
		if a := w.asked[node]; a != nil && h.ended-h.at < w.limit(h) {
			a.answered, a.missed = false, 0 // it is asked anew
		}
		w.wake()
	}
}
