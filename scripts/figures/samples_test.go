package figures_test

import (
	"context"
	"os"
	"testing"
	"time"

	"primespark/shared/rig"
	"primespark/shared/wire"
)

// What the others say of themselves: Telegraf with all its plugins takes some 70 MB
// of memory and 245 MB of disk, and 15 and 37 MB once built for a handful of them
// (influxdata/telegraf#14070).
const (
	telegrafMemory = 70.0 // MB
	telegrafLeast  = 15.0
)

// BenchmarkSamples is what an agent takes that measures ten samples a second, of all its streams
// together (those of the host twice a second, and the battery's), and keeps them in its outbox until two coordinators have them; and, beside it, the same
// agent measuring once an hour. The goals are 1 % of a core and 2 GB a day written.
func BenchmarkSamples(b *testing.B) {
	bin := os.Getenv(binVariable)
	if bin == "" {
		b.Skipf("%s does not name the directory of the programs; make bench does", binVariable)
	}
	const stays = time.Minute
	for b.Loop() {
		for _, measure := range []struct {
			what  string
			every time.Duration
		}{{"busy-", 500 * time.Millisecond}, {"idle-", time.Hour}} {
			samples(b, bin, measure.what, measure.every, stays)
		}
	}
	b.ReportMetric(telegrafMemory, "telegraf-MB")
	b.ReportMetric(telegrafLeast, "telegraf-built-small-MB")
}

func samples(b *testing.B, bin, what string, every, stays time.Duration) {
	r, err := rig.New(rig.Options{Bin: bin, Coordinators: 2, Agents: 1, Every: every})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			b.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(b.Context(), 2*time.Minute+stays)
	defer cancel()
	if err := r.Start(ctx, func(string) {}); err != nil {
		b.Fatal(err)
	}
	if _, err := r.Healthy(ctx, "blazeface"); err != nil {
		b.Fatal(err)
	}
	time.Sleep(10 * time.Second) // it has warmed up its model and found its places
	pid := r.Agents[0].PID()
	tell("%sagent: %v", what, stays)
	from, cpu, bytes := time.Now(), used(b, pid), written(b, pid)
	time.Sleep(stays)
	to := time.Now()
	took := to.Sub(from).Seconds()
	b.ReportMetric(100*(used(b, pid)-cpu).Seconds()/took, what+"cpu-%")
	b.ReportMetric(float64(written(b, pid)-bytes)/took*86400/1e9, what+"GB/day")
	b.ReportMetric(resident(b, pid), what+"MiB")
	rows, err := r.Client(r.Coordinators...).Telemetry(ctx, wire.TelemetryQuery{Node: "pi-1", From: from, To: to, Limit: 10000})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(len(rows))/took, what+"samples/s")
}
