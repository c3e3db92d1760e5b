package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"primespark/coordinator/history"
)

// Who changes the schema holds this lock: three coordinators start at once.
const lockSchema = `SELECT pg_advisory_xact_lock(7480748174827490)`

// steps bring the schema from one version to the next. They are run once and in
// order; one that was released is never changed.
var steps = []func(ctx context.Context, tx pgx.Tx, timescale bool) error{first, second, third}

// migrate makes the schema, or brings it up to date.
func (s *Sink) migrate(ctx context.Context) error {
	return pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		if err := execute(ctx, tx, lockSchema, `CREATE SCHEMA IF NOT EXISTS primespark`,
			`CREATE TABLE IF NOT EXISTS primespark.schema_version (
				version int PRIMARY KEY, timescale boolean NOT NULL, at timestamptz NOT NULL DEFAULT now())`); err != nil {
			return err
		}
		var version int
		err := tx.QueryRow(ctx, `SELECT coalesce(max(version), 0), coalesce(bool_or(timescale), false) FROM primespark.schema_version`).Scan(&version, &s.timescale)
		if err != nil {
			return err
		}
		if version > len(steps) {
			return fmt.Errorf("the database has version %d of it, and this coordinator knows %d: update the coordinator", version, len(steps))
		}
		if version == 0 { // later it stays what it was made as
			if s.timescale, err = hasTimescale(ctx, tx); err != nil {
				return err
			}
		}
		for ; version < len(steps); version++ {
			if err := steps[version](ctx, tx, s.timescale); err != nil {
				return fmt.Errorf("step %d: %w", version+1, err)
			}
			if _, err := tx.Exec(ctx, `INSERT INTO primespark.schema_version (version, timescale) VALUES ($1, $2)`, version+1, s.timescale); err != nil {
				return err
			}
		}
		if s.timescale {
			return execute(ctx, tx, retention(s.cfg.Keep)...)
		}
		return nil
	})
}

func hasTimescale(ctx context.Context, tx pgx.Tx) (there bool, err error) {
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')`).Scan(&there)
	return there, err
}

// first is version 1: the table, and a view that has a row for each number.
func first(ctx context.Context, tx pgx.Tx, timescale bool) error {
	kind := " PARTITION BY RANGE (at)"
	if timescale {
		kind = ""
	}
	all := []string{
		// A row is known by the first four; what a table is divided by has to be part of its key.
		`CREATE TABLE primespark.samples (
			node text NOT NULL, boot bigint NOT NULL, stream text NOT NULL, seq bigint NOT NULL, at timestamptz NOT NULL,
			value double precision, unit text, fields jsonb, -- one number and its unit, or several by name
			gap_from bigint, gap_reason text,                -- or neither: the samples from here to seq are gone
			PRIMARY KEY (node, stream, boot, seq, at))` + kind,
		`CREATE VIEW primespark.numbers AS
			SELECT node, stream, at, 'value' AS field, value, unit FROM primespark.samples WHERE value IS NOT NULL
			UNION ALL
			SELECT node, stream, at, f.key, f.value::double precision, NULL FROM primespark.samples, jsonb_each_text(fields) AS f`,
	}
	if timescale {
		all = append(all, hypertable...)
	} else {
		// For the rows whose time is far off, as of a node without a clock.
		all = append(all, `CREATE TABLE primespark.samples_other PARTITION OF primespark.samples DEFAULT`,
			`CREATE INDEX samples_at ON primespark.samples USING brin (at)`)
	}
	return execute(ctx, tx, all...)
}

// second is version 2: whether the clock was set that a row's time is by.
func second(ctx context.Context, tx pgx.Tx, _ bool) error {
	return execute(ctx, tx, `ALTER TABLE primespark.samples ADD COLUMN unsynced bigint -- null if it was`)
}

