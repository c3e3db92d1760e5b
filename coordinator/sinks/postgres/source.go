package postgres

import (
	"fmt"
	"math"
	"strings"

	"primespark/coordinator/history"
	"primespark/coordinator/sinks"
)

// A source hands rows to COPY. It is a pgx.CopyFromSource.
type source struct {
	rows   []history.Row
	next   int
	values [11]any
}

func (s *source) Next() bool { s.next++; return s.next <= len(s.rows) }
func (s *source) Err() error { return nil }

// Values returns one row as its columns.
func (s *source) Values() ([]any, error) {
	r := &s.rows[s.next-1]
	s.values = [11]any{r.Node, r.Boot, string(r.Stream), int64(r.Seq), r.At}
	if r.Unsynced != 0 {
		s.values[10] = int64(r.Unsynced)
	}
	switch {
	case r.Gap != nil:
		s.values[8], s.values[9] = int64(r.Gap.From), text(r.Gap.Reason)
	case r.Value.All() != nil:
		b, err := r.Value.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("encode the fields: %w", err)
		}
		s.values[7] = b
	default:
		s.values[5] = r.Value.Number()
		if u := text(r.Value.Unit()); u != "" {
			s.values[6] = u
		}
	}
	return s.values[:], nil
}

// check refuses rows that no column can hold.
func check(rows []history.Row) error {
	for i := range rows {
		if r := &rows[i]; r.Seq > math.MaxInt64 || r.Value.Check() != nil {
			return fmt.Errorf("%w: %s %s seq %d", sinks.ErrRejected, r.Node, r.Stream, r.Seq)
		}
	}
	return nil
}

// text is s as PostgreSQL can keep it: valid UTF-8 without a zero byte.
func text(s string) string { return strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\x00", "") }
