package model

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"primespark/shared/conf"
	"primespark/shared/tensor"
)

// ParseManifest reads a model.yaml of at most conf.MaxSize bytes. Its error
// names every fault in it: line and column, key, value and a good example.
func ParseManifest(data []byte) (Manifest, error) {
	m := Manifest{Version: "1"}
	f := conf.Decode(data, &m)
	if f.Err() == nil { // values are worth checking once they are all read
		m.fill()
		m.checkHead(f)
		m.checkVariants(f)
		m.checkTensors(f)
		m.checkImage(f)
		m.checkFiles(f)
	}
	if f.Err() == nil { // and how they fit each other once each is good
		m.checkPostprocess(f)
		m.checkSelftest(f)
		m.checkBatching(f)
	}
	if err := f.Err(); err != nil {
		return Manifest{}, fmt.Errorf("%s: %w", ManifestFile, err)
	}
	return m, nil
}

// fill sets the defaults of what stands in lists and optional parts.
func (m *Manifest) fill() {
	for i := range m.Variants {
		m.Variants[i].SHA256 = strings.ToLower(m.Variants[i].SHA256)
	}
	for i := range m.Inputs {
		in := &m.Inputs[i]
		if in.Layout == "" && len(in.Shape) == 4 {
			in.Layout = NCHW
			if c := in.Shape[3]; in.Shape[1] > 4 && (c == 1 || c == 3) {
				in.Layout = NHWC
			}
		}
	}
	if p := m.Preprocess; p != nil {
		p.Resize = either(p.Resize, Letterbox)
		p.Anchor = either(p.Anchor, Center)
		p.Filter = either(p.Filter, "bilinear")
		p.Color = either(p.Color, RGB)
		if len(p.Mean) == 0 {
			p.Mean = make([]float64, p.Color.Channels())
		}
		if len(p.Scale) == 0 {
			p.Scale = slices.Repeat([]float64{1}, p.Color.Channels())
		}
	}
	if m.Postprocess == nil {
		m.Postprocess = &Postprocess{Kind: Raw}
	}
	p := m.Postprocess
	p.NMS = either(p.NMS, PlainNMS)
	p.IOU = either(p.IOU, 0.45)
	p.Max = either(p.Max, 100)
	p.Top = either(p.Top, 5)
	if p.Kind == YOLOv8 && len(p.Strides) == 0 {
		p.Strides = []int{8, 16, 32}
	}
	if b := m.Batching; b != nil && b.Max == 0 {
		b.Max = 8
		if len(m.Inputs) > 0 && len(m.Inputs[0].Shape) > 0 && m.Inputs[0].Shape[0] > 1 {
			b.Max = m.Inputs[0].Shape[0]
		}
	}
	if m.Selftest != nil {
		for i := range m.Selftest.Expect {
			m.Selftest.Expect[i].IOU = either(m.Selftest.Expect[i].IOU, 0.5)
		}
	}
}

// either returns v, or what stands for it if v is the zero value.
func either[T comparable](v, instead T) T {
	var zero T
	if v == zero {
		return instead
	}
	return v
}

// Channels is how many channels an image of that color has.
func (c Color) Channels() int {
	if c == Gray {
		return 1
	}
	return 3
}

func (m *Manifest) checkHead(f *conf.File) {
	f.CheckOneOf("apiVersion", m.APIVersion, "edge/v1")
	f.CheckOneOf("kind", m.Kind, "Model")
	checkName(f, "name", m.Name, "yolox-nano")
	checkName(f, "version", m.Version, "1")
	checkText(f, "license", m.License)
	checkText(f, "task", m.Task)
	if size := m.Resources.Memory; size < 0 || size > 1<<40 {
		f.Bad("resources.memory", "%v is no room that a node has; give a size like 128MiB", size)
	}
	if f.Set("resources.deadline") {
		f.CheckEvery("resources.deadline", m.Resources.Deadline, minDeadline, maxDeadline)
	}
}

func (m *Manifest) checkVariants(f *conf.File) {
	if n := len(m.Variants); n == 0 || n > maxList {
		f.Bad("variants", "there are %d; give 1 to %d, like [{engine: builtin, file: m.onnx, sha256: ...}]", n, maxList)
		return
	}
	for i, v := range m.Variants {
		at := fmt.Sprintf("variants[%d]", i)
		checkName(f, at+".engine", v.Engine, "builtin")
		if v.Arch != "" {
			checkName(f, at+".arch", v.Arch, "hailo8")
		}
		checkFile(f, at+".file", v.File)
		checkSum(f, at+".sha256", v.SHA256)
	}
}

