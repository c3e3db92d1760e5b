package chart

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// hour is a span of four slots, each 77 SVG units wide.
var hour = Span{From: noon, Step: 15 * time.Minute, Slots: 4, Mark: 30 * time.Minute, Layout: "15:04"}

// at is a point in a slot, of one sample or, given three values, of several.
func at(slot int, values ...float64) Point {
	p := Point{At: noon.Add(time.Duration(slot) * 15 * time.Minute), Min: values[0], Mean: values[0], Max: values[0], Count: 1}
	if len(values) == 3 {
		p.Mean, p.Max, p.Count = values[1], values[2], 15
	}
	return p
}

// The middles of the slots are at x = 82.5, 159.5, 236.5 and 313.5; a share of 0
// is at y = 128, one of 1 at 8.
func TestDraw(t *testing.T) {
	for name, test := range map[string]struct {
		points     []Point
		line, band string
		gaps       int
	}{
		"a line":              {[]Point{at(0, 0), at(1, 0.5), at(2, 1), at(3, 1)}, "M825 1280l770-600 770-600 770 0", "", 0},
		"in any order":        {[]Point{at(3, 1), at(1, 0.5), at(2, 1), at(0, 0)}, "M825 1280l770-600 770-600 770 0", "", 0},
		"a gap":               {[]Point{at(0, 0), at(1, 0), at(3, 1)}, "M825 1280l770 0M2750 80h770", "", 1},
		"two dots":            {[]Point{at(0, 0), at(3, 1)}, "M440 1280h770M2750 80h770", "", 1},
		"a dot":               {[]Point{at(2, 0.5)}, "M1980 680h770", "", 0},
		"a band":              {[]Point{at(0, 0, 0.5, 1), at(1, 0.5)}, "M825 680l770 0", "M825 80l770 600 0 0-770 600z", 0},
		"a band of one":       {[]Point{at(0, 0, 0.5, 1)}, "M440 680h770", "M825 80l0 1200z", 0},
		"a slot of two":       {[]Point{at(0, 0, 0.5, 1), {At: noon.Add(time.Minute), Min: 0.5, Mean: 0.75, Max: 1, Count: 15}}, "M440 530h770", "M825 80l0 1200z", 0},
		"above the top":       {[]Point{at(0, 1.25)}, "M440 280h770", "", 0}, // the axis goes to 150
		"before and after":    {[]Point{at(-1, 1), at(4, 1), at(0, 0)}, "M440 1280h770", "", 0},
		"a rounded mean":      {[]Point{at(0, 0.5, math.Nextafter(0.5, 1), 0.5)}, "M440 680h770", "", 0},
		"no numbers":          {[]Point{at(0, math.NaN()), at(1, math.Inf(1)), at(2, math.Inf(-1)), at(3, 0)}, "M2750 1280h770", "", 0},
		"beyond any sensor":   {[]Point{at(0, 1e300), at(1, -1e300), at(3, 0)}, "M2750 1280h770", "", 0},
		"the wrong way":       {[]Point{at(0, 1, 0.5, 0), at(3, 0)}, "M2750 1280h770", "", 0},
		"of no sample":        {[]Point{{At: noon, Min: 1, Mean: 1, Max: 1}, at(3, 0)}, "M2750 1280h770", "", 0},
		"nothing":             {nil, "", "", 0},
		"nothing in the span": {[]Point{at(-1, 1), at(4, 1)}, "", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			c, ok := Draw("Charge", Share, hour, test.points)
			if ok != (test.line != "") || c.Line != test.line || c.Band != test.band || c.Gaps != test.gaps {
				t.Errorf("%v, line %q, band %q, %d gaps; want line %q, band %q, %d gaps", ok, c.Line, c.Band, c.Gaps, test.line, test.band, test.gaps)
			}
		})
	}
}

