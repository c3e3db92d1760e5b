package model

import (
	"fmt"
	"time"

	"primespark/shared/conf"
	"primespark/shared/tensor"
)

// Bounds of what a manifest may say.
const (
	maxList     = 64      // variants, inputs, outputs, expectations
	maxText     = 256     // bytes of a text
	maxSide     = 4096    // pixels of an image input
	maxBoxes    = 1 << 20 // rows of boxes that a postprocess reads
	minDeadline = time.Millisecond
	maxDeadline = time.Hour
	maxBatch    = 64 // inferences of a run
	maxDelay    = 100 * time.Millisecond
)

// checkImage checks preprocess, and that one input can take an image.
func (m *Manifest) checkImage(f *conf.File) {
	p := m.Preprocess
	if p == nil {
		return
	}
	f.CheckOneOf("preprocess.resize", string(p.Resize), string(Letterbox), string(Stretch), string(Crop))
	f.CheckOneOf("preprocess.anchor", string(p.Anchor), string(TopLeft), string(Center))
	f.CheckOneOf("preprocess.filter", p.Filter, "bilinear")
	f.CheckOneOf("preprocess.color", string(p.Color), string(RGB), string(BGR), string(Gray))
	checkRange(f, "preprocess.pad", p.Pad, 0, 255, "114")
	checkChannels(f, "preprocess.mean", p.Mean, p.Color, "127.5")
	checkChannels(f, "preprocess.scale", p.Scale, p.Color, "0.0078125")
	if len(m.Inputs) != 1 || len(m.Inputs[0].Shape) != 4 {
		f.Bad("preprocess", "an image needs exactly one input of four dimensions; give inputs like [{name: images, datatype: FP32, shape: [1, 3, 416, 416]}]")
		return
	}
	in := m.Inputs[0]
	w, h, c := in.Size()
	if in.Shape[0] != 1 || c != p.Color.Channels() || w > maxSide || h > maxSide {
		f.Bad("inputs[0].shape", "%v does not hold one %s image in layout %s of at most %d × %d pixels; give a shape like [1, %d, 416, 416], or another color or layout",
			in.Shape, p.Color, in.Layout, maxSide, maxSide, p.Color.Channels())
	}
	if in.Type != tensor.Float32 && in.Type != tensor.Uint8 {
		f.Bad("inputs[0].datatype", "%q cannot be made of an image; give FP32 or UINT8", in.Type)
	}
}

func checkChannels(f *conf.File, key string, v []float64, c Color, example string) {
	if len(v) != c.Channels() {
		f.Bad(key, "%v has %d numbers for %d channels; give one for each, like %s", v, len(v), c.Channels(), example)
	}
	for _, x := range v {
		checkRange(f, key, x, -1e6, 1e6, example)
	}
}

func checkRange(f *conf.File, key string, v, least, most float64, example string) {
	if !(v >= least && v <= most) { // false for NaN too
		f.Bad(key, "%v is not from %g to %g; give a number like %s", v, least, most, example)
	}
}

