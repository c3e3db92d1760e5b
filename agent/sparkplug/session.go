package sparkplug

import (
	"context"
	"errors"
	"fmt"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"primespark/shared/mqttpipe"
	"primespark/shared/telemetry"
)

const (
	patience = 30 * time.Second // for the broker's word
	pace     = time.Second      // at most one message in it, whoever asks for births
	seqMost  = 255              // then it is 0 again
)

var errSilent = errors.New("the broker acknowledges nothing")

// A session is one connection. It belongs to one goroutine.
type session struct {
	edge   *Edge
	client mqtt.Client
	death  int64         // bdSeq of its death
	seq    uint64        // of the last message
	asked  chan struct{} // 1 deep: a host wants a birth
}

// session connects, is born, calls up, and tells what changes until the connection
// is lost or ctx ends. It dies in order then, and not by the will.
func (e *Edge) session(ctx context.Context, up func()) error {
	death, err := nextDeath(e.cfg.Dir)
	if err != nil {
		return err
	}
	s := &session{edge: e, death: death, asked: make(chan struct{}, 1)}
	pipe := e.cfg.Pipe
	pipe.Will = mqttpipe.Will{Topic: e.cfg.Topics.Sparkplug(telemetry.NDeath), Payload: s.farewell()}
	client, lost, err := mqttpipe.Connect(ctx, pipe)
	if err != nil {
		return err
	}
	defer client.Disconnect(250) // ms
	s.client = client
	if err := s.listen(); err != nil { // first, so that no command is missed
		return err
	}
	if err := s.born(); err != nil {
		return err
	}
	e.metrics.connected.Set(1)
	defer e.metrics.connected.Set(0)
	up()
	if err := s.run(ctx, lost); err != nil {
		return err
	}
	return s.publish(telemetry.NDeath, s.farewell(), 1) // the will is not sent after a DISCONNECT
}

// run tells what changes. It returns nil when ctx ends.
func (s *session) run(ctx context.Context, lost <-chan error) error {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case err := <-lost:
			return err
		case <-ctx.Done():
			return nil
		}
		if err := s.tell(); err != nil {
			return err
		}
	}
}

// tell publishes a birth if a host wants one or there is something new to name;
// else what has changed, if anything has.
func (s *session) tell() error {
	e, now := s.edge, time.Now()
	fresh := e.table.take(e.cfg.Newest(), e.cfg.Facts(), now)
	select {
	case <-s.asked:
		fresh = true
	default:
	}
	if fresh {
		return s.born()
	}
	changed := e.table.changes()
	if len(changed) == 0 {
		return nil
	}
	if s.seq++; s.seq > seqMost {
		s.seq = 0
	}
	e.metrics.messages.Inc()
	return s.publish(telemetry.NData, Payload{Timestamp: millis(now), Seq: new(s.seq), Metrics: changed}.Encode(), 0)
}

// born publishes all metrics, with which the count of messages begins anew.
func (s *session) born() error {
	e, now := s.edge, time.Now()
	e.table.take(e.cfg.Newest(), e.cfg.Facts(), now)
	s.seq = 0
	e.metrics.births.Inc()
	return s.publish(telemetry.NBirth, Payload{Timestamp: millis(now), Seq: new(s.seq), Metrics: e.table.birth(s.death, now)}.Encode(), 0)
}

// farewell is the payload of a death: it has no sequence.
func (s *session) farewell() []byte {
	now := millis(time.Now())
	return Payload{Timestamp: now, Metrics: []Metric{{Name: bdSeq, Timestamp: now, Type: Int64, Value: s.death}}}.Encode()
}

// publish sends a message; none of Sparkplug's is retained.
func (s *session) publish(kind telemetry.SparkplugMessage, payload []byte, qos byte) error {
	t := s.client.Publish(s.edge.cfg.Topics.Sparkplug(kind), qos, false, payload)
	within := patience
	if kind == telemetry.NDeath {
		within = time.Second // the node goes down
	}
	if !t.WaitTimeout(within) {
		return errSilent
	}
	if err := t.Error(); err != nil {
		return fmt.Errorf("publish %s: %w", kind, err)
	}
	return nil
}

// listen hears commands; the only one that there is asks for a birth.
func (s *session) listen() error {
	topic := s.edge.cfg.Topics.Sparkplug(telemetry.NCmd)
	t := s.client.Subscribe(topic, 1, func(_ mqtt.Client, m mqtt.Message) { s.heard(m.Payload()) })
	if !t.WaitTimeout(patience) {
		return errSilent
	}
	if err := t.Error(); err != nil {
		return fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	if granted := t.(*mqtt.SubscribeToken).Result()[topic]; granted > 1 { // 0x80: MQTT 3.1.1, 3.9.3
		return fmt.Errorf("subscribe to %s: the broker's rules forbid it; let the node read it", topic)
	}
	return nil
}

// heard takes a command. It is called by the library and never waits.
func (s *session) heard(payload []byte) {
	p, err := Decode(payload)
	if err != nil {
		s.edge.log.Debug("not a command", "err", err)
		return
	}
	for _, m := range p.Metrics {
		if m.Name != rebirth || m.Value != true {
			continue
		}
		select {
		case s.asked <- struct{}{}:
		default: // it is told already
		}
	}
}
