package models

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"primespark/agent/infer"
	"primespark/agent/infer/post"
	"primespark/shared/model"
	"primespark/shared/tensor"
)

// warm runs one inference on zeros, or on the samples of the manifest, so that the first
// request does not pay for what an engine does only once.
func (l *live) warm(ctx context.Context) error {
	in, err := blank(l.session.Inputs())
	if err != nil {
		return err
	}
	for _, t := range in {
		for _, want := range l.Inputs {
			if want.Name == t.Name && want.Sample != 0 {
				t.Fill(want.Sample)
			}
		}
	}
	out, err := blank(l.session.Outputs())
	if err != nil {
		return err
	}
	return l.session.Infer(ctx, in, out)
}

// selftest looks for the expected things on the package's own photo.
func (l *live) selftest(ctx context.Context) error {
	photo := tensor.FromBytes(imageName, l.photo)
	answer, err := l.infer(ctx, infer.Request{Inputs: []tensor.Tensor{photo}})
	if err != nil {
		return fmt.Errorf("selftest on %s: %w", l.Selftest.Image, err)
	}
	elements, err := answer.Outputs[0].Elements()
	if err != nil {
		return fmt.Errorf("selftest on %s: %w", l.Selftest.Image, err)
	}
	found := make([]post.Found, len(elements))
	for i, e := range elements {
		if err := json.Unmarshal(e, &found[i]); err != nil {
			return fmt.Errorf("selftest on %s: %w", l.Selftest.Image, err)
		}
	}
	for _, want := range l.Selftest.Expect {
		if !met(want, found) {
			return fmt.Errorf("selftest on %s: no %s with a score of %g or more%s; found %s",
				l.Selftest.Image, want.Label, want.MinScore, at(want.Box), told(found))
		}
	}
	return nil
}

func met(want model.Expect, found []post.Found) bool {
	for _, f := range found {
		if f.Label == want.Label && f.Score >= want.MinScore && (len(want.Box) == 0 || overlap(want.Box, f.Box) >= want.IOU) {
			return true
		}
	}
	return false
}

// overlap is the area that two boxes share, of the area that they cover; 0 if
// one is none.
func overlap(a, b []float64) float64 {
	if len(a) != 4 || len(b) != 4 {
		return 0
	}
	w := min(a[2], b[2]) - max(a[0], b[0])
	h := min(a[3], b[3]) - max(a[1], b[1])
	if w <= 0 || h <= 0 {
		return 0
	}
	shared := w * h
	return shared / ((a[2]-a[0])*(a[3]-a[1]) + (b[2]-b[0])*(b[3]-b[1]) - shared)
}

func at(box []float64) string {
	if len(box) == 0 {
		return ""
	}
	return fmt.Sprintf(" at %v", box)
}

// told lists the first few things that were found.
func told(found []post.Found) string {
	if len(found) == 0 {
		return "nothing"
	}
	var all []string
	for _, f := range found[:min(len(found), 3)] {
		all = append(all, fmt.Sprintf("%s %.2f%s", f.Label, f.Score, at(f.Box)))
	}
	return strings.Join(all, ", ")
}
