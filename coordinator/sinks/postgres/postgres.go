// Package postgres is the sink that writes the history to PostgreSQL, or to
// TimescaleDB, for those who ask it in SQL.
//
// Rows go by COPY into the table primespark.samples, which the sink makes and
// keeps up to date. With the extension timescaledb it is a hypertable with
// compression; without, it is partitioned by day. A row is known by its node, boot,
// stream and sequence, so one that comes twice is there once, though its time be another.
package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"primespark/coordinator/history"
	"primespark/coordinator/sinks"
	"primespark/shared/logs"
)

// Config says which database.
type Config struct {
	URL      string                      // postgres://user@host:5432/database
	Password func() (logs.Secret, error) // asked for each connection; nil for none
	TLS      *tls.Config                 // replaces what the URL's sslmode makes; nil for that
	Keep     time.Duration               // rows older than that are dropped; 0 for never
	Log      *slog.Logger
}

// A Sink is one connection. It belongs to one goroutine.
type Sink struct {
	cfg       Config
	conn      *pgx.Conn
	timescale bool
	days      map[int64]bool   // whose partition is there, as days since 1970
	dropped   time.Time        // when old rows were last dropped
	unset     map[strand]int64 // up to which sequence a clock was not set
}

var _ sinks.Sink = (*Sink)(nil)

// Open connects and brings the schema up to date.
func Open(ctx context.Context, cfg Config) (*Sink, error) {
	c, err := pgx.ParseConfig(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("sinks.postgres.url: %w", err)
	}
	if cfg.Password != nil {
		secret, err := cfg.Password()
		if err != nil {
			return nil, err
		}
		c.Password = secret.Reveal()
	}
	if cfg.TLS != nil {
		c.TLSConfig, c.Fallbacks = cfg.TLS, nil
	}
	c.RuntimeParams["application_name"] = "prime-spark"
	c.RuntimeParams["timezone"] = "UTC"
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err) // pgx leaves the password out
	}
	s := &Sink{cfg: cfg, conn: conn, days: map[int64]bool{}, unset: map[strand]int64{}}
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("make the schema primespark: %w", err), s.Close())
	}
	if err := s.loadUnset(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close ends the connection.
func (s *Sink) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.conn.Close(ctx); err != nil {
		return fmt.Errorf("close the connection to PostgreSQL: %w", err)
	}
	return nil
}

// columns in the order of source.Values.
var columns = []string{"node", "boot", "stream", "seq", "at", "value", "unit", "fields", "gap_from", "gap_reason", "unsynced"}

var table = pgx.Identifier{"primespark", "samples"}

// Write copies the rows. Only if some of them are there already, or may be there with
// another time, these take the longer way, by a table in between.
func (s *Sink) Write(ctx context.Context, rows []history.Row) error {
	if err := check(rows); err != nil {
		return err
	}
	if err := s.partitions(ctx, rows); err != nil {
		return err
	}
	plain, doubtful := s.divide(rows)
	_, err := s.conn.CopyFrom(ctx, table, columns, &source{rows: plain})
	if code(err) == uniqueViolation {
		err = s.merge(ctx, plain)
	}
	if err == nil && len(doubtful) > 0 {
		err = s.settle(ctx, doubtful)
	}
	if err != nil {
		return words(err)
	}
	return s.retire(ctx)
}

// merge adds those of the rows that are not there yet.
func (s *Sink) merge(ctx context.Context, rows []history.Row) error {
	return s.arrive(ctx, rows, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO primespark.samples SELECT * FROM arrivals ON CONFLICT DO NOTHING`)
		return err
	})
}

// arrive calls take in a transaction in which the rows are the table arrivals.
func (s *Sink) arrive(ctx context.Context, rows []history.Row, take func(tx pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `CREATE TEMPORARY TABLE arrivals (LIKE primespark.samples) ON COMMIT DROP`); err != nil {
			return err
		}
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"arrivals"}, columns, &source{rows: rows}); err != nil {
			return err
		}
		return take(tx)
	})
}

// Codes of PostgreSQL (its documentation, appendix A).
const (
	uniqueViolation = "23505"
	checkViolation  = "23514"
)

func code(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// words tells whether the rows are at fault: classes 22, data exception, and 23,
// integrity constraint violation.
func words(err error) error {
	if c := code(err); strings.HasPrefix(c, "22") || strings.HasPrefix(c, "23") {
		return fmt.Errorf("%w: %w", sinks.ErrRejected, err)
	}
	return fmt.Errorf("write to PostgreSQL: %w", err)
}
