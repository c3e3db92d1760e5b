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
	l.Order()
	rows, _, err = l.Rows(t.Context(), history.Query{Node: "pi-1", From: start, To: time.Now(), Limit: 10})
	check("in order", rows, err)
}
