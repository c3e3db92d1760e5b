package sensors

import (
	"math"
	"testing"
)

// FuzzParse reads what no kernel writes: there is an error or a value that can be.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"cpu  1000 0 500 8000 500 0 0 0 0 0\ncpu0 1 2\n",
		"Inter-| Receive\n face |bytes\nlo: 1 2 3 4 5 6 7 8 9 10 11 12\neth0: 1 2 3 4 5 6 7 8 9 10 11 12\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if n, err := parseTimes(text); err == nil && !(n.busy >= 0 && n.busy <= n.total) {
			t.Errorf("busy for %v of %v", n.busy, n.total)
		}
		_ = parseTraffic(text, func(name []byte, _ traffic) {
			if string(name) == "lo" {
				t.Error("loopback counts")
			}
		})
	})
}

func TestParse(t *testing.T) {
	for text, want := range map[string]times{
		"cpu  10 1 5 80 4 2 3 6 100 100\n": {27, 111},
		"cpu  10 1 5 80 4 2 3\n":           {21, 105}, // Linux before 2.6.11
		"cpu  10 1 5\n":                    {},
		"cpu0 10 1 5 80 4 2 3 6\n":         {},
		"cpu  10 1 5 80 x 2 3 6\n":         {},
		"":                                 {},
	} {
		got, err := parseTimes([]byte(text))
		if got != want || (err != nil) != (want == times{}) {
			t.Errorf("%q is %v (%v), want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]uint64{
		"eth0: 1 2 3 4 5 6 7 8 9 10 11 12\n eth1:1 2 3 4 5 6 7 8 9 10 11\n": 48,
		"eth0: 1 2 3\n": math.MaxUint64,
		"eth0: x\n":     math.MaxUint64,
		"":              0,
	} {
		var sum uint64
		err := parseTraffic([]byte(text), func(_ []byte, n traffic) { sum += n.received + n.sent + n.errors })
		if err != nil {
			sum = math.MaxUint64
		}
		if sum != want {
			t.Errorf("%q is %d (%v), want %d", text, sum, err, want)
		}
	}
}
