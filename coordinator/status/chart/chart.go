// Package chart turns what was measured into the geometry of a line chart: pure
// functions, values in and a Chart out, for a template to make an SVG of.
//
// A chart has as many points as its Span has slots, however many samples there
// are. A line is drawn between neighbours only: where samples are missing there
// is a gap, and nothing is guessed. Behind the line of the means lies a band from
// the least to the greatest value of each slot.
package chart

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The size of a chart, in the units of its SVG, and the part that holds the curve.
const (
	Width, Height = 360, 150
	Left, Right   = 44, 352
	Top, Bottom   = 8, 128
)

// most bounds the slots of a chart: more are finer than the picture.
const most = 300

// beyond is what no sensor measures; such values are left out, lest they make
// sums and scales infinite.
const beyond = 1e15

// A Point is what the samples of some stretch of time come to.
type Point struct {
	At             time.Time // when the stretch begins
	Min, Mean, Max float64
	Count          uint64 // of samples
	Unsynced       uint64 // of them, by a clock that was not set
}

func (p Point) plausible() bool {
	return p.Count > 0 && -beyond <= p.Min && p.Min <= p.Max && p.Max <= beyond && !math.IsNaN(p.Mean)
}

func (p Point) join(other Point) Point {
	if p.Count == 0 {
		return other
	}
	a, b := float64(p.Count), float64(other.Count)
	return Point{p.At, min(p.Min, other.Min), (p.Mean*a + other.Mean*b) / (a + b), max(p.Max, other.Max), p.Count + other.Count, p.Unsynced + other.Unsynced}
}

// A Span is the time that a chart shows: slots of equal length.
type Span struct {
	From   time.Time
	Step   time.Duration // of a slot
	Slots  int           // at most 300
	Mark   time.Duration // between the marks below the curve
	Layout string        // of their texts, as time.Format has it; in UTC
}

// To is when the last slot ends.
func (s Span) To() time.Time { return s.From.Add(time.Duration(s.Slots) * s.Step) }

// x is where a time lies, in SVG units.
func (s Span) x(t time.Time) float64 {
	return Left + (Right-Left)*float64(t.Sub(s.From))/float64(s.To().Sub(s.From))
}

// A Mark is a text at an axis.
type Mark struct {
	At   float64 // in SVG units along the axis
	Text string
}

// A Chart is what there is to draw.
type Chart struct {
	Title, Unit  string
	Band, Line   string // path data, in tenths of an SVG unit
	Unsure       string // the same, along the bottom: where the clock was not set
	Levels       []Mark // up the left side
	Times        []Mark // along the bottom
	Low, High    string // of all samples
	Mean, Newest string
	NewestAt     string // when the last slot with a sample begins
	Gaps         int    // between the first sample and the last
}

// Draw makes a chart of points, in any order; those outside of the span are not
// on it. It reports false if nothing is left to be drawn.
func Draw(title string, q Quantity, span Span, points []Point) (Chart, bool) {
	slots, have := fill(span, points)
	if len(have) == 0 {
		return Chart{}, false
	}
	var sum Point
	for _, i := range have {
		sum = sum.join(slots[i])
	}
	factor, unit := q.fit(sum.Max)
	scale := q.scale(sum.Min*factor, sum.Max*factor)
	last := slots[have[len(have)-1]]
	runs := runs(have)
	c := Chart{
		Title: title, Unit: unit, Times: span.marks(), Gaps: len(runs) - 1,
		Low: short(sum.Min * factor), High: short(sum.Max * factor), Mean: short(sum.Mean * factor),
		Newest: short(last.Mean * factor), NewestAt: last.At.UTC().Format(span.Layout),
	}
	for _, level := range scale.levels() {
		c.Levels = append(c.Levels, Mark{tenth(scale.y(level)), strconv.FormatFloat(level, 'f', scale.decimals(), 64)})
	}
	at := func(i int, value float64) spot {
		middle := span.From.Add(time.Duration(i)*span.Step + span.Step/2)
		return spot{int(math.Round(10 * span.x(middle))), int(math.Round(10 * scale.y(value*factor)))}
	}
	slot := 10 * (Right - Left) / len(slots)
	var line, band, unsure path
	for _, i := range have {
		if slots[i].Unsynced > 0 {
			unsure.add([]spot{{at(i, 0).x, 10 * Bottom}}, slot)
		}
	}
	for _, run := range runs {
		var mean, edge []spot
		for _, i := range run {
			mean, edge = append(mean, at(i, slots[i].Mean)), append(edge, at(i, slots[i].Max))
		}
		for _, i := range slices.Backward(run) {
			edge = append(edge, at(i, slots[i].Min))
		}
		line.add(mean, slot)
		if slices.ContainsFunc(run, func(i int) bool { return slots[i].Min < slots[i].Max }) {
			band.add(edge, slot)
			band = append(band, 'z')
		}
	}
	c.Line, c.Band, c.Unsure = string(line), string(band), string(unsure)
	return c, true
}

