package hailo_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"primespark/hailo"
	"primespark/hailo/hef/synth"
	. "primespark/hailo/hosttest"
	"primespark/hailo/workertest"
)

func selftest(t *testing.T, tree Tree, fault string, model []byte) hailo.Selftest {
	t.Helper()
	path := filepath.Join(t.TempDir(), "yolov8s_h8.hef")
	if err := os.WriteFile(path, model, 0o600); err != nil {
		t.Fatal(err)
	}
	var said []string
	got := hailo.RunSelftest(soon(t), hailo.Config{
		Host:    hailo.Host{Root: tree.Make(t), PageSize: 4096, Open: func(string) error { return nil }},
		Workers: workertest.Workers(t, fault), Dir: t.TempDir(),
	}, []string{path}, 20, func(s hailo.Step) { said = append(said, s.Name) })
	if len(said) != len(got.Steps) {
		t.Errorf("it said %v of %d steps", said, len(got.Steps))
	}
	return got
}

func TestSelftest(t *testing.T) {
	got := selftest(t, Good(), workertest.None, synth.Detector("yolov8s", 16, 3, 5).Bytes())
	if !got.OK || got.Figures == nil || len(got.Steps) != 6 {
		t.Fatalf("%+v", got)
	}
	f := got.Figures
	if f.Frames != 20 || f.Depth != 4 || f.Sequential <= 0 || f.Pipelined <= 0 || f.Latency.P50 <= 0 || f.Recovery <= 0 || !f.Stable || !strings.Contains(f.Anchor, "309") {
		t.Errorf("figures %+v", f)
	}
	if got.HEF == nil || got.Status.Arch != "hailo8" || got.Facts.Kernel == "" {
		t.Errorf("%+v", got)
	}
	text, err := json.Marshal(got)
	if err != nil || !strings.Contains(string(text), `"pipelined_fps":`) {
		t.Errorf("%v: %s", err, text)
	}
}

func TestSelftestFails(t *testing.T) {
	model := synth.Detector("yolov8s", 16, 3, 5).Bytes()
	for name, test := range map[string]struct {
		tree  Tree
		fault string
		model []byte
		want  string // in the JSON
	}{
		"no chip":           {Tree{}, "", model, `"hailo.absent"`},
		"another driver":    {Good().With(Module+"/version", "4.20.0\n"), "", model, `"hailo.version_mismatch"`},
		"used by another":   {Good(), workertest.Busy, model, `"hailo.busy"`},
		"a file of nothing": {Good(), "", []byte("version https://git-lfs.github.com/spec/v1\n"), "not a HEF"},
	} {
		t.Run(name, func(t *testing.T) {
			got := selftest(t, test.tree, test.fault, test.model)
			text, err := json.Marshal(got)
			if err != nil || got.OK || !strings.Contains(string(text), test.want) {
				t.Errorf("%v, ok %v: %s", err, got.OK, text)
			}
		})
	}
}
