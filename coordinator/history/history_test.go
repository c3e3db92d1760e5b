package history_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"primespark/coordinator/history"
	"primespark/shared/telemetry"
)

// start is some time ago, at the beginning of an hour.
var start = time.Now().Add(-5 * time.Hour).Truncate(time.Hour).UTC()

// A lab is a store that runs.
type lab struct {
	*history.Store
	t    *testing.T
	dir  string
	log  bytes.Buffer // read after stop
	stop func()
}

func open(t *testing.T, dir string, change ...func(*history.Config)) *lab {
	t.Helper()
	l := &lab{t: t, dir: dir}
	cfg := history.Config{Dir: dir, MaxSize: 1 << 30, Raw: 24 * time.Hour, Minutes: 30 * 24 * time.Hour, Log: slog.New(slog.NewTextHandler(&l.log, nil))}
	for _, c := range change {
		c(&cfg)
	}
	s, err := history.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l.Store = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	l.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(l.stop)
	return l
}

// samples are those of a stream from one sequence to another, one each second.
func samples(stream telemetry.Stream, from, to uint64) []telemetry.Sample {
	var all []telemetry.Sample
	for seq := from; seq <= to; seq++ {
		all = append(all, telemetry.Sample{
			Boot: 7, Stream: stream, Seq: seq, At: start.Add(time.Duration(seq) * time.Second), Value: telemetry.Number(float64(seq), "W"),
		})
	}
	return all
}

func (l *lab) append(node string, all []telemetry.Sample) history.Appended {
	l.t.Helper()
	a, err := l.Append(l.t.Context(), node, all)
	if err != nil {
		l.t.Fatal(err)
	}
	return a
}

// rows are the sequences that the log has after n.
func (l *lab) rows(n uint64) (seqs []uint64) {
	l.t.Helper()
	for {
		rows, err := l.After(n, 100)
		if err != nil {
			l.t.Fatal(err)
		}
		if len(rows) == 0 {
			return seqs
		}
		for _, r := range rows {
			if r.N != n+1 {
				l.t.Fatalf("row %d comes after %d", r.N, n)
			}
			n = r.N
			seqs = append(seqs, r.Seq)
		}
	}
}

func TestWhatIsAcknowledged(t *testing.T) {
	l := open(t, t.TempDir())
	gap := func(from, to uint64, reason string) []telemetry.Sample {
		return []telemetry.Sample{{Boot: 7, Stream: "cpu", Seq: to, At: start, Gap: &telemetry.Gap{From: from, Reason: reason}}}
	}
	for i, step := range []struct {
		what string
		of   []telemetry.Sample
		ack  uint64 // 0: none
		last uint64
	}{
		{"the first", samples("cpu", 1, 10), 10, 10},
		{"the same again", samples("cpu", 1, 10), 10, 10},
		{"half of it new", samples("cpu", 6, 15), 15, 15},
		{"ahead of others", samples("cpu", 31, 40), 15, 25},
		{"what was missing", samples("cpu", 16, 30), 40, 40},
		{"before a gap", samples("cpu", 51, 60), 40, 50},
		{"the gap", gap(41, 50, "full"), 60, 51},
		{"the gap again", gap(41, 50, "full"), 60, 51},
		{"told to be stored", gap(1, 99, history.Settled), 99, 51},
	} {
		a := l.append("pi-1", step.of)
		want := []telemetry.Ack{{Boot: 7, Streams: map[telemetry.Stream]uint64{"cpu": step.ack}}}
		if diff := cmp.Diff(want, a.Acks); diff != "" || a.Last != step.last {
			t.Errorf("%d, %s: last %d, want %d, %s", i, step.what, a.Last, step.last, diff)
		}
	}
	if a := l.append("pi-2", samples("cpu", 5, 6)); len(a.Acks) != 0 {
		t.Errorf("acknowledged without the first: %v", a.Acks)
	}
}