// Extent is from where to where the samples go, with their unit.
func (c Chart) Extent() string { return strings.TrimSpace(c.Low + " to " + c.High + " " + c.Unit) }

// Summary tells in words what the chart shows, for those who do not see it.
func (c Chart) Summary() string {
	with := func(value string) string { return strings.TrimSpace(value + " " + c.Unit) }
	text := fmt.Sprintf("Least %s, mean %s, greatest %s; newest %s at %s UTC", with(c.Low), with(c.Mean), with(c.High), with(c.Newest), c.NewestAt)
	if c.Unsure != "" {
		text += "; some of it by a clock that was not set, so it may have been at another time"
	}
	switch c.Gaps {
	case 0:
		return text + "."
	case 1:
		return text + "; samples are missing once."
	}
	return fmt.Sprintf("%s; samples are missing %d times.", text, c.Gaps)
}

// fill puts points into the slots of a span, and returns which slots have one.
func fill(span Span, points []Point) (slots []Point, have []int) {
	slots = make([]Point, min(max(span.Slots, 0), most))
	for _, p := range points {
		if p.At.Before(span.From) || !p.plausible() {
			continue
		}
		p.Mean = min(max(p.Mean, p.Min), p.Max) // sums are rounded
		if i := int(p.At.Sub(span.From) / span.Step); i < len(slots) {
			slots[i] = slots[i].join(p)
		}
	}
	for i, p := range slots {
		if p.Count > 0 {
			have = append(have, i)
		}
	}
	return slots, have
}

// runs cuts the slots that have a point, of which there is one at least, where
// others are missing. A node that measures more seldom than each slot has them
// further apart: its usual pace, by the median, is no gap, once there are enough
// to tell.
func runs(have []int) [][]int {
	var apart []int
	for i := 1; i < len(have); i++ {
		apart = append(apart, have[i]-have[i-1])
	}
	pace := 1
	if len(apart) >= 3 {
		sorted := slices.Sorted(slices.Values(apart))
		pace = sorted[(len(sorted)-1)/2]
	}
	var all [][]int
	begin := 0
	for i, d := range apart {
		if d > pace+pace/2 { // its clockwork may be late by half
			all = append(all, have[begin:i+1])
			begin = i + 1
		}
	}
	return append(all, have[begin:])
}

// marks are the round times that a span goes over, save where a text would not fit.
func (s Span) marks() (all []Mark) {
	for t := s.From.Truncate(s.Mark); t.Before(s.To()); t = t.Add(s.Mark) {
		if x := s.x(t); x >= Left && x <= Right-16 {
			all = append(all, Mark{tenth(x), t.UTC().Format(s.Layout)})
		}
	}
	return all
}

// A spot is a place in tenths of an SVG unit.
type spot struct{ x, y int }

// A path is SVG path data: numbers and letters only, whatever was measured.
type path []byte

// add appends a line, in steps from spot to spot, which are shorter to write than
// places. A line of one spot is as wide as its slot, lest nobody see it.
func (p *path) add(spots []spot, slot int) {
	last := spots[0]
	if len(spots) == 1 {
		*p = fmt.Appendf(*p, "M%d %dh%d", last.x-slot/2, last.y, slot)
		return
	}
	*p = fmt.Appendf(*p, "M%d %dl", last.x, last.y)
	for i, s := range spots[1:] {
		dx, dy := s.x-last.x, s.y-last.y
		if i > 0 && dx >= 0 {
			*p = append(*p, ' ')
		}
		*p = strconv.AppendInt(*p, int64(dx), 10)
		if dy >= 0 {
			*p = append(*p, ' ')
		}
		*p = strconv.AppendInt(*p, int64(dy), 10)
		last = s
	}
}

func tenth(x float64) float64 { return math.Round(10*x) / 10 }
