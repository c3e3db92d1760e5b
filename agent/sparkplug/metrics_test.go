package sparkplug

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"primespark/shared/telemetry"
)

// TestDeathsAreCounted: from 0 to 255 and again from 0, over the ends of processes.
func TestDeathsAreCounted(t *testing.T) {
	dir := t.TempDir()
	for want := range int64(3) {
		if got, err := nextDeath(dir); err != nil || got != want {
			t.Fatalf("bdSeq %d, %v; want %d", got, err, want)
		}
	}
	for text, want := range map[string]int64{"255\n": 0, "254\n": 255, "no number": 0, "-7": 0, "": 0} {
		if err := os.WriteFile(filepath.Join(dir, deathFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := nextDeath(dir); err != nil || got != want {
			t.Errorf("after %q bdSeq %d, %v; want %d", text, got, err, want)
		}
	}
	if _, err := nextDeath(filepath.Join(dir, "missing")); err == nil {
		t.Error("a directory that is not there keeps the count")
	}
}

func TestTable(t *testing.T) {
	at := time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC)
	cpu := func(used float64, at time.Time) telemetry.Newest {
		return telemetry.Newest{telemetry.CPU: {At: at, Value: telemetry.Fields(map[string]float64{"used": used})}}
	}
	table := newTable()
	if !table.take(cpu(0.5, at), []Fact{{"Node/mode", "normal"}}, at) {
		t.Error("the first row is not new")
	}
	if got := table.birth(7, at); len(got) != 4 || got[0].Value != int64(7) || got[0].Alias != nil || got[1].Alias != nil || *got[2].Alias != 1 {
		t.Errorf("birth %+v", got)
	}
	later := at.Add(time.Second)
	if table.take(cpu(0.5, later), []Fact{{"Node/mode", "normal"}}, later) || len(table.changes()) != 0 {
		t.Error("a sample with the same value is a change")
	}
	table.take(cpu(0.75, later), []Fact{{"Node/mode", "isolated"}}, later)
	got := table.changes()
	if len(got) != 2 || got[0].Name != "" || got[0].Timestamp != millis(later) || got[1].Value != "isolated" || got[1].Timestamp != millis(later) {
		t.Errorf("changes %+v", got)
	}
	if len(table.changes()) != 0 {
		t.Error("a change is told twice")
	}
	table.take(telemetry.Newest{}, []Fact{{"Node/mode", "isolated"}}, later)
	if got := table.changes(); len(got) != 1 || got[0].Value != nil || *got[0].Alias != 1 {
		t.Errorf("changes %+v, want that the field is gone", got)
	}
}
