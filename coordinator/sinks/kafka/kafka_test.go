package kafka_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"primespark/coordinator/history"
	"primespark/coordinator/sinks/kafka"
	"primespark/shared/logs"
	"primespark/shared/telemetry"
)

// These tests run against franz-go's kfake, which is not Kafka: it speaks the
// protocol and keeps records in memory, and knows no replicas and no disk.

const topic = "primespark.telemetry"

func fake(t testing.TB, options ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(3), kfake.SeedTopics(4, topic)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func open(t testing.TB, c *kfake.Cluster) *kafka.Sink {
	t.Helper()
	sink, err := kafka.Open(t.Context(), kafka.Config{Brokers: c.ListenAddrs(), Topic: topic})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sink.Close() })
	return sink
}

func rows(node string, first, n int) []history.Row {
	all := make([]history.Row, n)
	for i := range all {
		all[i] = history.Row{Node: node, Sample: telemetry.Sample{
			Boot: 1795392000000, Stream: telemetry.CPU, Seq: uint64(first + i), At: time.Now().UTC().Truncate(time.Millisecond),
			Value: telemetry.Fields(map[string]float64{"used": 0.25, "load_1m": 1}),
		}}
	}
	return all
}

// consume reads n records.
func consume(t *testing.T, c *kfake.Cluster, n int) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var all []*kgo.Record
	for len(all) < n {
		fetched := client.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			t.Fatalf("%d of %d records, then %v", len(all), n, err)
		}
		all = append(all, fetched.Records()...)
	}
	return all
}

func TestRecords(t *testing.T) {
	c := fake(t)
	sink := open(t, c)
	for i := range 3 {
		if err := sink.Write(t.Context(), append(rows("pi-1", 1+100*i, 100), rows("pi-2", 1+100*i, 100)...)); err != nil {
			t.Fatal(err)
		}
	}
	partition, next := map[string]int32{}, map[string]uint64{"pi-1": 1, "pi-2": 1}
	for _, r := range consume(t, c, 600) {
		node := string(r.Key)
		if p, seen := partition[node]; seen && p != r.Partition {
			t.Fatalf("the rows of %s are in partitions %d and %d", node, p, r.Partition)
		}
		partition[node] = r.Partition
		var got struct {
			Node  string `json:"node"`
			Value struct {
				Used float64 `json:"used"`
			} `json:"value"`
		}
		var sample telemetry.Sample
		if json.Unmarshal(r.Value, &got) != nil || json.Unmarshal(r.Value, &sample) != nil || got.Node != node || got.Value.Used != 0.25 {
			t.Fatalf("value %s", r.Value)
		}
		if sample.Seq != next[node] {
			t.Fatalf("%s: %d came, want %d", node, sample.Seq, next[node])
		}
		next[node]++
		want := fmt.Sprintf("%s/1795392000000/cpu/%d", node, sample.Seq)
		if len(r.Headers) != 1 || r.Headers[0].Key != "id" || string(r.Headers[0].Value) != want {
			t.Fatalf("headers %v, want id %s", r.Headers, want)
		}
		if !r.Timestamp.Equal(sample.At) {
			t.Fatalf("record of %v holds a sample of %v", r.Timestamp, sample.At)
		}
	}
}

func TestGap(t *testing.T) {
	c := fake(t)
	sink := open(t, c)
	all := rows("pi-1", 9, 1)
	all[0].Value, all[0].Gap = telemetry.Value{}, &telemetry.Gap{From: 3, Reason: "full"}
	if err := sink.Write(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	if got := string(consume(t, c, 1)[0].Value); !strings.Contains(got, `"gap":{"from":3,"reason":"full"}`) {
		t.Errorf("%s", got)
	}
}

func TestPassword(t *testing.T) {
	c := fake(t, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "prime", "secret"))
	for password, good := range map[string]bool{"secret": true, "guess-7": false} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		sink, err := kafka.Open(ctx, kafka.Config{
			Brokers: c.ListenAddrs(), Topic: topic, Mechanism: "scram-sha-256", Username: "prime",
			Password: func() (logs.Secret, error) { return logs.Secret(password), nil },
		})
		cancel()
		if (err == nil) != good {
			t.Errorf("password %s: %v", password, err)
		}
		if err != nil && strings.Contains(err.Error(), password) {
			t.Errorf("the password shows: %v", err)
		}
		if err == nil {
			if err := sink.Write(t.Context(), rows("pi-1", 1, 10)); err != nil {
				t.Error(err)
			}
			sink.Close()
		}
	}
}

func TestNobodyThere(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := kafka.Open(ctx, kafka.Config{Brokers: []string{"127.0.0.1:1"}, Topic: topic}); err == nil || !strings.Contains(err.Error(), "connect to Kafka") {
		t.Errorf("opened, or %v", err)
	}
}

// BenchmarkProduce writes to kfake, which is no Kafka: it shows what the sink can
// give, not what a cluster takes.
func BenchmarkProduce(b *testing.B) {
	const n, batch = 200_000, 10_000
	sink := open(b, fake(b))
	all := rows("pi-1", 1, n)
	for i := range all {
		all[i].Node = fmt.Sprintf("pi-%d", i%16)
	}
	var spent time.Duration
	for b.Loop() {
		begin := time.Now()
		for i := 0; i < n; i += batch {
			if err := sink.Write(b.Context(), all[i:i+batch]); err != nil {
				b.Fatal(err)
			}
		}
		spent += time.Since(begin)
	}
	b.ReportMetric(float64(n*b.N)/spent.Seconds(), "records/s")
}