// TestUnsure marks along the bottom what was measured by a clock that was not set.
func TestUnsure(t *testing.T) {
	off := at(1, 0.5)
	off.Unsynced = 1
	for name, test := range map[string]struct {
		points []Point
		want   string
	}{
		"a clock that was set":     {[]Point{at(0, 0), at(1, 1)}, ""},
		"one of three":             {[]Point{at(0, 0), off, at(2, 0)}, "M1210 1280h770"},
		"one of two in a slot":     {[]Point{at(1, 0), off}, "M1210 1280h770"},
		"none that is on the page": {[]Point{at(0, 0), {At: noon.Add(-time.Hour), Count: 1, Unsynced: 1}}, ""},
	} {
		c, _ := Draw("Charge", Share, hour, test.points)
		if told := strings.Contains(c.Summary(), "clock that was not set"); c.Unsure != test.want || told != (test.want != "") {
			t.Errorf("%s: %q, want %q; %s", name, c.Unsure, test.want, c.Summary())
		}
	}
}

func TestGapsByPace(t *testing.T) {
	for name, test := range map[string]struct {
		have []int
		want string
	}{
		"each slot":      {[]int{0, 1, 2}, "[[0 1 2]]"},
		"one missing":    {[]int{0, 1, 2, 4, 5}, "[[0 1 2] [4 5]]"},
		"each fifth":     {[]int{0, 5, 10, 16, 21}, "[[0 5 10 16 21]]"},
		"of those, one":  {[]int{0, 5, 10, 20, 25}, "[[0 5 10] [20 25]]"},
		"one":            {[]int{7}, "[[7]]"},
		"many outages":   {[]int{0, 1, 2, 10, 11, 12, 13, 30}, "[[0 1 2] [10 11 12 13] [30]]"},
		"half are there": {[]int{0, 1, 3, 4, 6, 7, 8}, "[[0 1] [3 4] [6 7 8]]"},
	} {
		if got := fmt.Sprint(runs(test.have)); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestAxes(t *testing.T) {
	for name, test := range map[string]struct {
		quantity   Quantity
		values     []float64
		unit, axis string
	}{
		"share":              {Share, []float64{0.2, 0.3}, "%", "0 50 100"},
		"watts":              {Watts, []float64{3.5, 7.2}, "W", "0 2 4 6 8"},
		"watts that go back": {Watts, []float64{-3, 5}, "W", "-4 -2 0 2 4 6"},
		"volts":              {Volts, []float64{3.871, 3.879}, "V", "3.75 3.80 3.85 3.90 3.95 4.00"},
		"heat":               {Celsius, []float64{51.4, 51.4}, "°C", "49 50 51 52 53 54"},
		"cold":               {Celsius, []float64{-21, 3}, "°C", "-30 -20 -10 0 10"},
		"none":               {Number, []float64{0}, "", "0 1 2 3 4"},
		"bytes":              {Bytes, []float64{0, 731}, "B/s", "0 200 400 600 800"},
		"kilobytes":          {Bytes, []float64{0, 73_100}, "kB/s", "0 20 40 60 80"},
		"gigabytes":          {Bytes, []float64{0, 1.1e9}, "GB/s", "0.0 0.5 1.0 1.5"},
		"ms":                 {Seconds, []float64{0.0064, 0.0071}, "ms", "0 2 4 6 8"},
		"s":                  {Seconds, []float64{0.5, 3.1}, "s", "0 1 2 3 4"},
		"large and even":     {Number, []float64{1e15, 1e15}, "", "0 500000000000000 1000000000000000"},
	} {
		t.Run(name, func(t *testing.T) {
			var points []Point
			for i, v := range test.values {
				points = append(points, at(i, v))
			}
			c, ok := Draw("x", test.quantity, hour, points)
			var texts []string
			for i, l := range c.Levels {
				texts = append(texts, l.Text)
				if l.At < Top || l.At > Bottom || i > 0 && l.At >= c.Levels[i-1].At {
					t.Errorf("level %s is at %v", l.Text, l.At)
				}
			}
			if got := strings.Join(texts, " "); !ok || got != test.axis || c.Unit != test.unit {
				t.Errorf("%s by %q, want %s by %q", got, c.Unit, test.axis, test.unit)
			}
		})
	}
}

func TestTimes(t *testing.T) {
	c, _ := Draw("x", Share, hour, []Point{at(0, 1)})
	if got, want := fmt.Sprint(c.Times), "[{44 12:00} {198 12:30}]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestSummary(t *testing.T) {
	for want, points := range map[string][]Point{
		"Least 20 %, mean 20 %, greatest 20 %; newest 20 % at 12:00 UTC.":                            {at(0, 0.2)},
		"Least 0 %, mean 44.1 %, greatest 100 %; newest 0 % at 12:45 UTC; samples are missing once.": {at(0, 0, 0.5, 1), at(1, 0), at(3, 0)},
	} {
		c, _ := Draw("x", Share, hour, points)
		if got := c.Summary(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	c := Chart{Low: "1", Mean: "2", High: "3", Newest: "2", NewestAt: "12:00", Gaps: 3}
	if got, want := c.Summary(), "Least 1, mean 2, greatest 3; newest 2 at 12:00 UTC; samples are missing 3 times."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestShort(t *testing.T) {
	for x, want := range map[float64]string{
		0: "0", 1: "1", 0.001: "0", -0.001: "0", 1.234: "1.23", 9.999: "10", 12.34: "12.3", 99.96: "100", 1234.5: "1234", -51.44: "-51.4", 100: "100",
	} {
		if got := short(x); got != want {
			t.Errorf("%v is %q, want %q", x, got, want)
		}
	}
}

// TestBounds: a chart has no more points than slots, and stays small.
func TestBounds(t *testing.T) {
	span := Span{From: noon, Step: time.Second, Slots: 100_000, Mark: time.Hour, Layout: "15:04"}
	var points []Point
	for i := range 100_000 {
		v := float64(i*7919%1000) / 1000
		points = append(points, Point{At: noon.Add(time.Duration(i) * time.Second), Min: v / 2, Mean: v, Max: 1, Count: 3})
	}
	c, ok := Draw("x", Share, span, points)
	if n := len(regexp.MustCompile(`\d+`).FindAllString(c.Line, -1)) / 2; !ok || n != most || len(c.Line)+len(c.Band) > 20*most {
		t.Errorf("%v: %d points in %d and %d bytes", ok, n, len(c.Line), len(c.Band))
	}
}

// FuzzDraw: whatever a node claims to have measured, its chart is of digits and
// lies in its frame.
func FuzzDraw(f *testing.F) {
	f.Add(0.0, 0.5, 1.0, uint64(3), int64(0), -1e300)
	f.Add(1e15, 1e15, 1e15, uint64(1)<<63, int64(time.Hour), 1e-300)
	f.Add(-1e-15, 0.0, 5e-324, uint64(1), int64(-1), 1.0)
	f.Fuzz(func(t *testing.T, low, mean, high float64, count uint64, after int64, other float64) {
		points := []Point{{noon.Add(time.Duration(after)), low, mean, high, count, count}, at(1, other), at(2, low), at(3, other, mean, high)}
		for _, q := range []Quantity{Share, Watts, Volts, Celsius, Number, Load, Bytes, Seconds} {
			c, ok := Draw("x", q, hour, points)
			if !ok {
				continue
			}
			if i := strings.IndexFunc(c.Line+c.Band+c.Unsure, func(r rune) bool { return !strings.ContainsRune("0123456789 -Mlhz", r) }); i >= 0 {
				t.Errorf("%q %q", c.Line, c.Band)
			}
			if len(c.Levels) < 2 || len(c.Levels) > 3*intervals {
				t.Errorf("levels %v", c.Levels)
			}
			for _, l := range slices.Concat(c.Levels, c.Times) {
				if !(l.At >= 0 && l.At <= Width) {
					t.Errorf("%v", l)
				}
			}
			for part := range strings.SplitSeq(c.Line, "M") {
				var x, y int
				if n, _ := fmt.Sscanf(part, "%d %d", &x, &y); n == 2 && (x < 10*Left || x > 10*Right || y < 10*Top || y > 10*Bottom) {
					t.Errorf("%q begins outside of the frame", part)
				}
			}
		}
	})
}
