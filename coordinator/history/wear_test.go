package history_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/coordinator/history"
	"primespark/shared/telemetry"
)

// commits is how many transactions a registry counts.
func commits(t *testing.T, reg *prometheus.Registry) int {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == "primespark_history_commits_total" {
			return int(f.GetMetric()[0].GetCounter().GetValue())
		}
	}
	t.Fatal("transactions are not counted")
	return 0
}

// Fifty nodes that each send a sample a second, at times of their own, share a
// transaction a second; and a node that catches up does not wait for one.
func TestNodesShareATransaction(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		l := open(t, dir, func(c *history.Config) { c.Every, c.Metrics = time.Second, reg })
		defer l.stop()
		for node := range 50 {
			go func() { // ends with the ten samples
				time.Sleep(time.Duration(node) * 20 * time.Millisecond)
				for seq := range uint64(10) {
					l.append(fmt.Sprintf("pi-%d", node), samples("cpu", seq+1, seq+1))
					time.Sleep(time.Second - time.Duration(time.Now().Nanosecond())%time.Second)
				}
			}()
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if n, _ := l.Last(); n != 500 {
			t.Fatalf("%d rows, want 500", n)
		}
		if n := commits(t, reg); n > 25 {
			t.Errorf("%d transactions in some 20 s, want one a second", n)
		}
		begin := time.Now()
		for i := range uint64(10) {
			l.append("pi-Z", samples("cpu", i*600+1, i*600+600))
		}
		if took := time.Since(begin); took > 0 {
			t.Errorf("6,000 rows waited %v for others", took)
		}
	})
}

// What one has stored comes back to him in the logs of all who follow him. That
// must not be written again and again.
func TestRowsThatComeBackCostNothing(t *testing.T) {
	dir := t.TempDir()
	one, two := open(t, dir), open(t, t.TempDir())
	one.append("pi-1", samples("cpu", 1, 50))
	two.append("pi-1", samples("cpu", 1, 50))
	rows, err := two.After(0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "history.db")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Follow(t.Context(), two.ID(), rows, 50); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("the file was written to")
	}
	if n := one.Followed(two.ID()); n != 50 {
		t.Errorf("followed to %d, want 50", n)
	}
	one.append("pi-1", samples("cpu", 51, 51))
	one.stop()
	if one = open(t, dir); one.Logs()[two.ID()] != 50 {
		t.Errorf("followed to %v when opened again, want 50", one.Logs())
	}
}

// Old rows of each stream go, and of none any that are young.
func TestOldRowsOfEachStreamGo(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	nodes, streams := []string{"pi", "pi-1", "pi-10", "pi-2"}, []telemetry.Stream{"cpu", "cpu-2", "disk"}
	for _, node := range nodes {
		for _, stream := range streams {
			l.append(node, samples(stream, 1, 10))
			young := samples(stream, 11, 15)
			for i := range young {
				young[i].At = young[i].At.Add(4 * time.Hour)
			}
			l.append(node, young)
		}
	}
	l.stop()
	short := func(c *history.Config) { c.Raw = 2 * time.Hour }
	open(t, dir, short).stop() // puts them in order
	l = open(t, dir, short)
	l.append("pi-3", samples("cpu", 1, 1)) // it has tidied up before
	for _, node := range nodes {
		rows, _, err := l.Rows(t.Context(), history.Query{Node: node, From: start, To: time.Now(), Limit: 999})
		if err != nil || len(rows) != 15 {
			t.Errorf("%s has %d rows, want 5 of each stream; %v", node, len(rows), err)
		}
	}
}