// checkPostprocess checks the numbers, and that the outputs are those that the
// kind reads.
func (m *Manifest) checkPostprocess(f *conf.File) {
	p := m.Postprocess
	f.CheckOneOf("postprocess.kind", string(p.Kind), string(YOLOX), string(YOLOv8), string(Classification), string(SSDDecoded), string(BlazeFace), string(NMSInModel), string(Raw))
	f.CheckOneOf("postprocess.nms", string(p.NMS), string(PlainNMS), string(WeightedNMS))
	checkRange(f, "postprocess.score", p.Score, 0, 1, "0.3")
	checkRange(f, "postprocess.iou", p.IOU, 0, 1, "0.45")
	checkRange(f, "postprocess.max", float64(p.Max), 1, 1000, "100")
	checkRange(f, "postprocess.top", float64(p.Top), 1, 1000, "5")
	checkRange(f, "postprocess.offset", float64(p.Offset), -1000, 1000, "1")
	for _, s := range p.Strides {
		checkRange(f, "postprocess.strides", float64(s), 1, maxSide, "[8, 16, 32]")
	}
	for _, n := range p.Anchors {
		checkRange(f, "postprocess.anchors", float64(n), 1, 64, "[2, 6]")
	}
	if len(p.Strides) > 8 {
		f.Bad("postprocess.strides", "there are %d; give at most 8, like [8, 16, 32]", len(p.Strides))
	}
	if p.Kind == Raw || f.Err() != nil {
		return
	}
	for i, out := range m.Outputs {
		if out.Type != tensor.Float32 {
			f.Bad(fmt.Sprintf("outputs[%d].datatype", i), "%s reads FP32, not %s; give `kind: raw`", p.Kind, out.Type)
		}
	}
	if p.Kind == Classification {
		if len(m.Outputs) != 1 {
			f.Bad("outputs", "classification reads one tensor of scores, and there are %d", len(m.Outputs))
		}
		return
	}
	if m.Preprocess == nil {
		f.Bad("postprocess.kind", "%s tells boxes in pixels of an image; give preprocess too, or `kind: raw`", p.Kind)
		return
	}
	if p.Score <= 0 {
		f.Bad("postprocess.score", "it is missing; give the least score of a detection, like 0.3")
	}
	m.checkBoxes(f)
}

func (m *Manifest) checkBoxes(f *conf.File) {
	p := m.Postprocess
	dim := func(output, i int) int { // 0 where there is none
		if output >= len(m.Outputs) || len(m.Outputs[output].Shape) != 3 || m.Outputs[output].Shape[0] != 1 {
			return 0
		}
		return m.Outputs[output].Shape[i]
	}
	for i := range m.Outputs {
		if dim(i, 1) > maxBoxes || p.Kind == YOLOv8 && dim(i, 2) > maxBoxes {
			f.Bad("outputs", "%v has more than %d rows of boxes; give `kind: raw`", m.Outputs[i].Shape, maxBoxes)
		}
	}
	switch p.Kind {
	case YOLOX:
		if len(m.Outputs) != 1 || dim(0, 2) < 6 {
			f.Bad("outputs", "yolox reads one tensor like [1, 3549, 85]")
			return
		}
		m.checkStrides(f, "rows", dim(0, 1))
	case YOLOv8:
		if len(m.Outputs) != 1 || dim(0, 1) < 5 || dim(0, 2) < 1 {
			f.Bad("outputs", "yolov8 reads one tensor like [1, 84, 8400]: for each of four numbers and 80 classes a row of all boxes")
			return
		}
		m.checkStrides(f, "boxes", dim(0, 2))
	case SSDDecoded:
		if len(m.Outputs) != 2 || dim(0, 2) < 1 || dim(1, 2) != 4 || dim(0, 1) != dim(1, 1) {
			f.Bad("outputs", "ssd-decoded reads scores like [1, 4420, 2], then boxes like [1, 4420, 4], in this order")
		}
	case NMSInModel:
		if len(m.Outputs) != 1 || dim(0, 1) < 1 || dim(0, 2) < 6 || dim(0, 2)%5 != 1 {
			f.Bad("outputs", "nms-in-model reads one tensor like [1, 80, 501]: classes, and for each a count and five numbers a box")
		}
	case BlazeFace:
		levels := len(p.Strides)
		if levels == 0 || len(p.Anchors) != levels || len(m.Outputs) != 2*levels {
			f.Bad("postprocess", "blazeface-anchors wants as many anchors as strides, and for each an output of scores, then for each one of boxes; give `strides: [8, 16], anchors: [2, 6]`")
			return
		}
		for i, s := range p.Strides {
			n := m.Cells(s) * p.Anchors[i]
			if dim(i, 1) != n || dim(i, 2) != 1 || dim(levels+i, 1) != n || dim(levels+i, 2) != 16 {
				f.Bad("outputs", "stride %d with %d anchors wants scores [1, %d, 1] and boxes [1, %d, 16]; %q and %q are %v and %v",
					s, p.Anchors[i], n, n, m.Outputs[i].Name, m.Outputs[levels+i].Name, m.Outputs[i].Shape, m.Outputs[levels+i].Shape)
			}
		}
	}
}

