// Package kafka is the sink that writes the history to a topic of Apache Kafka, or
// of what speaks its protocol.
//
// Each row is a record: the key is the node's name, so that the rows of a node stay
// in order in one partition; the value is the sample in JSON with its node; the
// record's time is the sample's. The producer is idempotent, so what the client
// repeats by itself is there once. What the feed sends again after a crash or a
// change of the leader comes twice: the header "id", node/boot/stream/seq, tells.
package kafka

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"primespark/coordinator/history"
	"primespark/coordinator/sinks"
	"primespark/shared/logs"
)

// Config says which cluster and topic.
type Config struct {
	Brokers   []string // host:port to begin with
	Topic     string
	TLS       *tls.Config // nil: in the clear
	Mechanism string      // of SASL: plain, scram-sha-256 or scram-sha-512
	Username  string      // empty: no SASL
	Password  func() (logs.Secret, error)
}

// A Sink is a producer. It belongs to one goroutine.
type Sink struct {
	client *kgo.Client
	topic  string
}

var _ sinks.Sink = (*Sink)(nil)

// Bounds of the producer. A batch of the feed fits into its buffer.
const (
	inFlight   = 20_000 // records
	batchBytes = 1 << 20
	giveUp     = 45 * time.Second // for one record, all tries together; less than the feed's patience
)

// Open connects and checks that somebody answers there.
func Open(ctx context.Context, cfg Config) (*Sink, error) {
	options := []kgo.Opt{
		kgo.ClientID("prime-spark"), kgo.SeedBrokers(cfg.Brokers...), kgo.DefaultProduceTopic(cfg.Topic), kgo.AllowAutoTopicCreation(),
		kgo.RequiredAcks(kgo.AllISRAcks()), // the default, and what idempotence wants
		kgo.MaxBufferedRecords(inFlight), kgo.ProducerBatchMaxBytes(batchBytes), kgo.RecordDeliveryTimeout(giveUp),
		kgo.ProducerLinger(0), // a batch of the feed is there at once
	}
	if cfg.TLS != nil {
		options = append(options, kgo.DialTLSConfig(cfg.TLS))
	}
	if cfg.Username != "" {
		m, err := mechanism(cfg)
		if err != nil {
			return nil, err
		}
		options = append(options, kgo.SASL(m))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, fmt.Errorf("sinks.kafka: %w", err)
	}
	if err := client.Ping(ctx); err != nil {
		client.Close()
		return nil, fmt.Errorf("connect to Kafka: %w", err)
	}
	return &Sink{client, cfg.Topic}, nil
}

func mechanism(cfg Config) (sasl.Mechanism, error) {
	password, err := cfg.Password()
	if err != nil {
		return nil, err
	}
	auth := scram.Auth{User: cfg.Username, Pass: password.Reveal()}
	switch cfg.Mechanism {
	case "plain":
		return plain.Auth{User: cfg.Username, Pass: password.Reveal()}.AsMechanism(), nil
	case "scram-sha-256":
		return auth.AsSha256Mechanism(), nil
	case "scram-sha-512":
		return auth.AsSha512Mechanism(), nil
	}
	return nil, fmt.Errorf("sinks.kafka.mechanism: %q is not one of plain, scram-sha-256, scram-sha-512", cfg.Mechanism)
}

// Write produces the rows and waits until all replicas in sync have them.
func (s *Sink) Write(ctx context.Context, rows []history.Row) error {
	records := make([]*kgo.Record, len(rows))
	for i := range rows {
		var err error
		if records[i], err = record(&rows[i]); err != nil {
			return fmt.Errorf("%w: %w", sinks.ErrRejected, err)
		}
	}
	err := s.client.ProduceSync(ctx, records...).FirstErr()
	if err == nil {
		return nil
	}
	for _, fault := range []error{kerr.MessageTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp, kerr.CorruptMessage} {
		if errors.Is(err, fault) {
			return fmt.Errorf("%w: %w", sinks.ErrRejected, err)
		}
	}
	return fmt.Errorf("write to Kafka topic %s: %w", s.topic, err)
}

// record is a row as it travels.
func record(r *history.Row) (*kgo.Record, error) {
	sample, err := json.Marshal(r.Sample)
	if err != nil {
		return nil, fmt.Errorf("encode a sample: %w", err)
	}
	// The sample is an object with fields, so its node goes before them.
	value := make([]byte, 0, len(sample)+len(r.Node)+12)
	value = append(append(append(value, `{"node":"`...), r.Node...), `",`...) // a node's name needs no quoting
	value = append(value, sample[1:]...)
	id := make([]byte, 0, 64)
	id = append(append(id, r.Node...), '/')
	id = append(strconv.AppendInt(id, r.Boot, 10), '/')
	id = append(append(id, r.Stream...), '/')
	id = strconv.AppendUint(id, r.Seq, 10)
	return &kgo.Record{
		Key: []byte(r.Node), Value: value, Timestamp: r.At,
		Headers: []kgo.RecordHeader{{Key: "id", Value: id}},
	}, nil
}

// Close ends the producer.
func (s *Sink) Close() error {
	s.client.Close()
	return nil
}
