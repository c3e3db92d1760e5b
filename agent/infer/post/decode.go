package post

import (
	"math"
	"slices"

	"primespark/shared/tensor"
)

// boxAndObject are the numbers before the classes in a row of YOLOX: the box's
// centre and size, and whether there is anything at all.
const boxAndObject = 5

// boxAndScore are the numbers of a box that a model has chosen itself.
const boxAndScore = 5

// yolox reads rows of centre, size, objectness and classes, for each cell of
// each grid (YOLOX, yolox/utils/demo_utils.py, demo_postprocess).
func (p *Processor) yolox(out tensor.Tensor) (boxes []box) {
	values, size := out.Float32s(), out.Shape[2]
	least := float32(p.how.Score)
	row := 0
	for _, stride := range p.how.Strides {
		across, down, s := p.width/stride, p.height/stride, float32(stride)
		for cell := range across * down {
			v := values[row*size:][:size]
			row++
			if !(v[4] >= least) { // no class can lift it above; false for NaN
				continue
			}
			class, score := strongest(v[boxAndObject:], nil)
			if score *= v[4]; !(score >= least) {
				continue
			}
			cx, cy := (v[0]+float32(cell%across))*s, (v[1]+float32(cell/across))*s
			w, h := exp(v[2])*s/2, exp(v[3])*s/2
			boxes = collect(boxes, box{x1: cx - w, y1: cy - h, x2: cx + w, y2: cy + h, score: score, class: class})
		}
	}
	return boxes
}

// boxOnly are the numbers before the classes in an output of YOLOv8.
const boxOnly = 4

// yolov8 reads a table whose columns are boxes: centre and size in pixels of the
// input, then the score of each class (Ultralytics, nn/modules/head.py, Detect).
// It goes through it row by row, as it lies in memory.
func (p *Processor) yolov8(out tensor.Tensor) (boxes []box) {
	values, n := out.Float32s(), out.Shape[2]
	scores := slices.Repeat([]float32{float32(math.Inf(-1))}, n)
	classes := make([]int, n)
	for class := range out.Shape[1] - boxOnly {
		for i, v := range values[(boxOnly+class)*n:][:n] {
			if v > scores[i] {
				scores[i], classes[i] = v, class
			}
		}
	}
	cx, cy, w, h := values[:n], values[n:2*n], values[2*n:3*n], values[3*n:4*n]
	for i, score := range scores {
		if score >= float32(p.how.Score) {
			boxes = collect(boxes, box{
				x1: cx[i] - w[i]/2, y1: cy[i] - h[i]/2, x2: cx[i] + w[i]/2, y2: cy[i] + h[i]/2, score: score, class: classes[i],
			})
		}
	}
	return boxes
}

// ssd reads scores for each class, and boxes as corners in parts of the input.
func (p *Processor) ssd(scores, corners tensor.Tensor) (boxes []box) {
	values, size, at := scores.Float32s(), scores.Shape[2], corners.Float32s()
	w, h := float32(p.width), float32(p.height)
	for row := range scores.Shape[1] {
		class, score := strongest(values[row*size:][:size], p.background)
		if !(score >= float32(p.how.Score)) {
			continue
		}
		c := at[4*row:][:4]
		boxes = collect(boxes, box{x1: c[0] * w, y1: c[1] * h, x2: c[2] * w, y2: c[3] * h, score: score, class: class})
	}
	return boxes
}

// strongest returns the class with the highest score, leaving out those that
// skip names.
func strongest(scores []float32, skip func(int) bool) (class int, score float32) {
	score = float32(math.Inf(-1))
	for i, v := range scores {
		if v > score && (skip == nil || !skip(i)) {
			class, score = i, v
		}
	}
	return class, score
}

// chosen reads the boxes that the model itself has chosen, class by class.
func (p *Processor) chosen(out tensor.Tensor) (boxes []box) {
	values := out.Float32s()
	most := (out.Shape[2] - 1) / boxAndScore
	w, h := float32(p.width), float32(p.height)
	for class := range out.Shape[1] {
		n := values[0]
		values = values[1:]
		if !(n >= 0 && n <= float32(most)) { // false for NaN: what follows cannot be told apart
			return boxes
		}
		for range int(n) {
			v := values[:boxAndScore]
			values = values[boxAndScore:]
			if v[4] >= float32(p.how.Score) {
				boxes = collect(boxes, box{x1: v[1] * w, y1: v[0] * h, x2: v[3] * w, y2: v[2] * h, score: v[4], class: class})
			}
		}
	}
	return boxes
}

// Each row of BlazeFace's boxes has the centre's distance from its anchor, the
// size, and six points as distances from the anchor, all in pixels of the input
// (MediaPipe, face_detection_front.pbtxt).
const (
	faceRow    = 16
	facePoints = 6
	// clipScore keeps the exponential of a score in range, as MediaPipe does.
	clipScore = 100
)

// blazeface reads a tensor of scores for each stride, then one of boxes for each.
// The anchors stand in the middle of each cell.
func (p *Processor) blazeface(out []tensor.Tensor) (boxes []box) {
	levels := len(p.how.Strides)
	least := float32(p.how.Score)
	for level, stride := range p.how.Strides {
		scores, rows := out[level].Float32s(), out[levels+level].Float32s()
		across, perCell := p.width/stride, p.how.Anchors[level]
		for i, raw := range scores {
			score := sigmoid(raw)
			if !(score >= least) {
				continue
			}
			cell := i / perCell
			ax := (float32(cell%across) + 0.5) * float32(stride)
			ay := (float32(cell/across) + 0.5) * float32(stride)
			boxes = collect(boxes, face(rows[faceRow*i:][:faceRow], ax, ay, score))
		}
	}
	return boxes
}

func face(row []float32, ax, ay, score float32) box {
	cx, cy, w, h := ax+row[0], ay+row[1], row[2]/2, row[3]/2
	points := make([][2]float32, facePoints)
	for i := range points {
		points[i] = [2]float32{ax + row[4+2*i], ay + row[5+2*i]}
	}
	return box{x1: cx - w, y1: cy - h, x2: cx + w, y2: cy + h, score: score, points: points}
}

func sigmoid(v float32) float32 {
	return 1 / (1 + exp(-min(max(v, -clipScore), clipScore)))
}

func exp(v float32) float32 { return float32(math.Exp(float64(v))) }
