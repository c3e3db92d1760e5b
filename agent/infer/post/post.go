// Package post turns the tensors that come out of a model into what a person
// wants to know: which things are where on the image, or what class it is of.
//
// The tensors may hold anything, NaN and infinities too, since an engine can be
// broken; what makes no sense is left out, and the work is bounded.
package post

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"

	"primespark/agent/infer/image"
	"primespark/shared/model"
	"primespark/shared/tensor"
)

// A Found is one thing that a model found, or one class that it gives.
type Found struct {
	Label     string       `json:"label"`
	Score     float64      `json:"score"`               // 0 to 1, to four digits
	Box       []float64    `json:"box,omitempty"`       // x1, y1, x2, y2 in pixels of the image as displayed, to a tenth
	Keypoints [][2]float64 `json:"keypoints,omitempty"` // in the same pixels; for a face both eyes, nose, mouth and both ears
}

// Names of the output tensors.
const (
	Detections = "detections"
	Classes    = "classes"
)

// A Processor does the last step of one model. It is safe to share.
type Processor struct {
	how           model.Postprocess
	labels        []string
	width, height int // of the input, in pixels; 0 for models without images
}

// New returns the processor for a manifest of any kind but raw. Labels that do
// not cover all classes are refused.
func New(m model.Manifest, labels []string) (*Processor, error) {
	p := &Processor{how: *m.Postprocess, labels: labels}
	if m.Preprocess != nil {
		p.width, p.height, _ = m.Inputs[0].Size()
	}
	if n := p.classes(m.Outputs); len(labels) > 0 && n+p.how.Offset > len(labels) {
		return nil, fmt.Errorf("%d classes with offset %d need %d labels, and %s has %d",
			n, p.how.Offset, n+p.how.Offset, m.Labels, len(labels))
	}
	return p, nil
}

// classes counts the classes that the outputs tell apart.
func (p *Processor) classes(outputs []model.Output) int {
	last := outputs[0].Shape[len(outputs[0].Shape)-1]
	switch p.how.Kind {
	case model.YOLOX:
		return last - boxAndObject
	case model.YOLOv8:
		return outputs[0].Shape[1] - boxOnly
	case model.BlazeFace:
		return 1
	case model.NMSInModel:
		return outputs[0].Shape[1]
	case model.Classification:
		n, _ := tensor.Count(outputs[0].Shape) // the manifest was checked
		return n
	}
	return last
}

// Output is the name of the tensor that the answer is in.
func (p *Processor) Output() string { return Output(p.how.Kind) }

// Output is the name of the tensor that the answer of a kind is in; empty if the
// model's own tensors are the answer.
func Output(kind model.Kind) string {
	switch kind {
	case model.Raw:
		return ""
	case model.Classification:
		return Classes
	}
	return Detections
}

// Find reads the outputs, in the manifest's order and as it describes them, and
// returns what is in them, best first. Fit says where the image stands in the
// input.
func (p *Processor) Find(out []tensor.Tensor, fit image.Fit) []Found {
	switch p.how.Kind {
	case model.Classification:
		return p.classify(out[0].Float32s())
	case model.YOLOX:
		return p.found(p.yolox(out[0]), fit)
	case model.YOLOv8:
		return p.found(p.yolov8(out[0]), fit)
	case model.SSDDecoded:
		return p.found(p.ssd(out[0], out[1]), fit)
	case model.BlazeFace:
		return p.found(p.blazeface(out), fit)
	case model.NMSInModel:
		return p.told(best(p.chosen(out[0]), p.how.Max), fit)
	}
	return nil
}

// found keeps one of the boxes that overlap.
func (p *Processor) found(boxes []box, fit image.Fit) []Found {
	return p.told(suppress(boxes, float32(p.how.IOU), p.how.NMS == model.WeightedNMS, p.how.Max), fit)
}

// told is the boxes in pixels of the image. Those beside the image are left out.
func (p *Processor) told(boxes []box, fit image.Fit) []Found {
	all := make([]Found, 0, len(boxes))
	for _, b := range boxes {
		corners := fit.Box(float64(b.x1), float64(b.y1), float64(b.x2), float64(b.y2))
		if corners[0] >= corners[2] || corners[1] >= corners[3] {
			continue
		}
		for i := range corners {
			corners[i] = to(10, corners[i])
		}
		f := Found{Label: p.label(b.class), Score: to(1e4, float64(b.score)), Box: corners[:]}
		for i := range b.points {
			x, y := fit.Point(float64(b.points[i][0]), float64(b.points[i][1]))
			f.Keypoints = append(f.Keypoints, [2]float64{to(10, x), to(10, y)})
		}
		all = append(all, f)
	}
	return all
}

// classify ranks the classes.
func (p *Processor) classify(scores []float32) []Found {
	type class struct {
		number int
		score  float64
	}
	var ranked []class
	shift, sum := 0.0, 1.0
	if p.how.Softmax {
		shift, sum = normal(scores)
	}
	for i, v := range scores {
		s := float64(v)
		if p.how.Softmax {
			s = math.Exp(s-shift) / sum
		}
		if s >= p.how.Score && s <= math.MaxFloat32 && i+p.how.Offset >= 0 { // false for NaN
			ranked = append(ranked, class{i, s})
		}
	}
	slices.SortStableFunc(ranked, func(a, b class) int { return cmp.Compare(b.score, a.score) })
	all := make([]Found, 0, p.how.Top)
	for _, c := range ranked[:min(len(ranked), p.how.Top)] {
		all = append(all, Found{Label: p.label(c.number), Score: to(1e4, c.score)})
	}
	return all
}

// normal returns the largest of the logits and the sum of their exponentials
// with that taken off, which cannot overflow.
func normal(logits []float32) (largest, sum float64) {
	largest = math.Inf(-1)
	for _, v := range logits {
		if f := float64(v); f > largest && !math.IsInf(f, 1) {
			largest = f
		}
	}
	for _, v := range logits {
		if e := math.Exp(float64(v) - largest); e <= 1 { // neither NaN nor infinite
			sum += e
		}
	}
	return largest, sum
}

// background reports whether a class stands for nothing in particular.
func (p *Processor) background(class int) bool { return class+p.how.Offset < 0 }

func (p *Processor) label(class int) string {
	if i := class + p.how.Offset; i >= 0 && i < len(p.labels) && p.labels[i] != "" {
		return p.labels[i]
	}
	return "class " + strconv.Itoa(class)
}

// to rounds v to a fraction of one.
func to(parts, v float64) float64 { return math.Round(v*parts) / parts }

// Tensor writes what was found as a BYTES tensor of that name, one JSON object
// per element.
func Tensor(name string, found []Found) (tensor.Tensor, error) {
	elements := make([][]byte, len(found))
	for i, f := range found {
		e, err := json.Marshal(f)
		if err != nil {
			return tensor.Tensor{}, fmt.Errorf("write %s: %w", name, err)
		}
		elements[i] = e
	}
	return tensor.FromBytes(name, elements...), nil
}