// third is version 3: up to which sequence the clock of a stream was not set.
func third(ctx context.Context, tx pgx.Tx, _ bool) error {
	return execute(ctx, tx, `CREATE TABLE primespark.unset_clocks (
			node text NOT NULL, boot bigint NOT NULL, stream text NOT NULL, last bigint NOT NULL, told timestamptz NOT NULL DEFAULT now(),
			PRIMARY KEY (node, boot, stream))`,
		`INSERT INTO primespark.unset_clocks (node, boot, stream, last)
			SELECT node, boot, stream, max(seq) FROM primespark.samples WHERE unsynced IS NOT NULL GROUP BY node, boot, stream`)
}

// hypertable makes one of the table (docs.timescale.com: create_hypertable,
// ALTER TABLE (compression), add_compression_policy).
var hypertable = []string{
	`SELECT create_hypertable('primespark.samples', 'at', chunk_time_interval => INTERVAL '1 day')`,
	`ALTER TABLE primespark.samples SET (timescaledb.compress, timescaledb.compress_segmentby = 'node, stream', timescaledb.compress_orderby = 'boot, seq, at')`,
	`SELECT add_compression_policy('primespark.samples', INTERVAL '7 days')`,
}

// retention makes TimescaleDB itself drop what is too old.
func retention(keep time.Duration) []string {
	all := []string{`SELECT remove_retention_policy('primespark.samples', if_exists => true)`}
	if keep > 0 {
		all = append(all, fmt.Sprintf(`SELECT add_retention_policy('primespark.samples', INTERVAL '%d seconds')`, int64(keep.Seconds())))
	}
	return all
}

// Rows of days between these bounds from now get partitions of their own.
const (
	pastMost   = 400
	futureMost = 2
)

func dayOf(at time.Time) int64 { return floorDiv(at.Unix(), 86400) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func partition(day int64) string { return start(day).Format("samples_20060102") }

func start(day int64) time.Time { return time.Unix(day*86400, 0).UTC() }

// partitions makes those that the rows need.
func (s *Sink) partitions(ctx context.Context, rows []history.Row) error {
	if s.timescale {
		return nil
	}
	today := dayOf(time.Now())
	for i := range rows {
		day := dayOf(rows[i].At)
		if s.days[day] || day < today-pastMost || day > today+futureMost {
			continue
		}
		const layout = "2006-01-02 15:04:05+00"
		err := pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
			return execute(ctx, tx, lockSchema, fmt.Sprintf(`CREATE TABLE IF NOT EXISTS primespark.%s PARTITION OF primespark.samples FOR VALUES FROM ('%s') TO ('%s')`,
				partition(day), start(day).Format(layout), start(day+1).Format(layout)))
		})
		// Rows of that day came when it was far off, and lie with the others: so will these.
		if err != nil && code(err) != checkViolation {
			return fmt.Errorf("make the partition of a day: %w", err)
		}
		s.days[day] = true
	}
	return nil
}

// retire drops the days that are too old, once an hour.
func (s *Sink) retire(ctx context.Context) error {
	if s.timescale || s.cfg.Keep <= 0 || time.Since(s.dropped) < time.Hour {
		return nil
	}
	s.dropped = time.Now()
	last := partition(dayOf(time.Now().Add(-s.cfg.Keep))) // the first that stays
	rows, err := s.conn.Query(ctx, `SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = 'primespark.samples'::regclass AND c.relname ~ '^samples_[0-9]{8}$' AND c.relname < $1 ORDER BY 1`, last)
	if err != nil {
		return fmt.Errorf("list the partitions: %w", err)
	}
	old, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list the partitions: %w", err)
	}
	for _, name := range old {
		if _, err := s.conn.Exec(ctx, `DROP TABLE IF EXISTS primespark.`+name); err != nil {
			return fmt.Errorf("drop the partition %s: %w", name, err)
		}
		s.cfg.Log.Info("rows of a day dropped", "partition", name, "keep", s.cfg.Keep.String())
	}
	clear(s.days)
	return nil
}

func execute(ctx context.Context, tx pgx.Tx, statements ...string) error {
	for _, sql := range statements {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%.60s...: %w", sql, err)
		}
	}
	return nil
}
