package model_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"primespark/shared/conf"
	"primespark/shared/model"
)

const good = `apiVersion: edge/v1
kind: Model
name: yolox-nano
version: "2"
license: Apache-2.0
task: object-detection
variants:
  - {engine: hailo, arch: hailo8, file: yolox_nano.hef, sha256: d388b1cf8a5f6f1af2b3f4c14f6d0f138bab970cd618cccd12dddb7484e82e51}
  - {engine: builtin, file: yolox_nano.onnx, sha256: D388b1cf8a5f6f1af2b3f4c14f6d0f138bab970cd618cccd12dddb7484e82e51}
inputs: [{name: images, datatype: FP32, shape: [1,3,416,416], layout: NCHW}]
outputs: [{name: output, datatype: FP32, shape: [1,3549,85]}]
preprocess: {resize: letterbox, anchor: top-left, pad: 114, filter: bilinear, color: BGR, mean: [0,0,0], scale: [1,1,1]}
postprocess: {kind: yolox, strides: [8,16,32], score: 0.3, iou: 0.45, max: 100}
labels: coco80.txt
files: {coco80.txt: dc183f003fc753c4c43fae6fdf7f387559449573f13fa32e517fb7453fd380f1}
selftest: {image: dog_yolox.jpg, expect: [{label: dog, min_score: 0.5, box: [133,207,326,542], iou: 0.5}]}
resources: {memory: 128MiB, deadline: 500ms}
`

