package postgres_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"primespark/coordinator/history"
	"primespark/coordinator/sinks"
	"primespark/coordinator/sinks/postgres"
	"primespark/shared/logs"
	"primespark/shared/telemetry"
)

func config(s *server) postgres.Config {
	return postgres.Config{
		URL: s.url(), Password: func() (logs.Secret, error) { return "secret", nil }, Log: slog.New(slog.DiscardHandler),
	}
}

func open(t testing.TB, c postgres.Config) *postgres.Sink {
	t.Helper()
	sink, err := postgres.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sink.Close() })
	return sink
}

// rows are n samples of one stream, one a second from at on, whose sequence
// begins with first.
func rows(node string, at time.Time, first, n int) []history.Row {
	all := make([]history.Row, n)
	for i := range all {
		v := telemetry.Number(float64(i), "°C")
		if i%2 == 1 {
			v = telemetry.Fields(map[string]float64{"used": 0.5, "load_1m": float64(i)})
		}
		all[i] = history.Row{Node: node, Sample: telemetry.Sample{
			Boot: 1795392000000, Stream: "cpu", Seq: uint64(first + i), At: at.Add(time.Duration(i) * time.Second), Value: v,
		}}
	}
	return all
}

func write(t *testing.T, sink sinks.Sink, all []history.Row) {
	t.Helper()
	if err := sink.Write(t.Context(), all); err != nil {
		t.Fatal(err)
	}
}

