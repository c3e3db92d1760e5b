package models

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"primespark/agent/infer/image"
	"primespark/agent/infer/post"
	"primespark/shared/model"
	"primespark/shared/tensor"
)

// proof is how long the first inference and the selftest may take together; what takes
// longer is of no use to anyone who waits for an answer.
const proof = time.Minute

// prove checks that the session is what the manifest says, and that it works.
func (l *live) prove(ctx context.Context) error {
	if err := l.match(l.session.Inputs(), l.session.Outputs()); err != nil {
		return err
	}
	if l.Preprocess != nil {
		l.converter = image.NewConverter(l.Manifest)
	}
	l.classes = byIndex(l.labels, l.Postprocess.Offset)
	if l.Postprocess.Kind != model.Raw {
		var err error
		if l.processor, err = post.New(l.Manifest, l.labels); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, proof)
	defer cancel()
	if err := l.warm(ctx); err != nil {
		return fmt.Errorf("first inference: %w", err)
	}
	if l.Selftest == nil {
		return nil
	}
	return l.selftest(ctx)
}

// byIndex returns the labels by the index of the class, whose label is so many
// lines further on in the file; where that is before the first line, it has none.
func byIndex(labels []string, offset int) []string {
	if len(labels) == 0 {
		return nil
	}
	if offset < 0 {
		return append(make([]string, -offset), labels...)
	}
	return labels[min(offset, len(labels)):]
}

// match compares the session's tensors with the manifest's, where it has some,
// and finds the order of its outputs.
func (l *live) match(in, out []tensor.Spec) error {
	if len(l.Inputs) > 0 {
		if _, err := pair("input", shapes(l.Inputs), in); err != nil {
			return err
		}
	}
	if len(l.Outputs) == 0 {
		return nil
	}
	wanted := make([]tensor.Spec, len(l.Outputs))
	for i, w := range l.Outputs {
		wanted[i] = w.Spec()
	}
	var err error
	l.order, err = pair("output", wanted, out)
	return err
}

// pair finds each wanted tensor among those there are.
func pair(what string, wanted, have []tensor.Spec) ([]int, error) {
	names := make([]string, len(have))
	for i, h := range have {
		names[i] = h.Name
	}
	if len(wanted) != len(have) {
		return nil, fmt.Errorf("the manifest has %d %ss and the model %d: %s", len(wanted), what, len(have), strings.Join(names, ", "))
	}
	order := make([]int, len(wanted))
	for i, w := range wanted {
		order[i] = slices.Index(names, w.Name)
		if order[i] < 0 {
			return nil, fmt.Errorf("the model has no %s %q; it has %s", what, w.Name, strings.Join(names, ", "))
		}
		if h := have[order[i]]; h.Type != w.Type || !slices.EqualFunc(h.Shape, w.Shape, func(h, w int) bool { return w == h || w == -1 }) {
			return nil, fmt.Errorf("%s %q is %s %v in the manifest and %s %v in the model", what, w.Name, w.Type, w.Shape, h.Type, h.Shape)
		}
	}
	return order, nil
}
