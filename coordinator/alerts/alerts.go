// Package alerts tells people what is wrong with the fleet, for those who run no
// Prometheus.
//
// The leader finds by rules what is wrong, and has an alert agreed on once it has
// lasted. Each channel sends one message when an alert begins and one when it ends.
// A claim in the agreed state comes before each, so a change of the leader, or two
// that overlap, send nothing twice. Only where a coordinator dies between the claim
// and the receiver's answer is it not known whether the message went out: then it
// is sent again two minutes later, with the same id, by which a receiver can tell.
package alerts

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/problem"
	"primespark/shared/run"
)

// Group is what this package needs of the raft node.
type Group interface {
	State() (fsm.State, <-chan struct{})
	Propose(ctx context.Context, actor string, c fsm.Command) (json.RawMessage, error)
}

const (
	actor     = "leader"
	lookEvery = 5 * time.Second
	calm      = 30 * time.Second // that something must be gone before its end is told
	forget    = 24 * time.Hour   // a resolved alert whose end a channel never took
)

// A Watch finds what is wrong. It is a loop for the leader.
type Watch struct {
	Group    Group
	View     func() fleet.View
	Limits   Limits
	Channels []string
	Log      *slog.Logger
}

func (*Watch) String() string { return "alerts" }

// Run looks until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	since, gone := map[string]time.Time{}, map[string]time.Time{}
	for run.Sleep(ctx, lookEvery) {
		state, _ := w.Group.State()
		change := w.decide(state, Find(state, w.View(), w.Limits), since, gone, time.Now().UTC())
		if len(change.Open)+len(change.Resolve)+len(change.Forget) == 0 {
			continue
		}
		if _, err := w.Group.Propose(ctx, actor, change); err != nil && ctx.Err() == nil {
			w.Log.Debug("alerts not agreed on, trying on", "err", err)
		}
	}
	return nil
}

// decide compares what holds with what is agreed on. since and gone remember when
// each finding came and each alert's cause went.
func (w *Watch) decide(s fsm.State, found []Finding, since, gone map[string]time.Time, now time.Time) (c fsm.AlertChange) {
	holds := map[string]bool{}
	for _, f := range found {
		key := f.Key()
		holds[key] = true
		delete(gone, key)
		if since[key].IsZero() {
			since[key] = now
		}
		a, known := s.Alerts[key]
		if now.Sub(since[key]) >= f.For && (!known || !a.Resolved.IsZero()) {
			f.Since = since[key]
			c.Open = append(c.Open, f.AlertOpen)
		}
	}
	for key := range since {
		if !holds[key] {
			delete(since, key)
		}
	}
	for key, a := range s.Alerts {
		switch {
		case holds[key]:
		case a.Resolved.IsZero():
			if gone[key].IsZero() {
				gone[key] = now
			}
			if now.Sub(gone[key]) >= calm {
				c.Resolve = append(c.Resolve, key)
			}
		case w.told(a) || now.Sub(a.Resolved) >= forget:
			c.Forget = append(c.Forget, key)
		}
	}
	return c
}

// told reports whether every channel that told of the alert has told of its end.
func (w *Watch) told(a fsm.Alert) bool {
	for _, channel := range w.Channels {
		if a.Sent[channel+" firing"].Done && !a.Sent[channel+" resolved"].Done {
			return false
		}
	}
	return true
}

// A Message is what a channel sends, as a webhook gets it.
type Message struct {
	ID       string    `json:"id"` // of the incident and phase: the same if it is ever sent again
	State    string    `json:"state"`
	Cluster  string    `json:"cluster"`
	Key      string    `json:"key"`
	Severity string    `json:"severity"`
	Subject  string    `json:"subject"`
	Detail   string    `json:"detail"`
	Remedy   string    `json:"remedy"`
	Since    time.Time `json:"since"`
	Resolved time.Time `json:"resolved,omitzero"`
}

// A Channel takes messages to people.
type Channel interface {
	Send(ctx context.Context, m Message) error
}

const (
	patience  = 10 * time.Second // for one message
	waitLeast = 5 * time.Second  // after a failure
	waitMost  = 5 * time.Minute
	burst     = 10               // messages at once; after that one for each refill
	refill    = 30 * time.Second // so a storm of alerts is no storm of messages
)

// A Sender sends the messages of one channel. It is a loop for the leader.
type Sender struct {
	Name    string // of the channel
	Self    string
	Channel Channel
	Group   Group
	Log     *slog.Logger
}

func (s *Sender) String() string { return "alert channel " + s.Name }

// Run sends until ctx ends.
func (s *Sender) Run(ctx context.Context) error {
	wait, tokens, filled := waitLeast, float64(burst), time.Now()
	for {
		state, changed := s.Group.State()
		tokens = min(burst, tokens+time.Since(filled).Seconds()/refill.Seconds())
		filled = time.Now()
		if a, phase, ok := s.next(state); ok && tokens >= 1 {
			sent, err := s.send(ctx, state.Cluster.Name, a, phase)
			if sent {
				tokens, wait = tokens-1, waitLeast
			}
			if err != nil {
				s.Log.Warn("alert not sent, trying on", "channel", s.Name, "alert", a.Key, "err", err, "next", wait.String())
				if !run.Sleep(ctx, wait) {
					return nil
				}
				wait = min(2*wait, waitMost)
			}
			continue
		}
		timer := time.NewTimer(lookEvery)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// next returns the oldest alert that this channel has a word to send about.
func (s *Sender) next(state fsm.State) (next fsm.Alert, phase string, ok bool) {
	now := time.Now()
	for _, a := range state.Alerts {
		p := "firing"
		if !a.Resolved.IsZero() {
			if p = "resolved"; !a.Sent[s.Name+" firing"].Done {
				continue // nobody was told that it began
			}
		}
		if a.Claimable(s.Name+" "+p, now) && (!ok || a.ID < next.ID) {
			next, phase, ok = a, p, true
		}
	}
	return next, phase, ok
}

// send claims a message, sends it, and records how that went.
func (s *Sender) send(ctx context.Context, cluster string, a fsm.Alert, phase string) (sent bool, err error) {
	step := func(ctx context.Context, step string) error {
		_, err := s.Group.Propose(ctx, actor, fsm.AlertSend{Key: a.Key, ID: a.ID, Message: s.Name + " " + phase, Step: step, Node: s.Self})
		return err
	}
	if err := step(ctx, fsm.SendClaim); err != nil {
		if problem.Is(err, problem.Conflict) || problem.Is(err, problem.NotFound) {
			run.Sleep(ctx, time.Second) // another one does it; the state tells soon
			return false, nil
		}
		return false, err
	}
	within, cancel := context.WithTimeout(ctx, patience)
	err = s.Channel.Send(within, messageOf(cluster, a, phase))
	cancel()
	// What was done is recorded even if the lead is lost meanwhile.
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err != nil {
		if gave := step(after, fsm.SendRelease); gave != nil {
			s.Log.Debug("the claim runs out by itself", "channel", s.Name, "err", gave)
		}
		return false, err
	}
	return true, step(after, fsm.SendDone)
}
