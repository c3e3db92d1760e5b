package oip

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// The fast paths round as package strconv does, to the last bit.
func TestNumbersAsStrconv(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	texts := []string{
		"0", "-0", "0.1", "1e22", "1e23", "9007199254740993", "16777217", "16777219e0", "1e-45", "7e-46", "1.17549435e-38",
		"3.4028235677973366e38", "3.4028235e38", "1e400", "-1e400", "5e-324", "2e-324", "1e-400", "0e99999",
		"1.00000005960464477539", "1.000000059604644775390625", "1.000000059604644775390626", "8388608.5", "8388609.5",
		"18446744073709551615", "18446744073709551616", "0." + strings.Repeat("0", 400) + "1", strings.Repeat("9", 400),
	}
	for range 50_000 {
		f := math.Float32frombits(r.Uint32())
		g := math.Float64frombits(r.Uint64())
		switch r.IntN(4) {
		case 0:
			texts = append(texts, strconv.FormatFloat(float64(f), 'g', -1, 32))
		case 1:
			texts = append(texts, strconv.FormatFloat(g, 'e', r.IntN(20), 64))
		case 2:
			texts = append(texts, strconv.FormatFloat(r.Float64(), 'f', r.IntN(20), 64))
		case 3: // halfway between two float32s, or next to it
			f := 0.5 + r.Float32()/2
			half := (float64(f) + float64(math.Nextafter32(f, 2))) / 2
			texts = append(texts, strconv.FormatFloat(half, 'f', -1, 64))
		}
	}
	for _, text := range texts {
		if strings.ContainsAny(text, "NI") {
			continue
		}
		s := scanner{data: []byte(text)}
		n, err := s.number()
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		want64, err := strconv.ParseFloat(text, 64)
		if got, ok := n.float64(); ok != (err == nil) || ok && math.Float64bits(got) != math.Float64bits(want64) {
			t.Errorf("%s as FP64 is %v, %v, want %v, %v", text, got, ok, want64, err)
		}
		want32, err := strconv.ParseFloat(text, 32)
		if got, ok := n.float32(); ok != (err == nil) || ok && math.Float32bits(got) != math.Float32bits(float32(want32)) {
			t.Errorf("%s as FP32 is %v, %v, want %v, %v", text, got, ok, want32, err)
		}
	}
}
