package history

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"primespark/shared/telemetry"
)

// A curveKey names one field of a stream.
type curveKey struct {
	stream      telemetry.Stream
	field, unit string
}

func (k curveKey) compare(other curveKey) int {
	return cmp.Or(cmp.Compare(k.stream, other.stream), cmp.Compare(k.field, other.field), cmp.Compare(k.unit, other.unit))
}

// A curve is the figures of one field, by time, oldest first.
type curve struct {
	at      []int64 // Unix s
	figures []figure
}

// add adds a figure at a time, which is seldom before the last one.
func (c *curve) add(at int64, f figure) {
	i := len(c.at)
	switch {
	case i == 0 || c.at[i-1] < at:
	case c.at[i-1] == at:
		c.figures[i-1] = c.figures[i-1].join(f)
		return
	default:
		var there bool
		if i, there = slices.BinarySearch(c.at, at); there {
			c.figures[i] = c.figures[i].join(f)
			return
		}
	}
	c.at, c.figures = slices.Insert(c.at, i, at), slices.Insert(c.figures, i, f)
}

func (f figure) join(g figure) figure {
	if f.count == 0 {
		return g
	}
	return figure{min(f.min, g.min), max(f.max, g.max), f.sum + g.sum, f.count + g.count, f.unsynced + g.unsynced}
}

// Sums are what samples come to.
type sums map[curveKey]*curve

func (s sums) add(k curveKey, at int64, f figure) {
	c := s[k]
	if c == nil {
		c = &curve{}
		s[k] = c
	}
	c.add(at, f)
}

// minutes lists them by stream, field and time, at most so many; more tells that
// there are others.
func (s sums) minutes(most int) (all []Minute, more bool) {
	for _, k := range slices.SortedFunc(maps.Keys(s), curveKey.compare) {
		c := s[k]
		for i, f := range c.figures {
			if len(all) == most {
				return all, true
			}
			all = append(all, Minute{k.stream, time.Unix(c.at[i], 0).UTC(), k.field, k.unit, f.min, f.sum / float64(f.count), f.max, f.count, f.unsynced})
		}
	}
	return all, false
}
