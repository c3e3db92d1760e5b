package fsm

import (
	"strings"
	"time"
	"unicode/utf8"

	"primespark/shared/fleet"
	"primespark/shared/problem"
)

// Bounds of alerts, in number and in bytes of each text.
const (
	MaxAlerts    = 1000
	maxAlertText = 512
)

// SendPatience is how long a claim to send a message stands. Who claimed it and
// said no more has died meanwhile, and whether it went out is not known: it is sent
// again, with the same id.
const SendPatience = 2 * time.Minute

// An Alert is something that somebody should know of. It is agreed on, so that a
// change of the leader neither forgets one nor tells it twice.
type Alert struct {
	ID       uint64              `json:"id"`      // of this incident: the sequence of its event
	Key      string              `json:"key"`     // rule and subject: "node_down/pi-1"; one incident at a time
	Rule     string              `json:"rule"`    // that it comes of
	Subject  string              `json:"subject"` // the node or thing that it is about
	Severity string              `json:"severity"`
	Detail   string              `json:"detail"` // one sentence
	Remedy   string              `json:"remedy"`
	Since    time.Time           `json:"since"`
	Resolved time.Time           `json:"resolved,omitzero"` // zero while it holds
	Sent     map[string]Delivery `json:"sent,omitempty"`    // by channel and phase: "ops firing"
}

// A Delivery is a message that a coordinator has claimed to send, or has sent.
type Delivery struct {
	Node string    `json:"node"`
	At   time.Time `json:"at"`
	Done bool      `json:"done,omitempty"`
}

// Claimable reports whether a message may be sent at a time: nobody has sent it or
// is about to.
func (a Alert) Claimable(message string, at time.Time) bool {
	d, claimed := a.Sent[message]
	return !claimed || !d.Done && at.Sub(d.At) >= SendPatience
}

// AlertChange opens and resolves alerts, and forgets resolved ones. Each part is
// safe to repeat.
type AlertChange struct {
	Open    []AlertOpen `json:"open,omitempty"`
	Resolve []string    `json:"resolve,omitempty"` // keys
	Forget  []string    `json:"forget,omitempty"`  // keys
}

// AlertOpen is an alert that begins.
type AlertOpen struct {
	Rule     string    `json:"rule"`
	Subject  string    `json:"subject"`
	Severity string    `json:"severity"`
	Detail   string    `json:"detail"`
	Remedy   string    `json:"remedy"`
	Since    time.Time `json:"since"`
}

// Key names the incident.
func (a AlertOpen) Key() string { return a.Rule + "/" + a.Subject }

// Kind is alert.change.
func (AlertChange) Kind() Kind { return KindAlert }

func (c *change) alertChange(cmd AlertChange) (any, error) {
	for _, o := range cmd.Open {
		if !alertName(o.Rule) || !alertName(o.Subject) || !alertName(o.Severity) || !alertText(o.Detail) || !alertText(o.Remedy) {
			return nil, problem.New(problem.Invalid, "Update all coordinators to the same version.", "The alert %.80q is not valid.", o.Key())
		}
	}
	for _, o := range cmd.Open {
		old, known := c.Alerts[o.Key()]
		if known && old.Resolved.IsZero() || !known && len(c.Alerts) >= MaxAlerts {
			continue // it is open; or there are so many that one more tells nobody anything
		}
		c.event(Warning, o.Subject, "Alert: %s", o.Detail)
		c.Alerts = put(c.Alerts, o.Key(), Alert{
			ID: c.Seq, Key: o.Key(), Rule: o.Rule, Subject: o.Subject, Severity: o.Severity,
			Detail: o.Detail, Remedy: o.Remedy, Since: o.Since.UTC(),
		})
	}
	for _, key := range cmd.Resolve {
		a, known := c.Alerts[key]
		if !known || !a.Resolved.IsZero() {
			continue
		}
		a.Resolved = c.at.UTC()
		c.Alerts = put(c.Alerts, key, a)
		c.event(Info, a.Subject, "Resolved: %s", a.Detail)
	}
	for _, key := range cmd.Forget {
		if a, known := c.Alerts[key]; known && !a.Resolved.IsZero() {
			c.Alerts, _ = without(c.Alerts, func(k string, _ Alert) bool { return k == key })
		}
	}
	return nil, nil
}

