package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"primespark/coordinator/history"
)

// A sample by a clock that was not set may come twice with two times: a node sends it anew
// once its clock is set, and with the time that it was then, to a coordinator that does not
// know of the first. The table's key cannot tell that, since its time is part of it. So
// primespark.unset_clocks has up to which sequence the clock of a stream was not set, and
// rows up to there go by their node, boot, stream and sequence alone. That of a clock that
// was set stays, in whatever order they come.

// A strand is what the samples of one stream of one boot are numbered in.
type strand struct {
	node   string
	boot   int64
	stream string
}

func strandOf(r *history.Row) strand { return strand{r.Node, r.Boot, string(r.Stream)} }

// loadUnset reads up to where clocks were not set, and forgets what no node sends any more.
func (s *Sink) loadUnset(ctx context.Context) error {
	if _, err := s.conn.Exec(ctx, `DELETE FROM primespark.unset_clocks WHERE told < now() - INTERVAL '90 days'`); err != nil {
		return fmt.Errorf("forget clocks that were not set: %w", err)
	}
	rows, err := s.conn.Query(ctx, `SELECT node, boot, stream, last FROM primespark.unset_clocks`)
	if err != nil {
		return fmt.Errorf("read which clocks were not set: %w", err)
	}
	var k strand
	var last int64
	_, err = pgx.ForEachRow(rows, []any{&k.node, &k.boot, &k.stream, &last}, func() error {
		s.unset[k] = last
		return nil
	})
	if err != nil {
		return fmt.Errorf("read which clocks were not set: %w", err)
	}
	return nil
}

// divide tells rows whose time is for good from those that may be there with another one.
func (s *Sink) divide(rows []history.Row) (plain, doubtful []history.Row) {
	unsure := func(r *history.Row) bool { return r.Unsynced != 0 || int64(r.Seq) <= s.unset[strandOf(r)] }
	for i := range rows {
		if !unsure(&rows[i]) {
			continue
		}
		plain = make([]history.Row, 0, len(rows))
		for j := range rows {
			if unsure(&rows[j]) {
				doubtful = append(doubtful, rows[j])
			} else {
				plain = append(plain, rows[j])
			}
		}
		return plain, doubtful
	}
	return rows, nil // nearly always
}

// settle writes rows that may be there with another time.
func (s *Sink) settle(ctx context.Context, rows []history.Row) error {
	last := map[strand]int64{}
	for i := range rows {
		if r := &rows[i]; r.Unsynced != 0 {
			last[strandOf(r)] = max(last[strandOf(r)], int64(r.Seq))
		}
	}
	err := s.arrive(ctx, rows, func(tx pgx.Tx) error {
		// A leader that was just deposed may be at it, too.
		if _, err := tx.Exec(ctx, `LOCK TABLE primespark.unset_clocks IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return err
		}
		for k, seq := range last {
			if _, err := tx.Exec(ctx, `INSERT INTO primespark.unset_clocks AS u (node, boot, stream, last) VALUES ($1, $2, $3, $4)
				ON CONFLICT (node, boot, stream) DO UPDATE SET last = greatest(u.last, excluded.last), told = now()`, k.node, k.boot, k.stream, seq); err != nil {
				return err
			}
		}
		// Each row is looked up by the table's key: the planner, which knows nothing of the
		// arrivals, might read the whole history instead.
		return execute(ctx, tx, `SET LOCAL enable_hashjoin = off`, `SET LOCAL enable_mergejoin = off`, `SET LOCAL enable_seqscan = off`,
			`DELETE FROM primespark.samples s USING arrivals a WHERE s.node = a.node AND s.stream = a.stream AND s.boot = a.boot AND s.seq = a.seq
				AND s.unsynced IS NOT NULL AND a.unsynced IS NULL`,
			`INSERT INTO primespark.samples SELECT DISTINCT ON (node, stream, boot, seq) * FROM arrivals a
				WHERE NOT EXISTS (SELECT FROM primespark.samples s WHERE s.node = a.node AND s.stream = a.stream AND s.boot = a.boot AND s.seq = a.seq)
				ORDER BY node, stream, boot, seq, unsynced NULLS FIRST, at
				ON CONFLICT DO NOTHING`)
	})
	if err != nil {
		return err
	}
	for k, seq := range last {
		s.unset[k] = max(s.unset[k], seq)
	}
	return nil
}