func TestParseManifest(t *testing.T) {
	m, err := model.ParseManifest([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "yolox-nano" || m.Version != "2" || len(m.Variants) != 2 || m.Variants[1].Engine != "builtin" {
		t.Errorf("%+v", m)
	}
	if m.Variants[1].SHA256 != m.Variants[0].SHA256 {
		t.Errorf("the sum %s is not in lower case", m.Variants[1].SHA256)
	}
	if w, h, c := m.Inputs[0].Size(); w != 416 || h != 416 || c != 3 {
		t.Errorf("Size = %d, %d, %d", w, h, c)
	}
	if m.Resources.Memory != 128<<20 || m.Resources.Deadline.D() != 500*time.Millisecond {
		t.Errorf("Resources = %+v", m.Resources)
	}
	if e := m.Selftest.Expect[0]; e.Label != "dog" || e.Box[3] != 542 {
		t.Errorf("Expect = %+v", e)
	}
}

// TestOpenOutput leaves a dimension to the data.
func TestOpenOutput(t *testing.T) {
	text := strings.Replace(good, "[1,3549,85]", "[-1, 6], max_elements: 600", 1)
	text = strings.Replace(text, "kind: yolox, strides: [8,16,32], score: 0.3, iou: 0.45, max: 100", "kind: raw", 1)
	at := strings.Index(text, "selftest:")
	text = text[:at] + text[strings.Index(text, "resources:"):]
	m, err := model.ParseManifest([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if s := m.Outputs[0].Spec(); !s.Open() || s.Most != 600 || m.Inputs[0].Spec().Open() {
		t.Errorf("%+v", s)
	}
}

func TestParseManifestDefaults(t *testing.T) {
	m, err := model.ParseManifest([]byte(`
apiVersion: edge/v1
kind: Model
name: tiny
variants: [{engine: builtin, file: m.onnx, sha256: d388b1cf8a5f6f1af2b3f4c14f6d0f138bab970cd618cccd12dddb7484e82e51}]
inputs: [{name: input, datatype: UINT8, shape: [1, 128, 96, 3]}]
preprocess: {}
`))
	if err != nil {
		t.Fatal(err)
	}
	if m.Version != "1" || m.Postprocess.Kind != model.Raw {
		t.Errorf("version %q, kind %q", m.Version, m.Postprocess.Kind)
	}
	if p := m.Preprocess; p.Resize != model.Letterbox || p.Anchor != model.Center || p.Color != model.RGB || len(p.Mean) != 3 || p.Scale[2] != 1 {
		t.Errorf("preprocess = %+v", p)
	}
	if w, h, _ := m.Inputs[0].Size(); w != 96 || h != 128 {
		t.Errorf("Size = %d × %d, want 96 × 128 by the layout NHWC", w, h)
	}
}

func TestParseManifestTellsEveryFault(t *testing.T) {
	for name, test := range map[string]struct {
		from, to string // replaced in the good one
		want     []string
	}{
		"unknown key":        {"postprocess:", "postproces:", []string{`line 13, column 1: postproces: unknown key; did you mean "postprocess"?`}},
		"unknown inner key":  {"anchor: top-left", "anchr: top-left", []string{`line 12, column 33: preprocess.anchr: unknown key; did you mean "anchor"?`}},
		"two faults at once": {"name: yolox-nano\nversion: \"2\"", "name: YOLOX\nversion: \"/\"", []string{`line 3, column 7: name: "YOLOX" is no name`, `line 4, column 10: version: "/"`, "like yolox-nano"}},
		"escaping file":      {"file: yolox_nano.hef", "file: ../../etc/shadow", []string{`variants[0].file: "../../etc/shadow" is not the plain name of a file`}},
		"hidden file":        {"labels: coco80.txt", "labels: .ssh", []string{`labels: ".ssh"`}},
		"short sum":          {"sha256: D388b1cf8a5f6f1af2b3f4c14f6d0f138bab970cd618cccd12dddb7484e82e51", "sha256: abc", []string{`variants[1].sha256: "abc" is not the SHA-256 of a file`, "sha256sum FILE"}},
		"no variants":        {"variants:\n  - {engine: hailo, arch: hailo8, file: yolox_nano.hef, sha256: d388b1cf8a5f6f1af2b3f4c14f6d0f138bab970cd618cccd12dddb7484e82e51}\n  - {engine: builtin, file: yolox_nano.onnx, sha256: D388b1cf8a5f6f1af2b3f4c14f6d0f138bab970cd618cccd12dddb7484e82e51}\n", "", []string{"variants: there are 0"}},
		"wrong api":          {"edge/v1", "edge/v2", []string{`apiVersion: "edge/v2" is not one of edge/v1`}},
		"wrong datatype":     {"datatype: FP32, shape: [1,3,416,416]", "datatype: FLOAT, shape: [1,3,416,416]", []string{`inputs[0].datatype: "FLOAT"`}},
		"open dimension":     {"[1,3,416,416]", "[-1,3,416,416]", []string{"inputs[0].shape: [-1 3 416 416] is no shape"}},
		"overflowing shape":  {"[1,3549,85]", "[3037000500,3037000500,85]", []string{"outputs[0].shape: "}},
		"sample":             {"layout: NCHW}]", "layout: NCHW, sample: 1e300}]", []string{"inputs[0].sample: 1e+300"}},
		"four channels":      {"[1,3,416,416]", "[1,4,416,416]", []string{"inputs[0].shape: [1 4 416 416] does not hold one BGR image"}},
		"pad":                {"pad: 114", "pad: 300", []string{"preprocess.pad: 300 is not from 0 to 255; give a number like 114"}},
		"not a number":       {"pad: 114", "pad: .nan", []string{"preprocess.pad: NaN is not from 0 to 255"}},
		"mean of two":        {"mean: [0,0,0]", "mean: [0,0]", []string{"preprocess.mean: [0 0] has 2 numbers for 3 channels"}},
		"strides":            {"strides: [8,16,32]", "strides: [8,16]", []string{"postprocess.strides: [8 16] makes 3380 rows of this input, and the output has 3549"}},
		"stride of nothing":  {"strides: [8,16,32]", "strides: [0]", []string{"postprocess.strides: 0 is not from 1"}},
		"kind":               {"kind: yolox", "kind: yolo", []string{`postprocess.kind: "yolo" is not one of yolox`}},
		"yolov8 outputs":     {"kind: yolox, strides: [8,16,32]", "kind: yolov8", []string{"[8 16 32] makes 3549 boxes of this input, and the output has 85"}},
		"ssd outputs":        {"kind: yolox", "kind: ssd-decoded", []string{"outputs: ssd-decoded reads scores"}},
		"blazeface outputs":  {"kind: yolox", "kind: blazeface-anchors", []string{"postprocess: blazeface-anchors wants"}},
		"no score":           {"score: 0.3, ", "", []string{"postprocess.score: it is missing"}},
		"box inside out":     {"[133,207,326,542]", "[326,207,133,542]", []string{"selftest.expect[0].box: "}},
		"memory":             {"128MiB", "lots", []string{`"lots" is not a size`}},
		"deadline":           {"500ms", "500h", []string{"resources.deadline: 500h0m0s is not between"}},
		"batch of another":   {"resources:", "batching: {max: 100}\nresources:", []string{"batching.max: 100 is not from 2 to 64"}},
		"batch sizes":        {"resources:", "batching: {max: 8, preferred: [4, 4]}\nresources:", []string{"batching.preferred: [4 4] is no list", "like [4, 8]"}},
		"batch delay":        {"resources:", "batching: {delay: 1s}\nresources:", []string{"batching.delay: 1s is not from 0 to 100ms"}},
		"open and read":      {"[1,3549,85]", "[-1,6]", []string{"outputs[0].shape: yolox reads fixed dimensions, not [-1 6]", "kind: raw"}},
		"open in a batch":    {"[1,3549,85]}]", "[1,3549,85]}, {name: n, datatype: INT64, shape: [1,-1]}]\nbatching: {}", []string{"batching: the output n is as large as the data decide"}},
		"bound of none":      {"[1,3549,85]", "[1,3549,85], max_elements: 7", []string{"outputs[0].max_elements: [1 3549 85] has no dimension"}},
		"bound too large":    {"[1,3549,85]", "[-1,85], max_elements: 300000000", []string{"outputs[0].max_elements: 3e+08 is not from 0"}},
		"open below":         {"[1,3549,85]", "[-2,85]", []string{"outputs[0].shape: [-2 85] is no shape"}},
		"batch of outputs":   {"[1,3549,85]}]", "[1,3549,85]}, {name: n, datatype: FP32, shape: [3]}]\nbatching: {}", []string{"outputs[1].shape: [3] does not begin with 1"}},
		"alias":              {"labels: coco80.txt", "labels: &a coco80.txt", []string{"anchors and aliases are not taken"}},
		"two documents":      {"resources:", "---\nresources:", []string{"second YAML document"}},
		"line break in text": {"license: Apache-2.0", `license: "a\nb"`, []string{"license: \"a\\nb\" is not a text"}},
		"too long":           {"license: Apache-2.0", "license: " + strings.Repeat("x", conf.MaxSize), []string{"more than the 1048576 that are allowed"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(good, test.from, test.to, 1)
			if text == good {
				t.Fatal("the replacement changes nothing")
			}
			_, err := model.ParseManifest([]byte(text))
			if err == nil {
				t.Fatal("taken")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error is\n%v\nand lacks\n%s", err, want)
				}
			}
		})
	}
}

// TestBatching reads what a manifest says of runs of several requests.
func TestBatching(t *testing.T) {
	for text, want := range map[string]struct {
		sizes []int
		delay time.Duration
	}{
		"batching: {}": {[]int{8}, 0},
		"batching: {max: 16, preferred: [4, 8], delay: 500us}": {[]int{4, 8, 16}, 500 * time.Microsecond},
		"batching: {max: 8, preferred: [8]}":                   {[]int{8}, 0},
	} {
		m, err := model.ParseManifest([]byte(good + text + "\n"))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := m.Batching.Sizes(); !slices.Equal(got, want.sizes) || m.Batching.Delay.D() != want.delay {
			t.Errorf("%s: sizes %v after %v, want %v after %v", text, got, m.Batching.Delay, want.sizes, want.delay)
		}
	}
	fixed := `apiVersion: edge/v1
kind: Model
name: m
variants: [{engine: builtin, file: m.onnx, sha256: d388b1cf8a5f6f1af2b3f4c14f6d0f138bab970cd618cccd12dddb7484e82e51}]
inputs: [{name: x, datatype: FP32, shape: [4, 2]}]
outputs: [{name: y, datatype: FP32, shape: [4]}]
`
	if m, err := model.ParseManifest([]byte(fixed + "batching: {}")); err != nil || m.Batching.Max != 4 {
		t.Errorf("of shapes of 4: %+v, %v", m.Batching, err)
	}
	if _, err := model.ParseManifest([]byte(fixed + "batching: {max: 8}")); err == nil || !strings.Contains(err.Error(), "batching.max: the shapes have runs of 4") {
		t.Errorf("runs of 8 with shapes of 4: %v", err)
	}
}

func TestParseLabels(t *testing.T) {
	got, err := model.ParseLabels([]byte("cat\r\ndog\n\nbird\n"))
	if err != nil || strings.Join(got, "|") != "cat|dog||bird" {
		t.Errorf("ParseLabels = %q, %v", got, err)
	}
	for name, bad := range map[string]string{
		"empty": "\n", "a control character": "cat\x1b[2J\n", "a long line": strings.Repeat("x", 300), "too many": strings.Repeat("x\n", 1<<17),
	} {
		if _, err := model.ParseLabels([]byte(bad)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("postprocess: {kind: blazeface-anchors, strides: [8], anchors: [2]}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := model.ParseManifest(data)
		if err != nil {
			return
		}
		if !model.ValidName(m.Name) || len(m.Variants) == 0 || m.Postprocess == nil {
			t.Errorf("a manifest that does not hold together was taken: %+v", m)
		}
		for _, v := range m.Variants {
			if strings.ContainsAny(v.File, "/\\") || strings.HasPrefix(v.File, ".") {
				t.Errorf("file %q leads out of the package", v.File)
			}
		}
	})
}

func FuzzParseLabels(f *testing.F) {
	f.Add([]byte("cat\ndog\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		labels, err := model.ParseLabels(data)
		if err == nil && (len(labels) == 0 || len(strings.Join(labels, "\n")) > len(data)) {
			t.Errorf("%d labels out of %d bytes", len(labels), len(data))
		}
	})
}
