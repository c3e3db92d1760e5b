package uplink

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"primespark/shared/run"
)

// A Standing message is one that others want to find at the broker: it is
// retained, sent with each connection, again when it has changed, and again when
// those who want it say that they have come.
type Standing struct {
	Topic string
	// Payload makes the message; nil while there is none to send yet.
	Payload func() ([]byte, error)
	// Come is the topic, and Word the payload, by which the reader says that it has
	// come; none if Come is empty.
	Come, Word string
}

// herd spreads the nodes that all hear at once that the reader has come.
const herd = 2 * time.Second

// standing keeps the standing messages of one connection at the broker.
func (c *connection) standing(ctx context.Context) error {
	c.stood = make([][]byte, len(c.up.cfg.Standing))
	c.come = make(chan int, len(c.up.cfg.Standing))
	for i, s := range c.up.cfg.Standing {
		if s.Come == "" {
			continue
		}
		t := c.client.Subscribe(s.Come, 1, func(_ mqtt.Client, m mqtt.Message) {
			if string(m.Payload()) != s.Word || m.Retained() { // the connection itself has sent it anew
				return
			}
			go func() { // ends with ctx; nobody has to wait for it
				if !run.Sleep(ctx, rand.N(herd)) {
					return
				}
				select {
				case c.come <- i:
				default: // it is told already
				}
			}()
		})
		if !t.WaitTimeout(patience) {
			return errSilent
		}
		if err := t.Error(); err != nil { // the broker's own rules; the rest goes on
			c.up.log.Warn("not told when the reader of a standing message comes", "topic", s.Come, "err", err,
				"remedy", "let the node subscribe to it at the broker")
		}
	}
	return c.stand()
}

// stand sends the standing messages that have changed.
func (c *connection) stand() error {
	for i := range c.up.cfg.Standing {
		if err := c.standOne(i, false); err != nil {
			return err
		}
	}
	return nil
}

func (c *connection) standOne(i int, anyway bool) error {
	s := c.up.cfg.Standing[i]
	payload, err := s.Payload()
	if err != nil {
		return fmt.Errorf("message for %s: %w", s.Topic, err)
	}
	if payload == nil || !anyway && bytes.Equal(payload, c.stood[i]) {
		return nil
	}
	t := c.client.Publish(s.Topic, 1, true, payload)
	if !t.WaitTimeout(patience) {
		return errSilent
	}
	c.stood[i] = payload
	return t.Error()
}