func (m *Manifest) checkTensors(f *conf.File) {
	if len(m.Inputs) > maxList || len(m.Outputs) > maxList {
		f.Bad("inputs", "there are %d, and %d outputs; give at most %d of each", len(m.Inputs), len(m.Outputs), maxList)
		return
	}
	seen := map[string]bool{}
	for i, in := range m.Inputs {
		at := fmt.Sprintf("inputs[%d]", i)
		checkTensor(f, at, in.Spec(), seen)
		checkRange(f, at+".sample", in.Sample, -1e12, 1e12, "16000")
		if in.Layout != "" {
			f.CheckOneOf(at+".layout", string(in.Layout), string(NCHW), string(NHWC))
		}
	}
	clear(seen)
	for i, out := range m.Outputs {
		m.checkOutput(f, fmt.Sprintf("outputs[%d]", i), out, seen)
	}
}

// checkOutput checks an output. What the data decide can be told, and not be looked into.
func (m *Manifest) checkOutput(f *conf.File, at string, out Output, seen map[string]bool) {
	s := out.Spec()
	if !s.Open() {
		if out.MaxElements != 0 {
			f.Bad(at+".max_elements", "%v has no dimension that the data decide; leave it out, or give -1 for one that they do", out.Shape)
		}
		checkTensor(f, at, s, seen)
		return
	}
	if m.Postprocess != nil && m.Postprocess.Kind != Raw {
		f.Bad(at+".shape", "%s reads fixed dimensions, not %v; give `kind: raw`", m.Postprocess.Kind, out.Shape)
	}
	if m.Batching != nil {
		f.Bad("batching", "the output %s is as large as the data decide, so a run of several cannot be taken apart; leave batching out", out.Name)
	}
	checkRange(f, at+".max_elements", float64(out.MaxElements), 0, tensor.MaxElements, "3000")
	s.Shape = slices.Clone(s.Shape)
	for i, d := range s.Shape {
		if d == -1 {
			s.Shape[i] = 1
		}
	}
	checkTensor(f, at, s, seen)
}

func checkTensor(f *conf.File, at string, s tensor.Spec, seen map[string]bool) {
	if s.Name == "" || seen[s.Name] {
		f.Bad(at+".name", "%q is empty or given twice; give each tensor a name of its own, like images", s.Name)
	}
	seen[s.Name] = true
	checkText(f, at+".name", s.Name)
	if !s.Type.Valid() || s.Type == tensor.Bytes {
		f.Bad(at+".datatype", "%q is no type of a model's tensor; give one like FP32 or UINT8", s.Type)
	}
	n, err := tensor.Count(s.Shape)
	if err != nil || n == 0 || len(s.Shape) == 0 || len(s.Shape) > 8 {
		f.Bad(at+".shape", "%v is no shape; give 1 to 8 fixed dimensions of at most %d elements together, like [1, 3, 416, 416]", s.Shape, tensor.MaxElements)
	}
}

func (m *Manifest) checkFiles(f *conf.File) {
	if m.Labels != "" {
		checkFile(f, "labels", m.Labels)
	}
	for name, sum := range m.Files {
		checkFile(f, "files", name)
		checkSum(f, "files", sum)
	}
}

var (
	plainFile = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	sum256    = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)
)

// checkFile wants the name of a file in the package: no folder and nothing
// hidden, so that no name leads out of it.
func checkFile(f *conf.File, key, name string) {
	if !plainFile.MatchString(name) {
		f.Bad(key, "%q is not the plain name of a file; give one that lies beside %s, like yolox_nano.onnx", clip(name), ManifestFile)
	}
}

func checkSum(f *conf.File, key, sum string) {
	if !sum256.MatchString(sum) {
		f.Bad(key, "%q is not the SHA-256 of a file; give the 64 hexadecimal digits that `sha256sum FILE` prints", clip(sum))
	}
}

func checkName(f *conf.File, key, name, example string) {
	if !ValidName(name) {
		f.Bad(key, "%q is no name; give 1 to 64 of a-z, 0-9, dot, underscore and hyphen, like %s", clip(name), example)
	}
}

// checkText wants a text that is safe in a log line and on a page.
func checkText(f *conf.File, key, s string) {
	if len(s) > maxText || strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) {
		f.Bad(key, "%q is not a text of at most %d printable characters; give one like Apache-2.0", clip(s), maxText)
	}
}

// clip shortens a value for a message.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}

// ParseLabels reads a label file: one name a line, at most 64 Ki of them.
func ParseLabels(data []byte) ([]string, error) {
	const most = 1 << 16
	lines := strings.Split(strings.TrimRight(string(data), "\r\n"), "\n")
	if len(lines) > most {
		return nil, fmt.Errorf("there are %d labels; at most %d are read", len(lines), most)
	}
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
		if len(line) > maxText || strings.ContainsFunc(lines[i], func(c rune) bool { return !unicode.IsPrint(c) }) {
			return nil, fmt.Errorf("line %d is not a name of at most %d printable characters", i+1, maxText)
		}
	}
	if len(lines) == 1 && lines[0] == "" {
		return nil, errors.New("there is no label; give one name a line")
	}
	return lines, nil
}
