package post

import (
	"cmp"
	"math"
	"slices"
)

// A box is a candidate, in pixels of the model's input.
type box struct {
	x1, y1, x2, y2 float32
	score          float32
	class          int
	points         [][2]float32 // of faces
}

// A heap of candidates would be finer; a model in order has a few dozen, and one
// that is not must only not cost much.
const (
	keep = 1024     // candidates that are compared with each other
	pile = 4 * keep // candidates that are collected before the worst are dropped
)

// collect adds b to boxes if it makes sense, and drops the worst when there are
// too many.
func collect(boxes []box, b box) []box {
	if !(b.x1 < b.x2 && b.y1 < b.y2) || !finite(b.x1, b.y1, b.x2, b.y2, b.score) {
		return boxes
	}
	for _, p := range b.points {
		if !finite(p[0], p[1]) {
			return boxes
		}
	}
	boxes = append(boxes, b)
	if len(boxes) >= pile {
		boxes = best(boxes, keep)
	}
	return boxes
}

// finite reports whether all of v are numbers that can be reckoned with: an
// area made of them does not overflow.
func finite(v ...float32) bool {
	for _, x := range v {
		if !(math.Abs(float64(x)) < 1e9) {
			return false
		}
	}
	return true
}

// best sorts boxes by score and cuts them to n.
func best(boxes []box, n int) []box {
	slices.SortStableFunc(boxes, func(a, b box) int { return cmp.Compare(b.score, a.score) })
	return boxes[:min(n, len(boxes))]
}

// overlap is the area that a and b share, of the area that they cover together.
func overlap(a, b box) float32 {
	w := min(a.x2, b.x2) - max(a.x1, b.x1)
	h := min(a.y2, b.y2) - max(a.y1, b.y1)
	if w <= 0 || h <= 0 {
		return 0
	}
	shared := w * h
	return shared / ((a.x2-a.x1)*(a.y2-a.y1) + (b.x2-b.x1)*(b.y2-b.y1) - shared)
}

// suppress takes boxes of one class that overlap by more than limit as one: the
// best of them, or with weighted their mean by score. At most n are returned,
// best first.
func suppress(boxes []box, limit float32, weighted bool, n int) []box {
	rest := best(boxes, keep)
	kept := make([]box, 0, min(n, len(rest)))
	for len(rest) > 0 && len(kept) < n {
		top := rest[0]
		var others []box
		same := []box{}
		for _, b := range rest[1:] {
			if b.class == top.class && overlap(top, b) > limit {
				same = append(same, b)
			} else {
				others = append(others, b)
			}
		}
		if weighted {
			top = mean(top, same)
		}
		kept = append(kept, top)
		rest = others
	}
	return kept
}

// mean is the mean of boxes weighted by score, with the score of the first.
func mean(first box, others []box) box {
	m := box{score: first.score, class: first.class, points: make([][2]float32, len(first.points))}
	sum := float32(0)
	add := func(b box) {
		sum += b.score
		m.x1 += b.score * b.x1
		m.y1 += b.score * b.y1
		m.x2 += b.score * b.x2
		m.y2 += b.score * b.y2
		for i, p := range b.points {
			m.points[i][0] += b.score * p[0]
			m.points[i][1] += b.score * p[1]
		}
	}
	add(first)
	for _, b := range others {
		add(b)
	}
	m.x1, m.y1, m.x2, m.y2 = m.x1/sum, m.y1/sum, m.x2/sum, m.y2/sum
	for i := range m.points {
		m.points[i][0] /= sum
		m.points[i][1] /= sum
	}
	return m
}
