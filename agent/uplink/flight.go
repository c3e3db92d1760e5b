package uplink

import (
	"encoding/json"
	"fmt"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"primespark/agent/outbox"
	"primespark/shared/health"
	"primespark/shared/telemetry"
)

// Unacknowledged is the condition of a node whose samples a broker takes and
// nobody stores.
const Unacknowledged health.Code = "history_unacknowledged"

const (
	lateAfter  = 5 * time.Second // without an acknowledgement, after which samples are sent again
	unstoredIn = time.Minute     // without one, after which somebody is told
)

// A flight is the samples of a connection that are on their way, and what tells of
// those that have come.
type flight struct {
	courier *outbox.Courier
	letters []outbox.Letter // not yet acknowledged, oldest first
	over    []outbox.Letter // that did not fit in the window
	word    chan struct{}   // 1 deep: an acknowledgement came
	since   time.Time       // of the last progress
	began   time.Time       // when nothing more came back; zero while something does
	probe   bool            // nobody acknowledged the last: one letter at a time
}

// listen begins with the samples, and listens for acknowledgements.
func (c *connection) listen() error {
	box := c.up.cfg.Box
	if box == nil {
		return nil
	}
	c.flight.word = make(chan struct{}, 1)
	if c.up.cfg.AckByBroker {
		c.flight.courier = box.InOrder()
		return nil
	}
	c.flight.courier = box.Courier()
	t := c.client.Subscribe(c.up.cfg.Topics.Ack(), 1, func(_ mqtt.Client, m mqtt.Message) { c.heard(m.Payload()) })
	if !t.WaitTimeout(patience) {
		return errSilent
	}
	if err := t.Error(); err != nil {
		return fmt.Errorf("listen for acknowledgements: %w", err)
	}
	return nil
}

// heard takes an acknowledgement. It is called by the library and never waits.
func (c *connection) heard(payload []byte) {
	var a telemetry.Ack
	if err := json.Unmarshal(payload, &a); err != nil {
		c.up.log.Debug("not an acknowledgement", "err", err)
		return
	}
	c.up.cfg.Box.Acknowledge(a)
	select {
	case c.flight.word <- struct{}{}:
	default: // it is told already
	}
}

// news closes changed when there are samples that were not there before, and freed when
// those that were held back may go.
func (c *connection) news() (changed, freed <-chan struct{}) {
	if c.up.cfg.Box == nil {
		return nil, nil
	}
	_, changed = c.up.cfg.Box.Last()
	_, freed = c.up.cfg.Box.Held()
	return changed, freed
}

// landed takes the letters that were acknowledged out of the flight.
func (c *connection) landed() {
	f := &c.flight
	var left []outbox.Letter
	for _, l := range f.letters {
		if c.up.cfg.Box.Arrived(l) {
			c.up.metrics.samples.Add(float64(len(l.Samples)))
			continue
		}
		left = append(left, l)
	}
	if len(left) == len(f.letters) {
		return
	}
	f.letters, f.since, f.began, f.probe = left, time.Now(), time.Time{}, false
	c.up.cfg.Conditions.Clear(Unacknowledged)
}

// late tells when the flight takes too long.
func (f *flight) late() (<-chan time.Time, func() bool) {
	if len(f.letters) == 0 {
		return nil, func() bool { return true }
	}
	t := time.NewTimer(time.Until(f.since.Add(lateAfter)))
	return t.C, t.Stop
}

// again begins anew with the first sample that is not acknowledged. While nobody
// answers it is one letter at a time.
func (c *connection) again() {
	f := &c.flight
	if f.began.IsZero() {
		f.began = f.since
	}
	if time.Since(f.began) >= unstoredIn {
		c.up.cfg.Conditions.Set(Unacknowledged, health.Warning, "The broker takes the samples of this node, and no coordinator acknowledges them.",
			"Give the coordinators the same broker with mqtt.broker; or set mqtt.ack: broker here, which keeps nothing that the broker loses.")
	}
	c.up.metrics.resends.Inc()
	f.letters, f.over, f.probe, f.since = nil, nil, true, time.Now()
	if f.courier = c.up.cfg.Box.Courier(); c.up.cfg.AckByBroker {
		f.courier = c.up.cfg.Box.InOrder()
	}
}

// sendSamples fills the window.
func (c *connection) sendSamples() error {
	f := &c.flight
	if f.courier == nil {
		return nil
	}
	most := window
	if f.probe {
		most = 1
	}
	for len(f.letters) < most {
		if len(f.over) == 0 {
			next, err := f.courier.Next(batch)
			if err != nil || len(next) == 0 {
				return err
			}
			f.over = c.up.cfg.Box.Letters(next)
		}
		l := f.over[0]
		f.over = f.over[1:]
		if err := c.sendLetter(l); err != nil {
			return err
		}
	}
	return nil
}

// sendLetter sends one letter, in two if it is too large for a message.
func (c *connection) sendLetter(l outbox.Letter) error {
	payload, err := telemetry.Batch(l.Samples)
	if n := len(l.Samples); err != nil && n > 1 {
		first, second := l, l
		first.Samples, second.Samples = l.Samples[:n/2], l.Samples[n/2:]
		first.Last = first.Samples[n/2-1].Seq
		if err := c.sendLetter(first); err != nil {
			return err
		}
		return c.sendLetter(second)
	}
	if err != nil {
		return err
	}
	if len(c.flight.letters) == 0 {
		c.flight.since = time.Now()
	}
	c.flight.letters = append(c.flight.letters, l)
	c.publish(c.up.cfg.Topics.Samples(l.Stream), payload, message{letter: &l})
	return nil
}
