package history_test

import (
	"testing"
	"time"

	"primespark/coordinator/history"
)

// A row keeps that its node's clock was not set, in the log, for other coordinators and
// once it was put in order.
func TestRowsKeepThatTheClockWasNotSet(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	all := samples("cpu", 1, 3)
	all[1].Unsynced = 7
	l.append("pi-1", all)
	check := func(what string, rows []history.Row, err error) {
		t.Helper()
		if err != nil || len(rows) != 3 || rows[0].Unsynced != 0 || rows[1].Unsynced != 7 || rows[2].Unsynced != 0 {
			t.Errorf("%s: %+v, %v", what, rows, err)
		}
	}
	rows, err := l.After(0, 10)
	check("in the log", rows, err)
	rows, err = history.DecodeRows(history.EncodeRows(rows), 1)
	check("for others", rows, err)
	summed := func(what string) {
		t.Helper()
		minutes, _, err := l.Minutes(t.Context(), history.Query{Node: "pi-1", From: start, To: time.Now(), Limit: 100}, time.Hour)
		var count, unsynced uint64
		for _, m := range minutes {
			count, unsynced = count+m.Count, unsynced+m.Unsynced
		}
		if err != nil || count == 0 || unsynced*3 != count {
			t.Errorf("%s: %d of %d by a clock that was not set, want a third: %v", what, unsynced, count, err)
		}
	}
	summed("minutes of what was just stored")
	l.Order()
	rows, _, err = l.Rows(t.Context(), history.Query{Node: "pi-1", From: start, To: time.Now(), Limit: 10})
	check("in order", rows, err)
	summed("minutes")
}