func TestPostgres(t *testing.T) {
	s := start(t)
	now := time.Now().UTC().Truncate(time.Second)

	t.Run("three coordinators start at once", func(t *testing.T) {
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				sink, err := postgres.Open(t.Context(), config(s))
				if err != nil {
					t.Error(err)
					return
				}
				if err := sink.Write(t.Context(), rows("pi-0", now, 1, 10)); err != nil {
					t.Error(err)
				}
				if err := sink.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := query[int](s, `SELECT count(*) FROM primespark.samples WHERE node = 'pi-0'`); n != 10 {
			t.Errorf("%d rows, want the 10 once", n)
		}
		if n := query[int](s, `SELECT max(version) FROM primespark.schema_version`); n != 3 {
			t.Errorf("version %d", n)
		}
	})
	sink := open(t, config(s))
	t.Run("a clock that was not set is told of", func(t *testing.T) {
		all := rows("pi-9", now, 1, 2)
		all[1].Unsynced = 3
		write(t, sink, all)
		write(t, sink, all) // the longer way
		if got, want := query[string](s, `SELECT string_agg(coalesce(unsynced::text, 'set'), ' ' ORDER BY seq) FROM primespark.samples WHERE node = 'pi-9'`), "set 3"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
	t.Run("a time that was mended between two leaders", func(t *testing.T) {
		wrong := rows("pi-8", now.AddDate(0, 0, -10), 1, 3)
		for i := range wrong {
			wrong[i].Unsynced = 1
		}
		mended := rows("pi-8", now, 1, 5) // and what came after
		other := open(t, config(s))
		write(t, other, wrong)
		got := func() string {
			return query[string](s, `SELECT string_agg(concat_ws('|', seq, coalesce(unsynced::text, 'set'), at > now() - INTERVAL '1 day'), ' ' ORDER BY seq, at) FROM primespark.samples WHERE node = 'pi-8'`)
		}
		if want := "1|1|f 2|1|f 3|1|f"; got() != want {
			t.Errorf("got  %s\nwant %s", got(), want)
		}
		later := open(t, config(s))
		const want = "1|set|t 2|set|t 3|set|t 4|set|t 5|set|t"
		write(t, later, mended)
		if got() != want {
			t.Errorf("the next leader\ngot  %s\nwant %s", got(), want)
		}
		write(t, other, wrong) // the first one leads again
		write(t, open(t, config(s)), append(wrong, mended...))
		if got() != want {
			t.Errorf("once more\ngot  %s\nwant %s", got(), want)
		}
		first := rows("pi-10", now, 1, 3)
		write(t, later, first) // it came mended first, to a sink that knows of no other time
		for i := range wrong {
			wrong[i].Node = "pi-10"
		}
		write(t, other, wrong)
		if n := query[int](s, `SELECT count(*) FROM primespark.samples WHERE node = 'pi-10' AND unsynced IS NULL`); n != 3 {
			t.Errorf("%d rows of a clock that was set, want 3", n)
		}
		if n := query[int](s, `SELECT count(*) FROM primespark.samples WHERE node = 'pi-10'`); n != 3 {
			t.Errorf("%d rows, want 3", n)
		}
	})
	t.Run("what is written is what is read", func(t *testing.T) {
		write(t, sink, rows("pi-1", now, 1, 3))
		got := query[string](s, `SELECT string_agg(concat_ws('|', boot, stream, seq, value, unit, fields->>'load_1m'), ' ' ORDER BY seq) FROM primespark.samples WHERE node = 'pi-1'`)
		if want := "1795392000000|cpu|1|0|°C 1795392000000|cpu|2|1 1795392000000|cpu|3|2|°C"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if at := query[time.Time](s, `SELECT at FROM primespark.samples WHERE node = 'pi-1' AND seq = 2`); !at.Equal(now.Add(time.Second)) {
			t.Errorf("at %v, want %v", at, now.Add(time.Second))
		}
		if n := query[int](s, `SELECT count(*) FROM primespark.numbers WHERE node = 'pi-1'`); n != 4 {
			t.Errorf("the view has %d numbers, want 4", n)
		}
	})
	t.Run("twice is once, and the rest goes in", func(t *testing.T) {
		write(t, sink, rows("pi-2", now, 1, 100))
		write(t, sink, rows("pi-2", now, 1, 150))
		write(t, sink, rows("pi-2", now, 1, 150))
		if n := query[int](s, `SELECT count(*) FROM primespark.samples WHERE node = 'pi-2'`); n != 150 {
			t.Errorf("%d rows, want 150", n)
		}
	})
	t.Run("days are partitions, and a clock that is off does no harm", func(t *testing.T) {
		all := append(rows("pi-3", now.AddDate(0, 0, -1), 1, 1), rows("pi-3", time.Unix(0, 0), 2, 1)...)
		all = append(all, rows("pi-3", now.AddDate(5, 0, 0), 3, 1)...)
		write(t, sink, all)
		if n := query[int](s, `SELECT count(*) FROM primespark.samples_other`); n != 2 {
			t.Errorf("%d rows whose time is far off, want 2", n)
		}
		day := now.AddDate(0, 0, -1).Format("samples_20060102")
		if n := query[int](s, `SELECT count(*) FROM primespark.`+day); n != 1 {
			t.Errorf("%d rows yesterday, want 1", n)
		}
	})
	t.Run("hostile text", func(t *testing.T) {
		all := rows("pi-4", now, 1, 1)
		all[0].Value = telemetry.Number(1, "a\x00\xff'")
		write(t, sink, all)
		if unit := query[string](s, `SELECT unit FROM primespark.samples WHERE node = 'pi-4'`); unit != "a'" {
			t.Errorf("unit %q", unit)
		}
	})
	t.Run("a row that cannot be is rejected, alone", func(t *testing.T) {
		all := rows("pi-5", now, 1, 2)
		all[1].Seq = 1 << 63
		if err := sink.Write(t.Context(), all); !errors.Is(err, sinks.ErrRejected) {
			t.Errorf("%v, want %v", err, sinks.ErrRejected)
		}
		write(t, sink, all[:1]) // the connection is as good as before
	})
	t.Run("old days are dropped", func(t *testing.T) {
		c := config(s)
		c.Keep = 48 * time.Hour
		write(t, sink, rows("pi-6", now.AddDate(0, 0, -5), 1, 1))
		write(t, open(t, c), rows("pi-6", now, 2, 1))
		if n := query[int](s, `SELECT count(*) FROM primespark.samples WHERE node IN ('pi-6', 'pi-3')`); n != 4 {
			t.Errorf("%d rows, want 4: only the one of five days ago goes", n)
		}
	})
	t.Run("a newer schema is left alone", func(t *testing.T) {
		query[int](s, `INSERT INTO primespark.schema_version (version, timescale) VALUES (99, false) RETURNING 1`)
		if _, err := postgres.Open(t.Context(), config(s)); err == nil || !strings.Contains(err.Error(), "update the coordinator") {
			t.Errorf("opened a schema of version 99: %v", err)
		}
		query[int](s, `DELETE FROM primespark.schema_version WHERE version = 99 RETURNING 1`)
	})
	t.Run("a wrong password is named, and does not show", func(t *testing.T) {
		c := config(s)
		c.Password = func() (logs.Secret, error) { return "guess-7", nil }
		_, err := postgres.Open(t.Context(), c)
		if err == nil || !strings.Contains(err.Error(), "password") || strings.Contains(err.Error(), "guess-7") {
			t.Errorf("%v", err)
		}
	})
	t.Run("the server is killed and comes back", func(t *testing.T) {
		s.down("immediate") // as SIGQUIT: it does not finish anything
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := sink.Write(ctx, rows("pi-7", now, 1, 10)); err == nil || errors.Is(err, sinks.ErrRejected) {
			t.Fatalf("%v, want a failure that is not of the rows", err)
		}
		s.up()
		write(t, open(t, config(s)), rows("pi-7", now, 1, 10))
		if n := query[int](s, `SELECT count(*) FROM primespark.samples WHERE node = 'pi-7'`); n != 10 {
			t.Errorf("%d rows, want 10", n)
		}
	})
}
