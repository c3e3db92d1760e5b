package conf_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"primespark/shared/conf"
)

// A renamed is a configuration whose keys had other names.
type renamed struct {
	Battery struct {
		Every int      `yaml:"every" was:"interval,period"`
		Bus   string   `yaml:"bus"`
		_     struct{} `was:"chip"`
	} `yaml:"battery" was:"ups"`
}

func TestMoves(t *testing.T) {
	for name, test := range map[string]struct {
		text, want string // what Migrate makes of it; empty: as it was
		every      int
		moves      []string
		fault      string // of Decode, or of Migrate
	}{
		"nothing old":   {text: "battery:\n  every: 3\n", every: 3},
		"renamed":       {text: "# mine\nbattery:\n  period: 3 # seconds\n  bus: x\n", want: "# mine\nbattery:\n  every: 3 # seconds\n  bus: x\n", every: 3, moves: []string{"line 3: battery.period is called battery.every now"}},
		"no more":       {text: "battery:\n  chip: max17040\n  every: 3\n", want: "battery:\n  # no more: chip: max17040\n  every: 3\n", every: 3, moves: []string{"line 2: battery.chip is no more"}},
		"a group":       {text: "ups:\n  interval: 3\n", want: "battery:\n  every: 3\n", every: 3, moves: []string{"line 1: ups is called battery now", "line 2: battery.interval is called battery.every now"}},
		"no end":        {text: "battery:\n  chip: x", want: "battery:\n  # no more: chip: x", moves: []string{"line 2: battery.chip is no more"}},
		"both names":    {text: "battery:\n  every: 3\n  interval: 4\n", fault: "line 3, column 3: battery.every: stands here a second time"},
		"in one line":   {text: "battery: {interval: 3}\n", every: 3, moves: []string{"line 1: battery.interval is called battery.every now"}, fault: "change it by hand"},
		"quoted":        {text: "battery:\n  \"interval\": 3\n", every: 3, moves: []string{"line 2: battery.interval is called battery.every now"}, fault: "change it by hand"},
		"several lines": {text: "battery:\n  chip:\n    - x\n", moves: []string{"line 2: battery.chip is no more"}, fault: "change it by hand"},
		"still wrong":   {text: "battery:\n  interwal: 3\n", fault: "unknown key"},
	} {
		t.Run(name, func(t *testing.T) {
			var c renamed
			f := conf.Decode([]byte(test.text), &c)
			err := f.Err()
			var moves []string
			for _, m := range f.Moves() {
				moves = append(moves, m.String())
			}
			var fresh []byte
			if err == nil {
				if c.Battery.Every != test.every || !reflect.DeepEqual(moves, test.moves) {
					t.Errorf("every %d, %q", c.Battery.Every, moves)
				}
				fresh, err = conf.Migrate([]byte(test.text), f.Moves())
			}
			if (err == nil) != (test.fault == "") || err != nil && !strings.Contains(err.Error(), test.fault) {
				t.Fatalf("%v, want %q", err, test.fault)
			}
			if err != nil {
				return
			}
			if want := test.want; want != "" && string(fresh) != want || want == "" && string(fresh) != test.text {
				t.Errorf("became %q", fresh)
			}
			var after renamed
			if f := conf.Decode(fresh, &after); f.Err() != nil || len(f.Moves()) > 0 || !reflect.DeepEqual(after, c) {
				t.Errorf("read again: %+v, %v, %v", after, f.Moves(), f.Err())
			}
		})
	}
}

// FuzzMigrate: whatever is rewritten means the same, and has nothing left to rewrite.
func FuzzMigrate(f *testing.F) {
	for _, text := range []string{"ups:\n  interval: 3\n", "battery:\n  chip: x\n  bus: 'y\n\n    z'\n", "battery: {period: 1}", "ups:\n  chip: |\n  x\n", "ups:\n  chip: x\n\n   y\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var before, after renamed
		file := conf.Decode([]byte(text), &before)
		if file.Err() != nil {
			return
		}
		fresh, err := conf.Migrate([]byte(text), file.Moves())
		if err != nil {
			return
		}
		again := conf.Decode(fresh, &after)
		if again.Err() == nil && len(again.Moves()) == 0 && !reflect.DeepEqual(before, after) {
			t.Errorf("%q became %q: %+v, %+v", text, fresh, before, after)
		}
	})
}

func TestRewrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "agent.yaml")
	if err := os.WriteFile(path, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := os.WriteFile(path+".new", []byte("cut short"), 0o600); err != nil { // of a power cut
		t.Fatal(err)
	}
	backup, err := conf.Rewrite(path, []byte("new"), now)
	if err != nil || backup != path+".20260102T030405Z.bak" {
		t.Fatalf("%s, %v", backup, err)
	}
	for file, want := range map[string]string{path: "new", backup: "old"} {
		got, err := os.ReadFile(file)
		info, bad := os.Stat(file)
		if err != nil || bad != nil || string(got) != want || info.Mode() != fs.FileMode(0o640) {
			t.Errorf("%s: %q, %v, %v, %v", file, got, info.Mode(), err, bad)
		}
	}
	if left, _ := filepath.Glob(dir + "/*"); len(left) != 2 {
		t.Errorf("left: %q", left)
	}
	// A backup is never written over.
	if _, err := conf.Rewrite(path, []byte("newer"), now); err == nil {
		t.Error("the backup was written over")
	}
	if got, _ := os.ReadFile(path); string(got) != "new" {
		t.Errorf("changed without a backup: %s", got)
	}
}
