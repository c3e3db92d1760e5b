package conf_test

import (
	"strings"
	"testing"
	"time"

	"primespark/shared/conf"
)

type sample struct {
	Name    string `yaml:"name"`
	Battery struct {
		Every conf.Duration `yaml:"every"`
		Stop  float64       `yaml:"stop"`
	} `yaml:"battery"`
	Memory conf.Size `yaml:"memory"`
	Script []struct {
		T     conf.Duration `yaml:"t"`
		Mains bool          `yaml:"mains"`
	} `yaml:"script"`
	Seeds []string `yaml:"seeds"`
}

func TestDecodeOverDefaults(t *testing.T) {
	var s sample
	s.Name, s.Memory = "pi", 5
	f := conf.Decode([]byte("battery: {every: 10s, stop: 0.05}\nmemory: 64MiB\nname:\nseeds: [a, b]\nscript:\n- {t: 1m, mains: true}\n"), &s)
	if err := f.Err(); err != nil {
		t.Fatal(err)
	}
	if s.Name != "pi" || s.Battery.Every.D() != 10*time.Second || s.Memory != 64<<20 || !s.Script[0].Mains || len(s.Seeds) != 2 {
		t.Errorf("got %+v", s)
	}
	if !f.Set("battery.every") || f.Set("battery.nothing") {
		t.Error("Set does not know which keys the file gives")
	}
}

func TestDecodeTellsEveryFault(t *testing.T) {
	for name, test := range map[string]struct{ yaml, want string }{
		"unknown key, near":   {"battery:\n  evry: 10s\n", `line 2, column 3: battery.evry: unknown key; did you mean "every"?`},
		"unknown key, far":    {"colour: red\n", `line 1, column 1: colour: unknown key; there are battery, memory, name, script, seeds`},
		"two faults":          {"battery:\n  every: soon\n  stop: much\n", "line 2, column 10: battery.every: \"soon\" is not a duration; write a number and a unit, as in 10s or 250ms\nline 3, column 9: battery.stop: \"much\" is not a number"},
		"in a list":           {"script:\n- {t: 1s}\n- {mains: 3}\n", `line 3, column 11: script[1].mains: "3" is not true or false`},
		"not a group":         {"battery: 3\n", `line 1, column 10: battery: "3" is not a group of keys`},
		"not a list":          {"script: 3\n", `line 1, column 9: script: "3" is not a list`},
		"twice":               {"name: a\nname: b\n", `line 2, column 1: name: stands here a second time; keep one`},
		"alias":               {"name: &a x\nseeds: [*a]\n", "line 1, column 7: name: anchors and aliases are not taken; write the value out\nline 2, column 8: seeds: anchors and aliases are not taken; write the value out"},
		"size":                {"memory: many\n", `line 1, column 9: memory: "many" is not a size; write a whole number and a unit, as in 64MiB`},
		"size that overflows": {"memory: 9999999999999GiB\n", `line 1, column 9: memory: "9999999999999GiB" is not a size; write a whole number and a unit, as in 64MiB`},
		"two documents":       {"name: a\n---\nname: b\n", `there is a second YAML document after ---; one is read`},
		"a list on top":       {"- a\n", `line 1, column 1: a list is not a group of keys`},
	} {
		t.Run(name, func(t *testing.T) {
			var s sample
			err := conf.Decode([]byte(test.yaml), &s).Err()
			if err == nil || err.Error() != test.want {
				t.Errorf("got:\n%v\nwant:\n%s", err, test.want)
			}
		})
	}
}

func TestBadPointsAtTheValue(t *testing.T) {
	var s sample
	f := conf.Decode([]byte("name: pi\nbattery:\n  every: 10ms\n"), &s)
	f.Bad("battery.every", "%v is too often; give 1s or more", s.Battery.Every)
	f.Bad("memory", "0 is too little, give 64MiB")
	want := "memory: 0 is too little, give 64MiB\nline 3, column 10: battery.every: 10ms is too often; give 1s or more"
	if err := f.Err(); err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

func TestSizeString(t *testing.T) {
	for in, want := range map[string]string{"64MiB": "64MiB", "128Mi": "128MiB", "1Gi": "1GiB", "2048Ki": "2MiB", "1024": "1KiB", "1000": "1000", "2GiB": "2GiB", "5MB": "5000000"} {
		if s, err := conf.ParseSize(in); err != nil || s.String() != want {
			t.Errorf("%s: got %v, %v, want %s", in, s, err, want)
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"every", "battery", "listen"}
	for in, want := range map[string]string{"evry": "every", "listne": "listen", "colour": "", strings.Repeat("x", 100): ""} {
		if got := conf.Nearest(in, words); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("battery: {every: 10s}\nscript: [{t: 1s}]\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s sample
		if err := conf.Decode(data, &s).Err(); err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
	})
}
