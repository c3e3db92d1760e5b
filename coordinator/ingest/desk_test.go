package ingest_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"primespark/shared/telemetry"
)

// TestMessagesOfABroker: each node's samples are stored and acknowledged on its own
// topic, one that reads nothing holds nobody up, and what is none is dropped.
func TestMessagesOfABroker(t *testing.T) {
	inBubble(t, []string{"c1", "c2"}, func(t *testing.T, g *group) {
		var mu sync.Mutex
		said := map[string]uint64{} // the highest: acknowledgements are cumulative, and may overtake each other
		stuck := make(chan struct{})
		desk := g.all["c1"].NewDesk("primespark", "home", func(topic string, payload []byte) error {
			if topic == "primespark/home/c2/ack" {
				<-stuck
			}
			var a telemetry.Ack
			if err := json.Unmarshal(payload, &a); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			said[topic] = max(said[topic], a.Streams["cpu"])
			return nil
		})
		ctx, cancel := context.WithCancel(g.ctx)
		done := make(chan error)
		go func() { done <- desk.Run(ctx) }()
		send := func(node string, from, to uint64) {
			t.Helper()
			payload, err := telemetry.Batch(samples(from, to))
			if err != nil {
				t.Fatal(err)
			}
			desk.Message("primespark/home/"+node+"/t/cpu", payload)
		}
		for i := range uint64(60) { // more than there are clerks
			send("c2", i+1, i+1)
			send("pi-1", i*10+1, i*10+10)
		}
		for _, topic := range []string{"primespark/away/pi-1/t/cpu", "primespark/home/pi-1/t/CPU", "primespark/home/pi-1/status", "primespark/home/pi-9/t/cpu", ""} {
			desk.Message(topic, []byte(`[{"boot":1,"seq":1,"at":"2026-01-01T00:00:00Z","value":1}]`))
		}
		desk.Message("primespark/home/pi-1/t/cpu", []byte("garbage"))
		time.Sleep(time.Second)
		mu.Lock()
		if len(said) != 1 || said["primespark/home/pi-1/ack"] != 600 {
			t.Errorf("said %v, want pi-1's 600", said)
		}
		mu.Unlock()
		close(stuck)
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		if got := said["primespark/home/c2/ack"]; got != 60 || g.has("c2") != 660 {
			t.Errorf("60 of the other were acknowledged up to %d; %d rows", got, g.has("c2"))
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
