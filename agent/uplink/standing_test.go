package uplink_test

import (
	"sync/atomic"
	"testing"
	"time"

	"primespark/agent/uplink"
	"primespark/shared/telemetry"
)

// count returns how many messages of a topic came.
func (l *lab) count(topic string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[topic]
}

// TestHomeAssistant: its message comes with the connection, when it changes, and
// when Home Assistant says that it has started; and never before it is known.
func TestHomeAssistant(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.stop()
		var message atomic.Pointer[string]
		topic := topics.Discovery()
		l.startUplink(uplink.Config{
			Broker: "tcp://c1:7883", Topics: topics, Self: func() any { return map[string]bool{"ready": true} },
			Standing: []uplink.Standing{{Topic: topic, Come: telemetry.HomeAssistant, Word: "online", Payload: func() ([]byte, error) {
				if m := message.Load(); m != nil {
					return []byte(*m), nil
				}
				return nil, nil
			}}},
		})
		says := func(m string) { message.Store(&m) }
		born := func(word string) {
			wait(t, l.reader.Publish(telemetry.HomeAssistant, 1, false, word))
			pass(3 * time.Second)
		}
		pass(time.Minute)
		born("online")
		if n := l.count(topic); n != 0 {
			t.Errorf("%d messages before there is one", n)
		}
		says("one")
		pass(time.Minute)
		if n := l.count(topic); n != 1 || l.payload(topic) != "one" {
			t.Errorf("%d messages, the last %q; want one", n, l.payload(topic))
		}
		says("two")
		pass(10 * time.Second)
		if n := l.count(topic); n != 2 || l.payload(topic) != "two" {
			t.Errorf("%d messages after a change, the last %q", n, l.payload(topic))
		}
		born("offline")
		if n := l.count(topic); n != 2 {
			t.Errorf("%d messages after Home Assistant stopped, want 2", n)
		}
		born("online")
		if n := l.count(topic); n != 3 {
			t.Errorf("%d messages after Home Assistant started, want 3", n)
		}
		if got, want := l.payload(topics.State()), `{"self":{"ready":true}}`; got != want {
			t.Errorf("state %s, want %s", got, want)
		}
	})
}
