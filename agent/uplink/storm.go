package uplink

import (
	"time"

	"primespark/shared/health"
)

// TakenOver is the condition of a node whose connections are taken over.
const TakenOver health.Code = "mqtt_taken_over"

// Two clients with one identifier throw each other out (MQTT 3.1.1, 3.1.4): the
// broker closes the older connection without a word. What tells it from a broker
// that falls over is that the next connection is made at once, and lost again.
const (
	shortLife  = settled // of a connection that was thrown out: the rival waits, too, up to waitMost
	stormCount = 3       // of those in a row
)

// A storm counts connections that were made and lost soon.
type storm int

// judge looks at a connection that ended, and tells of a rival when there is one,
// and when it is gone.
func (u *Uplink) judge(s *storm, connected bool, now time.Time, lasted time.Duration) {
	switch {
	case !connected: // the broker is away, or was
		*s = 0
		return
	case lasted >= shortLife:
		*s = 0
		u.cfg.Conditions.Clear(TakenOver)
		return
	}
	if *s++; *s != stormCount {
		return
	}
	detail := "Each connection to the broker is lost within seconds: another client uses the identifier " + u.cfg.Topics.ClientID() + ", or the broker throws this node out."
	remedy := "See the broker's log; each node needs a name, and a state directory, of its own."
	u.log.Warn("connections to the broker are taken over", "client", u.cfg.Topics.ClientID(), "lasted", lasted.String(), "at", now.UTC().Format(time.RFC3339), "remedy", remedy)
	u.cfg.Conditions.Set(TakenOver, health.Warning, detail, remedy)
	u.Event(string(TakenOver), string(health.Warning), detail)
}
