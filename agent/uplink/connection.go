package uplink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"primespark/shared/telemetry"
)

// A connection sends until it is lost. It belongs to one goroutine.
type connection struct {
	up      *Uplink
	client  mqtt.Client
	lost    chan error
	waiting []message                   // not yet acknowledged, oldest first
	sent    map[telemetry.Stream]uint64 // the last sample that is on its way
	event   uint64                      // the last event that is on its way
	stood   [][]byte                    // the standing messages, as they were sent last
	come    chan int                    // the reader of that standing message has come
}

// A message is on its way to the broker.
type message struct {
	token  mqtt.Token
	since  time.Time
	size   int
	stream telemetry.Stream // whose samples it holds; none for an event
	last   uint64           // of them
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
	c := &connection{up: u, client: client, lost: lost, sent: map[telemetry.Stream]uint64{}}
	u.mu.Lock()
	maps.Copy(c.sent, u.acked)
	u.mu.Unlock()
	if err := c.status("online"); err != nil {
		return err
	}
	if err := c.run(ctx); err != nil {
		return err
	}
	return c.status("offline")
}

// run sends what there is and waits for more. It returns nil when ctx ends.
func (c *connection) run(ctx context.Context) error {
	state := time.NewTicker(stateEvery)
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
		_, changed := c.up.source.Newest().Load()
		if err := errors.Join(c.sendSamples(), c.sendEvents()); err != nil {
			return err
		}
		head, overdue, stop := c.head()
		select {
		case <-head:
			if err := c.acknowledged(); err != nil {
				return err
			}
		case <-overdue:
			return errSilent
		case <-state.C:
			if err := errors.Join(c.state(), c.stand()); err != nil {
				return err
			}
		case i := <-c.come:
			if err := errors.Join(c.standOne(i, true), c.state()); err != nil {
				return err
			}
		case <-changed:
		case <-c.up.notify:
		case err := <-c.lost:
			return err
		case <-ctx.Done():
			return nil
		}
		stop()
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
	u.mu.Lock()
	defer u.mu.Unlock()
	if m.stream != "" {
		u.acked[m.stream] = m.last
		u.metrics.samples.Add(float64(m.size))
		return nil
	}
	for len(u.events) > 0 && u.events[0].Seq <= m.last {
		u.events = u.events[1:]
	}
	return nil
}

// sendSamples fills the window from all streams in turn, so that a stream with
// a long backlog leaves room for the others.
func (c *connection) sendSamples() error {
	for {
		idle := true
		for stream, newest := range c.up.source.Newest().Get() {
			if c.sent[stream] >= newest.Seq {
				continue
			}
			if len(c.waiting) >= window {
				return nil
			}
			sent, err := c.sendBatch(stream)
			if err != nil {
				return err
			}
			idle = idle && !sent
		}
		if idle {
			return nil
		}
	}
}

func (c *connection) sendBatch(stream telemetry.Stream) (sent bool, err error) {
	samples := c.up.source.After(stream, c.sent[stream], batch)
	if len(samples) == 0 {
		return false, nil
	}
	payload, err := telemetry.Batch(samples)
	for err != nil && len(samples) > 1 { // too large: fewer of them
		samples = samples[:len(samples)/2]
		payload, err = telemetry.Batch(samples)
	}
	if err != nil {
		return false, err
	}
	last := samples[len(samples)-1].Seq
	c.publish(c.up.cfg.Topics.Samples(stream), payload, message{stream: stream, last: last, size: len(samples)})
	c.sent[stream] = last
	return true, nil
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
func (u *Uplink) connect(ctx context.Context) (mqtt.Client, chan error, error) {
	o, err := u.options(ctx)
	if err != nil {
		return nil, nil, err
	}
	lost := make(chan error, 1)
	o.SetConnectionLostHandler(func(_ mqtt.Client, err error) { lost <- err })
	client := mqtt.NewClient(o)
	t := client.Connect()
	<-t.Done() // within the timeouts of the options
	if err := t.Error(); err != nil {
		return nil, nil, fmt.Errorf("connect: %w", err)
	}
	return client, lost, nil
}