// The steps of sending a message.
const (
	SendClaim   = "claim"   // before: refused if another one has
	SendDone    = "done"    // the receiver has it
	SendRelease = "release" // the receiver does not have it
)

// AlertSend is a step of sending a message about an alert. A claim comes first, so
// that of two leaders that overlap one sends.
type AlertSend struct {
	Key     string `json:"key"`
	ID      uint64 `json:"id"`
	Message string `json:"message"` // channel and phase
	Step    string `json:"step"`
	Node    string `json:"node"` // who sends
}

// Kind is alert.send.
func (AlertSend) Kind() Kind { return KindAlertSend }

func (c *change) alertSend(cmd AlertSend) (any, error) {
	a, known := c.Alerts[cmd.Key]
	channel, phase, _ := strings.Cut(cmd.Message, " ")
	switch {
	case !known || a.ID != cmd.ID:
		return nil, problem.New(problem.NotFound, "It is over.", "There is no alert %.80q of that id.", cmd.Key)
	case !fleet.ValidName(channel) || phase != "firing" && phase != "resolved" || !fleet.ValidName(cmd.Node) || len(a.Sent) >= 64:
		return nil, problem.New(problem.Invalid, "Update all coordinators to the same version.", "The message %.80q about an alert is not valid.", cmd.Message)
	}
	d := a.Sent[cmd.Message]
	switch cmd.Step {
	case SendClaim:
		if !a.Claimable(cmd.Message, c.at) {
			return nil, problem.New(problem.Conflict, "Leave it to that one.", "The message is sent by %s.", d.Node)
		}
		a.Sent = put(a.Sent, cmd.Message, Delivery{Node: cmd.Node, At: c.at.UTC()})
	case SendDone:
		a.Sent = put(a.Sent, cmd.Message, Delivery{Node: cmd.Node, At: c.at.UTC(), Done: true})
	case SendRelease:
		if d.Node != cmd.Node || d.Done {
			return nil, nil
		}
		a.Sent, _ = without(a.Sent, func(k string, _ Delivery) bool { return k == cmd.Message })
	default:
		return nil, problem.New(problem.Invalid, "Update all coordinators to the same version.", "%.20q is no step of a message.", cmd.Step)
	}
	c.Alerts = put(c.Alerts, cmd.Key, a)
	return nil, nil
}

func alertName(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '-' && r != '.'
	})
}

func alertText(s string) bool {
	return len(s) <= maxAlertText && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// Sink is how far a sink of the history is, as the leader said last.
type Sink struct {
	At    time.Time `json:"at"` // when it had everything
	Node  string    `json:"node"`
	Times uint64    `json:"times"` // that this was said
	// Logs is up to where it has the rows of each other coordinator's log, by the log's id.
	Logs map[string]uint64 `json:"logs,omitempty"`
}

// SinkRecord tells that a sink had everything that was in the history a moment ago.
type SinkRecord struct {
	Name string            `json:"name"`
	Node string            `json:"node"`
	Logs map[string]uint64 `json:"logs,omitempty"` // as in Sink
}

// sinkLogs is how many logs a record tells of: those of all coordinators that there
// can be, and of the stores that they had before.
const sinkLogs = 64

// Kind is sink.record.
func (SinkRecord) Kind() Kind { return KindSink }

func (c *change) sinkRecord(cmd SinkRecord) (any, error) {
	bad := len(cmd.Logs) > sinkLogs
	for id := range cmd.Logs {
		bad = bad || !fleet.ValidName(id)
	}
	if bad || !fleet.ValidName(cmd.Name) || !fleet.ValidName(cmd.Node) || c.Sinks[cmd.Name].Times == 0 && len(c.Sinks) >= 16 {
		return nil, problem.New(problem.Invalid, "Update all coordinators to the same version.", "The record of the sink %.80q is not valid.", cmd.Name)
	}
	c.Sinks = put(c.Sinks, cmd.Name, Sink{At: c.at.UTC(), Node: cmd.Node, Times: c.Sinks[cmd.Name].Times + 1, Logs: cmd.Logs})
	return nil, nil
}
