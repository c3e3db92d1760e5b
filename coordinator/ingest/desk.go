package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"primespark/shared/fleet"
	"primespark/shared/run"
	"primespark/shared/telemetry"
)

const (
	clerks    = 32  // messages that are being stored at a time: they share a transaction
	queueMost = 256 // messages that wait; more are dropped, and come again
)

// A Desk takes the messages of samples that come by MQTT, and acknowledges them on
// the same way.
type Desk struct {
	ingest  *Ingest
	topics  telemetry.Topics // without a node
	publish func(topic string, payload []byte) error
	queue   chan message

	mu   sync.Mutex
	acks map[string]map[int64]telemetry.Ack // that wait, by node and boot; an entry means that one is on its way
}

type message struct {
	topic   string
	payload []byte
}

// NewDesk returns a desk for a cluster's topics. Publish sends an acknowledgement;
// one that is lost comes again with the next samples.
func (i *Ingest) NewDesk(prefix, cluster string, publish func(topic string, payload []byte) error) *Desk {
	return &Desk{ingest: i, topics: telemetry.Topics{Prefix: prefix, Cluster: cluster}, publish: publish, queue: make(chan message, queueMost), acks: map[string]map[int64]telemetry.Ack{}}
}

// Filter is what to subscribe to.
func (d *Desk) Filter() string { return d.topics.Prefix + "/" + d.topics.Cluster + "/+/t/+" }

// Message takes a message. It never waits: with too many before it, it is dropped,
// and the node sends it again.
func (d *Desk) Message(topic string, payload []byte) {
	d.ingest.metrics.messages.Inc()
	select {
	case d.queue <- message{topic, payload}:
	default:
		d.ingest.metrics.refused.Inc()
	}
}

func (*Desk) String() string { return "ingest" }

// Run stores messages until ctx ends.
func (d *Desk) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	for range clerks {
		all.Go(func() { // waited for above
			for {
				select {
				case m := <-d.queue:
					if err := d.store(ctx, m); err != nil && ctx.Err() == nil {
						d.ingest.cfg.Log.Debug("samples not acknowledged", "topic", m.topic, "err", err)
					}
				case <-ctx.Done():
					return
				}
			}
		})
	}
	return nil
}

// store stores a message and acknowledges what that leads to.
func (d *Desk) store(ctx context.Context, m message) error {
	node, stream, err := d.of(m.topic)
	if err != nil {
		d.ingest.metrics.refused.Inc()
		return err
	}
	samples, err := telemetry.ParseBatch(stream, m.payload)
	if err != nil {
		d.ingest.metrics.refused.Inc()
		return err
	}
	acks, err := d.ingest.Take(ctx, node, samples)
	if err != nil {
		return err
	}
	d.acknowledge(node, acks)
	return nil
}

// acknowledge sends acknowledgements to a node without waiting for it: one that
// reads nothing must not keep the others' samples from being stored. What comes
// while one is on its way is sent after it, in one.
func (d *Desk) acknowledge(node string, acks []telemetry.Ack) {
	d.mu.Lock()
	defer d.mu.Unlock()
	waiting, busy := d.acks[node]
	if waiting == nil {
		waiting = map[int64]telemetry.Ack{}
	}
	for _, a := range acks {
		if old, ok := waiting[a.Boot]; ok {
			for stream, seq := range old.Streams {
				a.Streams[stream] = max(a.Streams[stream], seq)
			}
		}
		waiting[a.Boot] = a
	}
	d.acks[node] = waiting
	if !busy {
		go d.post(node) // ends with the connection to the node, at the latest
	}
}

// post sends what waits for a node, until nothing does.
func (d *Desk) post(node string) {
	topics := d.topics
	topics.Node = node
	for {
		d.mu.Lock()
		waiting := d.acks[node]
		if len(waiting) == 0 {
			delete(d.acks, node)
			d.mu.Unlock()
			return
		}
		d.acks[node] = map[int64]telemetry.Ack{}
		d.mu.Unlock()
		for _, a := range waiting {
			payload, err := json.Marshal(a)
			if err == nil {
				err = d.publish(topics.Ack(), payload)
			}
			if err != nil {
				d.ingest.cfg.Log.Debug("acknowledgement not sent, it comes again with the next samples", "node", node, "err", err)
			}
		}
	}
}

// of reads whose samples a topic is for. Who may publish there is the broker's to
// check: the embedded one goes by the certificate, others by their access list.
func (d *Desk) of(topic string) (node string, stream telemetry.Stream, err error) {
	rest, ours := strings.CutPrefix(topic, d.topics.Prefix+"/"+d.topics.Cluster+"/")
	node, name, samples := strings.Cut(rest, "/t/")
	if !ours || !samples || !fleet.ValidName(node) || !telemetry.Stream(name).Valid() {
		return "", "", fmt.Errorf("the topic %.100q is not one of samples", topic)
	}
	return node, telemetry.Stream(name), nil
}

var _ run.Part = (*Desk)(nil)
