package sparkplug

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"primespark/shared/telemetry"
)

// The names that the specification gives (chapter 6).
const (
	bdSeq   = "bdSeq"
	rebirth = "Node Control/Rebirth"
)

// A Fact is something that a node tells of itself besides its samples.
type Fact struct {
	Name  string // as in Node/ready
	Value any    // bool or string
}

// A table is what a host has been told of, and under which alias. An alias is the
// same for as long as the process lives.
type table struct {
	rows map[string]Metric
	sent map[string]any // the value that was told last
}

func newTable() *table { return &table{rows: map[string]Metric{}, sent: map[string]any{}} }

// take brings the table up to date, and reports whether it has got a new row, of
// which only a birth can tell. What was there and is not any more becomes null.
func (t *table) take(newest telemetry.Newest, facts []Fact, now time.Time) (fresh bool) {
	gone := maps.Clone(t.rows)
	put := func(m Metric) {
		delete(gone, m.Name)
		old, known := t.rows[m.Name]
		if m.Alias = old.Alias; !known {
			m.Alias = new(uint64(len(t.rows) + 1))
			fresh = true
		}
		if known && old.Value == m.Value && m.Timestamp == 0 {
			m.Timestamp = old.Timestamp // a fact holds since it changed
		} else if m.Timestamp == 0 {
			m.Timestamp = millis(now)
		}
		t.rows[m.Name] = m
	}
	for _, m := range metrics(newest, facts) {
		put(m)
	}
	for _, m := range gone {
		if m.Value != nil {
			m.Value, m.Timestamp = nil, millis(now)
		}
		t.rows[m.Name] = m
	}
	return fresh
}

// metrics are those of samples and facts, by name: a stream and its field are the
// levels of a metric's name.
func metrics(newest telemetry.Newest, facts []Fact) (all []Metric) {
	for _, stream := range slices.Sorted(maps.Keys(newest)) {
		s := newest[stream]
		at := millis(s.At)
		if s.Value.All() == nil {
			all = append(all, Metric{Name: string(stream), Timestamp: at, Type: Double, Unit: s.Value.Unit(), Value: s.Value.Number()})
		}
		for _, field := range slices.Sorted(maps.Keys(s.Value.All())) {
			x, _ := s.Value.Field(field)
			all = append(all, Metric{Name: string(stream) + "/" + field, Timestamp: at, Type: Double, Value: x})
		}
	}
	for _, f := range facts {
		m := Metric{Name: f.Name, Type: String, Value: f.Value}
		if _, yes := f.Value.(bool); yes {
			m.Type = Boolean
		}
		all = append(all, m)
	}
	return all
}

// birth are all metrics, with names; and it takes them for told.
func (t *table) birth(death int64, now time.Time) []Metric {
	all := []Metric{
		{Name: bdSeq, Timestamp: millis(now), Type: Int64, Value: death},
		{Name: rebirth, Timestamp: millis(now), Type: Boolean, Value: false}, // without an alias: hosts name it
	}
	for _, m := range t.ordered() {
		t.sent[m.Name] = m.Value
		all = append(all, m)
	}
	return all
}

// changes are the metrics whose value is another one than was told last, by alias;
// and it takes them for told.
func (t *table) changes() (all []Metric) {
	for _, m := range t.ordered() {
		if m.Value == t.sent[m.Name] {
			continue
		}
		t.sent[m.Name] = m.Value
		m.Name, m.Unit = "", ""
		all = append(all, m)
	}
	return all
}

func (t *table) ordered() []Metric {
	return slices.SortedFunc(maps.Values(t.rows), func(a, b Metric) int { return cmp.Compare(*a.Alias, *b.Alias) })
}

func millis(t time.Time) uint64 { return uint64(max(0, t.UnixMilli())) }
