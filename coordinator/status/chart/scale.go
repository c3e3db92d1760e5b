package chart

import (
	"math"
	"strconv"
	"strings"
)

// A Quantity is what a chart is of: its unit, and how its axis is chosen.
type Quantity struct {
	unit   string
	factor float64 // from what is measured to the unit
	least  float64 // that the axis goes over, in the unit
	zero   bool    // the axis has 0
	top    float64 // that the axis has; 0 for none
	larger []larger
}

// A larger is a unit that is taken from some value on.
type larger struct {
	from, factor float64 // as measured
	unit         string
}

// The quantities.
var (
	Share   = Quantity{unit: "%", factor: 100, zero: true, top: 100} // measured as 0 to 1
	Watts   = Quantity{unit: "W", factor: 1, least: 1, zero: true}
	Volts   = Quantity{unit: "V", factor: 1, least: 0.2}
	Celsius = Quantity{unit: "°C", factor: 1, least: 4}
	Number  = Quantity{factor: 1, least: 4, zero: true} // of things
	Load    = Quantity{factor: 1, least: 0.2, zero: true}
	Bytes   = Quantity{unit: "B/s", factor: 1, least: 1, zero: true, larger: []larger{ // a second
		{1e3, 1e-3, "kB/s"}, {1e6, 1e-6, "MB/s"}, {1e9, 1e-9, "GB/s"},
	}}
	Seconds = Quantity{unit: "ms", factor: 1e3, least: 0.4, zero: true, larger: []larger{{2, 1, "s"}}}
)

// Unit is the unit of small values; empty for plain numbers.
func (q Quantity) Unit() string { return q.unit }

// fit returns the unit for values of up to high, and its factor.
func (q Quantity) fit(high float64) (factor float64, unit string) {
	factor, unit = q.factor, q.unit
	for _, l := range q.larger {
		if high >= l.from {
			factor, unit = l.factor, l.unit
		}
	}
	return factor, unit
}

// A scale is an axis: from low to high by steps that people count in.
type scale struct{ low, high, step float64 }

// intervals is about how many steps an axis has.
const intervals = 4

// scale returns the axis for values from low to high, in the quantity's unit.
func (q Quantity) scale(low, high float64) scale {
	positive := low >= 0
	if q.zero {
		low, high = min(low, 0), max(high, 0, q.top)
	}
	// An axis much shorter than its own numbers would tell them apart by noise only.
	least := max(q.least, 1e-3*max(math.Abs(low), math.Abs(high)))
	if short := least - (high - low); short > 0 {
		low, high = low-short/2, high+short/2
		if positive && low < 0 {
			low, high = 0, high-low
		}
	}
	step := nice((high - low) / intervals)
	return scale{step * math.Floor(low/step), step * math.Ceil(high/step), step}
}

// nice is the next of 1, 2, 5, 10, 20, 50, ... that is not below x; x is above 0.
func nice(x float64) float64 {
	ten := math.Pow(10, math.Floor(math.Log10(x)))
	for _, n := range []float64{1, 2, 5} {
		if x <= n*ten*(1+1e-9) { // 0.2/4 is a little more than 0.05
			return n * ten
		}
	}
	return 10 * ten
}

// levels are the steps of the axis.
func (s scale) levels() (all []float64) {
	for i := math.Round(s.low / s.step); i <= math.Round(s.high/s.step); i++ {
		all = append(all, i*s.step)
	}
	return all
}

// y is where a value lies, in SVG units.
func (s scale) y(value float64) float64 {
	return Bottom - (Bottom-Top)*(value-s.low)/(s.high-s.low)
}

// decimals is how many digits after the point tell the levels apart.
func (s scale) decimals() int { return max(0, -int(math.Floor(math.Log10(s.step)+1e-9))) }

// short is a number with three digits or so.
func short(x float64) string {
	digits := 2
	switch size := math.Abs(x); {
	case size >= 99.95:
		digits = 0
	case size >= 9.995:
		digits = 1
	}
	text := strconv.FormatFloat(x, 'f', digits, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	if text == "-0" {
		return "0"
	}
	return text
}
