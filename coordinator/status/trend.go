package status

import (
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/telemetry"
	"primespark/shared/wire"
)

// The curve of a battery's charge beside an agent: so many points, each of so long.
const (
	trendKept = 24
	trendEach = 30 * time.Minute
	trendHigh = 14 // from empty to full, in units of the drawing; a point is one wide

	// TrendSpan is how far back the curve goes.
	TrendSpan = trendKept * trendEach
)

// A Trend is how full a battery was, a byte for each half hour, the newest last:
// 1 is empty and 101 full; 0 is not known.
type Trend string

// extent is from where to where it went, in per cent, and of how many points that is.
func (t Trend) extent() (least, most, known int) {
	least = 100
	for _, b := range []byte(t) {
		if b > 0 {
			least, most, known = min(least, int(b)-1), max(most, int(b)-1), known+1
		}
	}
	return least, most, known
}

// draw makes the curve; of less than two points there is none.
func (t Trend) draw(m *markup) {
	least, most, known := t.extent()
	if known < 2 {
		return
	}
	words := fmt.Sprintf("charge in the last %.0f h: %d to %d %%", TrendSpan.Hours(), least, most)
	m.raw(`<svg class="trend" viewBox="0 0 24 16" preserveAspectRatio="none" role="img" aria-label="`).text(words).raw(`"><path d="`).text(t.path()).raw(`"/></svg>`)
}

// path is the curve as SVG has it. Points that are not known break it, and what stays
// the same takes no room.
func (t Trend) path() string {
	var d []byte
	level := func(i int) int { return trendHigh + 1 - int(math.Round(trendHigh*float64(t[i]-1)/100)) }
	for i := 0; i < len(t); {
		if t[i] == 0 {
			i++
			continue
		}
		d = strconv.AppendInt(append(d, 'M'), int64(i), 10)
		d = strconv.AppendInt(append(d, ' '), int64(level(i)), 10)
		flat := 0
		for i++; i < len(t) && t[i] > 0; i++ {
			if step := level(i) - level(i-1); step != 0 {
				d = strconv.AppendInt(append(appendFlat(d, flat), "l1 "...), int64(step), 10)
				flat = 0
				continue
			}
			flat++
		}
		d = appendFlat(d, flat)
	}
	return string(d)
}

func appendFlat(d []byte, n int) []byte {
	if n == 0 {
		return d
	}
	return strconv.AppendInt(append(d, 'h'), int64(n), 10)
}

// Trends remembers how full batteries were. It is kept in memory only, by each
// coordinator for itself; what was before its start comes from the history. The zero
// value is ready; it is safe to share.
type Trends struct {
	mu   sync.Mutex
	tape tape
	read map[string]time.Time // when the history of an agent was read
}

// again is after how long gaps are looked for in the history once more: what a node
// measured while it was cut off comes later.
const again = time.Hour

// Note takes the charge of the agents of a view at its time, and fills in its Trends.
func (t *Trends) Note(v *View) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tape.length, t.tape.each = trendKept, trendEach
	t.tape.turn(v.At)
	here, read := map[string][]byte{}, map[string]time.Time{}
	v.Trends = map[string]Trend{}
	for i := range v.Nodes {
		row := Row{NodeBody: v.Nodes[i]}
		if charge := row.Power.Charge; !row.shown() || charge == nil || !finite(*charge) {
			continue
		}
		letters := t.tape.of(row.Name)
		if row.Liveness == fleet.Alive {
			letters[trendKept-1] = mark(*row.Power.Charge)
		}
		here[row.Name] = letters
		if at, ok := t.read[row.Name]; ok {
			read[row.Name] = at
		}
		v.Trends[row.Name] = Trend(letters)
	}
	t.tape.nodes, t.read = here, read // those that were removed are forgotten
}

// mark is a charge as a Trend has it.
func mark(charge float64) byte { return byte(1 + math.Round(100*min(max(charge, 0), 1))) }

// Wanted is an agent of whose curve something misses that the history may know; empty
// if there is none. It will be given, or not, to Fill.
func (t *Trends) Wanted(now time.Time) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, letters := range t.tape.nodes {
		if at, ok := t.read[name]; ok && now.Sub(at) < again {
			continue
		}
		if _, _, known := Trend(letters).extent(); known < trendKept {
			return name
		}
	}
	return ""
}

// Fill takes what the history knows of an agent's charge, in steps of TrendStep, and
// puts it where nothing was known.
func (t *Trends) Fill(name string, now time.Time, known []wire.TelemetryMinute) {
	t.mu.Lock()
	defer t.mu.Unlock()
	letters := t.tape.nodes[name]
	if letters == nil {
		return // it was removed meanwhile
	}
	t.read[name] = now
	for _, m := range known {
		at := trendKept - 1 + int(m.At.UnixNano()/int64(trendEach)-t.tape.slot)
		if m.Stream == telemetry.Battery && m.Field == chargeField && at >= 0 && at < trendKept && letters[at] == 0 && finite(m.Mean) {
			letters[at] = mark(m.Mean)
		}
	}
}

// TrendStep is the step of the samples that Fill takes.
const TrendStep = trendEach
