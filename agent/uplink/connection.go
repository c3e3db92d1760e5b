package uplink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"primespark/agent/outbox"
	"primespark/shared/mqttpipe"
	"primespark/shared/run"
	"primespark/shared/telemetry"
)

// A connection sends until it is lost. It belongs to one goroutine.
type connection struct {
	up      *Uplink
	client  mqtt.Client
	lost    <-chan error
	waiting []message // not yet acknowledged by the broker, oldest first
	flight  flight    // samples on their way
	event   uint64    // the last event that is on its way
	stood   [][]byte  // the standing messages, as they were sent last
	come    chan int  // the reader of that standing message has come
}

// A message is on its way to the broker.
type message struct {
	token  mqtt.Token
	since  time.Time
	letter *outbox.Letter // the samples that it holds; nil for an event
	last   uint64         // sequence of the event
}

var errSilent = errors.New("the broker acknowledges nothing")

// connection connects, calls up, and sends until the connection is lost or ctx
// ends.
func (u *Uplink) connection(ctx context.Context, up func()) error {
	client, lost, err := u.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Disconnect(250) // ms for what is on its way; at once if the connection is lost
	u.metrics.connected.Set(1)
	defer u.metrics.connected.Set(0)
	up()
	c := &connection{up: u, client: client, lost: lost}
	if err := errors.Join(c.listen(), c.status("online")); err != nil {
		return err
	}
	if err := c.run(ctx); err != nil {
		return err
	}
	return c.status("offline")
}

// run sends what there is and waits for more. It returns nil when ctx ends.
func (c *connection) run(ctx context.Context) error {
	began := time.Now()
	state := time.NewTimer(run.Due(stateEvery))
	defer state.Stop()
	if err := c.state(); err != nil {
		return err
	}
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := c.standing(reading); err != nil {
		return err
	}
	for {
		changed, freed := c.news()
		if err := errors.Join(c.sendSamples(), c.sendEvents()); err != nil {
			return err
		}
		head, overdue, stop := c.head()
		late, unlate := c.flight.late()
		select {
		case <-head:
			if err := c.acknowledged(); err != nil {
				return err
			}
		case <-overdue:
			return errSilent
		case <-state.C:
			state.Reset(run.Due(stateEvery))
			if time.Since(began) >= shortLife {
				c.up.cfg.Conditions.Clear(TakenOver)
			}
			if err := errors.Join(c.state(), c.stand()); err != nil {
				return err
			}
		case i := <-c.come:
			if err := errors.Join(c.standOne(i, true), c.state()); err != nil {
				return err
			}
		case <-c.flight.word:
			c.landed()
		case <-late:
			c.again()
		case <-changed:
		case <-freed:
			c.flight.over = nil // they come again, when they may go
		case <-c.up.notify:
		case err := <-c.lost:
			return err
		case <-ctx.Done():
			return nil
		}
		stop()
		unlate()
	}
}

// head returns what tells that the oldest message is acknowledged, or overdue.
func (c *connection) head() (acked <-chan struct{}, overdue <-chan time.Time, stop func() bool) {
	if len(c.waiting) == 0 {
		return nil, nil, func() bool { return true }
	}
	t := time.NewTimer(time.Until(c.waiting[0].since.Add(patience)))
	return c.waiting[0].token.Done(), t.C, t.Stop
}

// acknowledged takes the oldest message off the window.
func (c *connection) acknowledged() error {
	m := c.waiting[0]
	if err := m.token.Error(); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	c.waiting = c.waiting[1:]
	u := c.up
	if m.letter != nil {
		if u.cfg.AckByBroker {
			u.cfg.Box.Acknowledge(telemetry.Ack{Boot: m.letter.Boot, Streams: map[telemetry.Stream]uint64{m.letter.Stream: m.letter.Last}})
			c.landed()
		}
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.events) > 0 && u.events[0].Seq <= m.last {
		u.events = u.events[1:]
	}
	return nil
}

func (c *connection) sendEvents() error {
	c.up.mu.Lock()
	events := append([]telemetry.Event(nil), c.up.events...)
	c.up.mu.Unlock()
	for _, e := range events {
		if e.Seq <= c.event || len(c.waiting) >= window {
			continue
		}
		payload, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("encode event: %w", err)
		}
		c.publish(c.up.cfg.Topics.Events(), payload, message{last: e.Seq})
		c.event = e.Seq
	}
	return nil
}

// publish puts a message on its way, to be acknowledged.
func (c *connection) publish(topic string, payload []byte, m message) {
	m.token, m.since = c.client.Publish(topic, 1, false, payload), time.Now()
	c.waiting = append(c.waiting, m)
	c.up.metrics.messages.Inc()
}

// state sends the newest values, for people and for those who have just come.
func (c *connection) state() error {
	newest := c.up.source.Newest().Get()
	all := map[string]any{}
	for stream, s := range newest {
		all[string(stream)] = s.Value
		if at, ok := all["at"].(time.Time); !ok || s.At.After(at) {
			all["at"] = s.At
		}
	}
	if c.up.cfg.Self != nil {
		all["self"] = c.up.cfg.Self()
	}
	payload, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("encode state: %w", err)
	}
	t := c.client.Publish(c.up.cfg.Topics.State(), 0, true, payload)
	if !t.WaitTimeout(patience) {
		return errSilent
	}
	return t.Error()
}

// status says online or offline, and waits until the broker has it.
func (c *connection) status(word string) error {
	t := c.client.Publish(c.up.cfg.Topics.Status(), 1, true, word)
	within := patience
	if word == "offline" {
		within = time.Second // the node goes down; the last will says the same
	}
	if !t.WaitTimeout(within) {
		return errSilent
	}
	return t.Error()
}

// connect opens a connection to the broker.
func (u *Uplink) connect(ctx context.Context) (mqtt.Client, <-chan error, error) {
	return mqttpipe.Connect(ctx, mqttpipe.Config{
		Broker: u.broker, ClientID: u.cfg.Topics.ClientID(), Username: u.cfg.Username, PasswordFile: u.cfg.PasswordFile,
		TLS: u.cfg.TLS, Will: mqttpipe.Will{Topic: u.cfg.Topics.Status(), Payload: []byte("offline"), Retained: true}, Dial: u.cfg.Dial,
	})
}