// A store that was away hears from the node first that all is stored elsewhere, and
// takes it from there all the same, even after a restart in between.
func TestWhatIsStoredElsewhereStillComes(t *testing.T) {
	for _, restart := range []bool{false, true} {
		dir := t.TempDir()
		l := open(t, dir)
		l.append("pi-1", samples("cpu", 1, 10))
		settled := telemetry.Sample{Boot: 7, Stream: "cpu", Seq: 40, At: start, Gap: &telemetry.Gap{From: 1, Reason: history.Settled}}
		l.append("pi-1", append([]telemetry.Sample{settled}, samples("cpu", 41, 50)...))
		if restart {
			l.append("pi-2", samples("cpu", 1, 16384)) // as many as have the marks written
			l.stop()
			l = open(t, dir)
		}
		if a := l.append("pi-1", samples("cpu", 50, 51)); a.Acks[0].Streams["cpu"] != 51 {
			t.Errorf("restart %v: %+v, want all acknowledged", restart, a.Acks)
		}
		var rows []history.Row
		for _, one := range samples("cpu", 1, 40) {
			rows = append(rows, history.Row{Node: "pi-1", Sample: one})
		}
		if err := l.Follow(t.Context(), "another", rows, 40); err != nil {
			t.Fatal(err)
		}
		rows, _, err := l.Rows(t.Context(), history.Query{Node: "pi-1", From: start, To: start.Add(time.Hour), Limit: 100})
		if err != nil || len(rows) != 51 {
			t.Errorf("restart %v: %d rows, want 51; %v", restart, len(rows), err)
		}
	}
}

func TestTheLogIsReadOnceInOrder(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	for seq := uint64(1); seq <= 500; seq += 7 {
		l.append("pi-1", samples("cpu", seq, min(seq+6, 500)))
	}
	all := l.rows(0)
	if len(all) != 500 || !slices.IsSorted(all) {
		t.Fatalf("%d rows, want 500 in order", len(all))
	}
	for _, n := range []uint64{1, 6, 7, 8, 250, 499, 500, 501} {
		if got := l.rows(n); len(got) != max(0, 500-int(n)) {
			t.Errorf("after %d: %d rows", n, len(got))
		}
	}
	if err := l.SetCursor("sink", 123); err != nil {
		t.Fatal(err)
	}
	if err := l.SetCursor("No Name", 1); err == nil {
		t.Error("a cursor without a name")
	}
	id := l.ID()
	l.stop()

	l = open(t, dir)
	last, changed := l.Last()
	n, err := l.Cursor("sink")
	if last != 500 || n != 123 || err != nil || l.ID() != id || l.First() != 1 {
		t.Errorf("opened again: last %d, cursor %d, %v, id %s, first %d", last, n, err, l.ID(), l.First())
	}
	if a := l.append("pi-1", samples("cpu", 490, 510)); a.Last != 510 {
		t.Errorf("last %d after a restart, want 510: the marks are lost", a.Last)
	}
	<-changed
}