// checkStrides wants an output with one row, or box, for each cell.
func (m *Manifest) checkStrides(f *conf.File, what string, have int) {
	cells := 0
	for _, s := range m.Postprocess.Strides {
		cells += m.Cells(s)
	}
	if cells != have {
		f.Bad("postprocess.strides", "%v makes %d %s of this input, and the output has %d; give the model's strides, like [8, 16, 32]", m.Postprocess.Strides, cells, what, have)
	}
}

// Cells is how many cells of that many pixels a side the image input has.
func (m *Manifest) Cells(stride int) int {
	w, h, _ := m.Inputs[0].Size()
	return (w / stride) * (h / stride)
}

func (m *Manifest) checkSelftest(f *conf.File) {
	s := m.Selftest
	if s == nil {
		return
	}
	if m.Preprocess == nil || m.Postprocess.Kind == Raw {
		f.Bad("selftest", "it needs preprocess, and a postprocess that finds things; give those or leave it out")
	}
	checkFile(f, "selftest.image", s.Image)
	if n := len(s.Expect); n == 0 || n > maxList {
		f.Bad("selftest.expect", "there are %d; give 1 to %d, like [{label: dog, min_score: 0.5}]", n, maxList)
	}
	for i, e := range s.Expect {
		at := fmt.Sprintf("selftest.expect[%d]", i)
		if e.Label == "" {
			f.Bad(at+".label", "it is missing; give a name of the label file, like dog")
		}
		checkText(f, at+".label", e.Label)
		checkRange(f, at+".min_score", e.MinScore, 0, 1, "0.5")
		checkRange(f, at+".iou", e.IOU, 0, 1, "0.5")
		if b := e.Box; len(b) != 0 && (len(b) != 4 || !(b[0] < b[2] && b[1] < b[3])) {
			f.Bad(at+".box", "%v is no box; give left, top, right, bottom in pixels, like [133, 207, 326, 542]", b)
		}
	}
}

// checkBatching wants tensors that all have the same first dimension, and sizes of runs
// that are larger.
func (m *Manifest) checkBatching(f *conf.File) {
	b := m.Batching
	if b == nil {
		return
	}
	if len(m.Inputs) == 0 || len(m.Outputs) == 0 {
		f.Bad("batching", "it splits tensors by their first dimension; give inputs and outputs with their shapes, like [1, 3, 416, 416]")
		return
	}
	first := m.Inputs[0].Shape[0]
	for i, in := range m.Inputs {
		if in.Shape[0] != first {
			f.Bad(fmt.Sprintf("inputs[%d].shape", i), "%v does not begin with %d as the first input does; batching splits all by it", in.Shape, first)
		}
	}
	for i, out := range m.Outputs {
		if out.Shape[0] != first {
			f.Bad(fmt.Sprintf("outputs[%d].shape", i), "%v does not begin with %d as the inputs do; batching splits all by it", out.Shape, first)
		}
	}
	switch {
	case b.Max < 2 || b.Max > maxBatch:
		f.Bad("batching.max", "%d is not from 2 to %d; give a number like 8", b.Max, maxBatch)
	case first > 1 && (b.Max != first || len(b.Preferred) > 0):
		f.Bad("batching.max", "the shapes have runs of %d, and no others; leave max and preferred out, or give shapes that begin with 1", first)
	}
	last := 1
	for _, n := range b.Preferred {
		if n <= last || n > b.Max || len(b.Preferred) > 8 {
			f.Bad("batching.preferred", "%v is no list of at most 8 growing sizes from 2 to %d; give one like [4, 8]", b.Preferred, b.Max)
			break
		}
		last = n
	}
	if f.Set("batching.delay") && (b.Delay < 0 || b.Delay.D() > maxDelay) {
		f.Bad("batching.delay", "%v is not from 0 to %v; give a time like 2ms", b.Delay, maxDelay)
	}
}
