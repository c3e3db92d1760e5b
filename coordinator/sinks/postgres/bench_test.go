package postgres_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"primespark/coordinator/history"
	"primespark/shared/telemetry"
)

// BenchmarkIngest writes samples as nodes make them into a real PostgreSQL, and
// has psql \copy the same rows into a table of the same shape, by turns. It
// reports rows/s of both, and the sink's as a ratio of psql's.
func BenchmarkIngest(b *testing.B) {
	const n, batch = 200_000, 10_000
	s := start(b)
	sink := open(b, config(s))
	var ours, theirs time.Duration
	for round := 0; b.Loop(); round++ {
		all := typical(fmt.Sprintf("pi-%d", round), n)
		csv := filepath.Join(s.dir, "rows.csv")
		if err := os.WriteFile(csv, []byte(text(b, all, "psql-")), 0o644); err != nil {
			b.Fatal(err)
		}
		begin := time.Now()
		for i := 0; i < n; i += batch {
			if err := sink.Write(b.Context(), all[i:i+batch]); err != nil {
				b.Fatal(err)
			}
		}
		ours += time.Since(begin)
		begin = time.Now()
		s.run("psql", "-h", "127.0.0.1", "-p", s.port, "-U", "prime", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-c",
			`\copy primespark.samples (node, boot, stream, seq, at, value, unit, fields) FROM '`+csv+`' CSV`)
		theirs += time.Since(begin)
	}
	if got, want := query[int](s, `SELECT count(*) FROM primespark.samples`), 2*n*b.N; got != want {
		b.Fatalf("%d rows, want %d", got, want)
	}
	rate := func(d time.Duration) float64 { return float64(n*b.N) / d.Seconds() }
	b.ReportMetric(rate(ours), "rows/s")
	b.ReportMetric(rate(theirs), "psql-rows/s")
	b.ReportMetric(rate(ours)/rate(theirs), "of-psql")
}

// typical are n samples in the proportion in which an agent makes them: five
// streams, of which one has a single number.
func typical(node string, n int) []history.Row {
	at := time.Now().UTC().Truncate(time.Millisecond).Add(-time.Hour)
	all := make([]history.Row, n)
	for i := range all {
		var s telemetry.Stream
		var v telemetry.Value
		switch i % 5 {
		case 0:
			s, v = telemetry.CPU, telemetry.Fields(map[string]float64{"used": 0.25 + float64(i%100)/1000, "load_1m": 0.75})
		case 1:
			s, v = telemetry.Memory, telemetry.Fields(map[string]float64{"used": 0.5, "used_bytes": 4e9 + float64(i), "total_bytes": 8e9, "swap_used_bytes": 0})
		case 2:
			s, v = telemetry.Temperature, telemetry.Number(51.25+float64(i%40)/4, "°C")
		case 3:
			s, v = telemetry.Network, telemetry.Fields(map[string]float64{"received_bytes_per_second": float64(i), "sent_bytes_per_second": 100, "errors_per_second": 0})
		case 4:
			s, v = telemetry.Inference, telemetry.Fields(map[string]float64{"in_flight": 1, "queue": 0, "latency_seconds": 0.02})
		}
		all[i] = history.Row{Node: node, Sample: telemetry.Sample{Boot: 1795392000000, Stream: s, Seq: uint64(i/5 + 1), At: at.Add(time.Duration(i) * 10 * time.Millisecond), Value: v}}
	}
	return all
}

// text is the rows as CSV, of nodes whose names have a prefix.
func text(b *testing.B, all []history.Row, prefix string) string {
	b.Helper()
	var out strings.Builder
	for _, r := range all {
		number, fields := "", ""
		if r.Value.All() == nil {
			number = fmt.Sprint(r.Value.Number())
		} else {
			j, err := json.Marshal(r.Value)
			if err != nil {
				b.Fatal(err)
			}
			fields = `"` + strings.ReplaceAll(string(j), `"`, `""`) + `"`
		}
		fmt.Fprintf(&out, "%s%s,%d,%s,%d,%s,%s,%s,%s\n", prefix, r.Node, r.Boot, r.Stream, r.Seq, r.At.Format(time.RFC3339Nano), number, r.Value.Unit(), fields)
	}
	return out.String()
}
