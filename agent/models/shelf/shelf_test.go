package shelf_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"primespark/agent/models/shelf"
	"primespark/hailo/hef"
	"primespark/hailo/hef/synth"
	"primespark/shared/model"
)

func put(t *testing.T, dir, name string, m synth.Model) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), m.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestShelf(t *testing.T) {
	s := shelf.Shelf{Dir: t.TempDir()}
	yolo := synth.Detector("yolov8s", 640, 80, 100)
	put(t, s.Dir, "yolov8s_h8.hef", yolo)
	yolo.Arch = hef.ArchHailo8L
	put(t, s.Dir, "yolov8s_h8l.hef", yolo)
	put(t, s.Dir, "yolox_s_leaky_h8l_rpi.hef", synth.Detector("yolox_s_leaky", 640, 80, 100))
	put(t, s.Dir, "yolov5s_personface_h8l.hef", synth.Detector("yolov5s_personface", 640, 2, 80))
	put(t, s.Dir, "resnet_v1_50_h8.hef", synth.Tensors("resnet_v1_50", 224, 1, 1000))
	put(t, s.Dir, "yolov8s_pose_h8.hef", synth.Tensors("yolov8s_pose", 640, 6, 17))
	put(t, s.Dir, "yolov8s_h10.hef", yolo)
	if err := os.WriteFile(filepath.Join(s.Dir, "broken_h8.hef"), []byte("version https://git-lfs.github.com/spec/v1"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := []string{"broken", "resnet50", "yolov5s_personface", "yolov8s", "yolov8s_pose", "yolox_s_leaky"}
	if got := s.Names(); !slices.Equal(got, want) {
		t.Errorf("Names = %v, want %v", got, want)
	}
	if s.Favourite() != "yolov8s" {
		t.Errorf("Favourite = %q", s.Favourite())
	}
	for name, test := range map[string]struct {
		kind     model.Kind
		variants []string // their archs
		labels   int
	}{
		"yolov8s":            {model.NMSInModel, []string{"hailo8", "hailo8l"}, 80},
		"yolox_s_leaky":      {model.NMSInModel, []string{"hailo8"}, 80},
		"yolov5s_personface": {model.NMSInModel, []string{"hailo8"}, 2},
		"resnet50":           {model.Classification, []string{"hailo8"}, 1000},
		"yolov8s_pose":       {model.Raw, []string{"hailo8"}, 0},
	} {
		p, err := s.Open(name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		m, err := model.ParseManifest(p.Files[model.ManifestFile])
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, p.Files[model.ManifestFile])
		}
		var archs []string
		for _, v := range m.Variants {
			archs = append(archs, v.Arch)
			if p.Paths[v.File] != filepath.Join(s.Dir, v.File) {
				t.Errorf("%s: %s is at %q", name, v.File, p.Paths[v.File])
			}
		}
		if m.Name != name || m.Postprocess.Kind != test.kind || !slices.Equal(archs, test.variants) {
			t.Errorf("%s: %s, kind %s, for %v", name, m.Name, m.Postprocess.Kind, archs)
		}
		labels := []string(nil)
		if m.Labels != "" {
			if labels, err = model.ParseLabels(p.Files[m.Labels]); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if len(labels) != test.labels {
			t.Errorf("%s has %d labels, want %d", name, len(labels), test.labels)
		}
	}
	if _, err := s.Open("broken"); err == nil || !strings.Contains(err.Error(), "broken_h8.hef") {
		t.Errorf("a pointer of git-lfs: %v", err)
	}
	if _, err := s.Open("nobody"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such model: %v", err)
	}
}

func TestNoShelf(t *testing.T) {
	for _, s := range []shelf.Shelf{{}, {Dir: "/nonexistent"}} {
		if len(s.Names()) != 0 || s.Favourite() != "" {
			t.Errorf("%q has %v", s.Dir, s.Names())
		}
	}
}