func TestQuestions(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	l.append("pi-1", samples("power", 1, 7200)) // two hours
	l.append("pi-1", []telemetry.Sample{{Boot: 7, Stream: "cpu", Seq: 1, At: start, Value: telemetry.Fields(map[string]float64{"used": 0.5})}})
	l.append("pi-10", samples("power", 1, 5))
	check := func(when string) {
		t.Helper()
		for name, test := range map[string]struct {
			q     history.Query
			first uint64
			rows  int
			more  bool
		}{
			"a minute":        {history.Query{Stream: "power", From: start.Add(60 * time.Second), To: start.Add(120 * time.Second), Limit: 1000}, 60, 60, false},
			"over the hour":   {history.Query{Stream: "power", From: start.Add(3590 * time.Second), To: start.Add(3610 * time.Second), Limit: 1000}, 3590, 20, false},
			"at most ten":     {history.Query{Stream: "power", From: start, To: start.Add(time.Hour), Limit: 10}, 1, 10, true},
			"of all streams":  {history.Query{From: start, To: start.Add(10 * time.Second), Limit: 1000}, 1, 10, false},
			"of no such time": {history.Query{Stream: "power", From: start.Add(-time.Hour), To: start, Limit: 1000}, 0, 0, false},
		} {
			test.q.Node = "pi-1"
			rows, more, err := l.Rows(t.Context(), test.q)
			if err != nil || len(rows) != test.rows || more != test.more || len(rows) > 0 && rows[0].Seq != test.first {
				t.Errorf("%s, %s: %d rows, more %v, %v; want %d from %d", when, name, len(rows), more, err, test.rows, test.first)
			}
		}
		minutes, more, err := l.Minutes(t.Context(), history.Query{Node: "pi-1", Stream: "power", From: start, To: start.Add(2 * time.Hour), Limit: 1000}, time.Minute)
		if err != nil || more || len(minutes) != 120 {
			t.Fatalf("%s: %d minutes, %v", when, len(minutes), err)
		}
		want := history.Minute{Stream: "power", At: start.Add(time.Minute), Unit: "W", Min: 60, Mean: 89.5, Max: 119, Count: 60}
		if diff := cmp.Diff(want, minutes[1]); diff != "" {
			t.Errorf("%s: %s", when, diff)
		}
		hours, _, err := l.Minutes(t.Context(), history.Query{Node: "pi-1", From: start, To: start.Add(3 * time.Hour), Limit: 1000}, time.Hour)
		if err != nil || len(hours) != 4 || hours[0].Field != "used" || hours[1].Count != 3599 || hours[2].Count != 3600 || hours[3].Count < 1 {
			t.Errorf("%s: hours %v, %v", when, hours, err)
		}
	}
	check("from the log")
	l.stop()
	l = open(t, dir) // which puts it in order
	l.append("pi-1", samples("power", 1, 1))
	check("in order")
	l.append("pi-1", samples("power", 7201, 7210))
	check("with more")
	if rows := l.rows(7206); len(rows) != 10 {
		t.Errorf("%d rows in the log after 7206, want 10", len(rows))
	}
}

func TestFollowing(t *testing.T) {
	one, two := open(t, t.TempDir()), open(t, t.TempDir())
	one.append("pi-1", samples("cpu", 1, 50))
	two.append("pi-1", samples("cpu", 40, 60)) // the node went to the other one
	rows, err := one.After(0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := two.Follow(t.Context(), one.ID(), rows, 50); err != nil {
			t.Fatal(err)
		}
	}
	if n := two.Followed(one.ID()); n != 50 {
		t.Errorf("followed to %d", n)
	}
	if a := two.append("pi-1", samples("cpu", 60, 60)); a.Last != 60 || a.Acks[0].Streams["cpu"] != 60 {
		t.Errorf("%+v, want 60 rows, all of them in order", a)
	}
}

func TestDamageIsPutAside(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	l.append("pi-1", samples("cpu", 1, 500))
	l.stop()
	path := filepath.Join(dir, "history.db")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.LastIndex(b, []byte("cpu"))] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir)
	if _, err := os.Stat(l.Damaged()); err != nil || len(l.rows(0)) != 0 {
		t.Errorf("put aside to %q, %v", l.Damaged(), err)
	}
	settled := telemetry.Sample{Boot: 7, Stream: "cpu", Seq: 500, At: start, Gap: &telemetry.Gap{From: 1, Reason: history.Settled}}
	if a := l.append("pi-1", append([]telemetry.Sample{settled}, samples("cpu", 501, 510)...)); a.Acks[0].Streams["cpu"] != 510 {
		t.Errorf("%+v, want all acknowledged", a)
	}
}

func TestOldRowsGo(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	l.append("pi-1", samples("cpu", 1, 3599))
	l.stop()
	short := func(c *history.Config) { c.Raw = 2 * time.Hour }
	l = open(t, dir, short)
	l.append("pi-1", samples("cpu", 1, 1))
	l.stop() // it was tidied when it began, and is again
	l = open(t, dir, short)
	q := history.Query{Node: "pi-1", From: start, To: start.Add(time.Hour), Limit: 9999}
	l.append("pi-1", samples("cpu", 1, 1))
	if rows, _, err := l.Rows(t.Context(), q); err != nil || len(rows) != 0 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	if minutes, _, err := l.Minutes(t.Context(), q, time.Minute); err != nil || len(minutes) != 60 {
		t.Errorf("%d minutes, %v", len(minutes), err)
	}
	if got := l.rows(0); len(got) != 3599 {
		t.Errorf("%d rows in the log, want all: they came just now", len(got))
	}
}

func TestTheSizeIsBounded(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	for i := range uint64(40) {
		var all []telemetry.Sample
		for seq := i*1000 + 1; seq <= i*1000+1000; seq++ {
			all = append(all, telemetry.Sample{
				Boot: 7, Stream: "disk", Seq: seq, At: start.Add(time.Duration(seq) * 400 * time.Millisecond),
				Value: telemetry.Fields(map[string]float64{"free_bytes": float64(seq * 7919), "read_bytes_per_second": float64(seq * 104729)}),
			})
		}
		l.append("pi-1", all)
	}
	l.stop()
	l = open(t, dir, func(c *history.Config) { c.MaxSize = 1 << 20 })
	l.append("pi-1", samples("cpu", 1, 1))
	l.stop()
	if !strings.Contains(l.log.String(), "largest size") {
		t.Errorf("nobody was told: %s", &l.log)
	}
	l = open(t, dir)
	if first := l.First(); first < 100 {
		t.Errorf("the log still begins with %d", first)
	}
	if a := l.append("pi-1", samples("cpu", 2, 2)); a.Last != 40_002 {
		t.Errorf("last is %d, want 40,002", a.Last)
	}
}

func BenchmarkAppend(b *testing.B) {
	s, err := history.Open(history.Config{Dir: b.TempDir(), MaxSize: 1 << 30, Raw: 24 * time.Hour, Minutes: 24 * time.Hour, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	seq := uint64(1)
	b.ResetTimer()
	for range b.N {
		if _, err := s.Append(ctx, "pi-1", samples("cpu", seq, seq+199)); err != nil {
			b.Fatal(err)
		}
		seq += 200
	}
	b.ReportMetric(float64(200*b.N)/b.Elapsed().Seconds(), "rows/s")
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkMinutes asks for a month of a node, as its page does: 5 fields, one
// sample a minute.
func BenchmarkMinutes(b *testing.B) {
	const month = 30 * 24 * time.Hour
	s, err := history.Open(history.Config{Dir: b.TempDir(), MaxSize: 1 << 30, Raw: month, Minutes: 2 * month, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	from := time.Now().Add(-month).Truncate(time.Hour)
	var all []telemetry.Sample
	for seq := range uint64(month / time.Minute) {
		all = append(all, telemetry.Sample{Boot: 7, Stream: "memory", Seq: seq + 1, At: from.Add(time.Duration(seq) * time.Minute), Value: telemetry.Fields(map[string]float64{
			"used": float64(seq), "free": 1, "swap": 2, "cached": 3, "total": 4,
		})})
		if len(all) == 5000 {
			if _, err := s.Append(ctx, "pi-1", all); err != nil {
				b.Fatal(err)
			}
			all = nil
		}
	}
	for b.Loop() {
		got, _, err := s.Minutes(ctx, history.Query{Node: "pi-1", From: from, To: time.Now(), Limit: 1000_000}, 2*time.Hour)
		if err != nil || len(got) < 5*300 {
			b.Fatal(len(got), err)
		}
	}
	cancel()
	if err := errors.Join(<-done, s.Close()); err != nil {
		b.Fatal(err)
	}
}

func ExampleStore_After() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	s, err := history.Open(history.Config{Dir: dir, MaxSize: 1 << 30, Raw: time.Hour, Minutes: time.Hour, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	defer s.Close()
	rows, err := s.After(0, 100)
	fmt.Println(len(rows), err)
	// Output: 0 <nil>
}
