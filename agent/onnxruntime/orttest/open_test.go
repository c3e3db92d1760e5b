package orttest_test

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"primespark/agent/onnxruntime/orttest"
	"primespark/shared/worker/frame"
	"primespark/shared/worker/nativetest"
)

// ask runs the model in slot 0 on an input whose first numbers are 1, and returns the
// shapes that are told, and how many of the bytes at the outputs were written to.
func (l loaded) ask(t testing.TB, ones int) (shapes [][]int, written int, err error) {
	t.Helper()
	const mark = 0xee
	in, out := l.plan.Slot(0)
	arena := l.arena.Bytes()
	clear(arena[in:out])
	for i := range arena[out:] {
		arena[int(out)+i] = mark
	}
	for i := range ones {
		binary.LittleEndian.PutUint32(arena[int(in)+4*i:], math.Float32bits(1))
	}
	m, err := l.Call(t.Context(), frame.Message{Header: frame.Header{Type: frame.Infer, Model: l.id, A: uint64(in), B: uint64(out)}}, nil)
	for _, b := range arena[out:] {
		if b != mark {
			written++
		}
	}
	if err != nil {
		return nil, written, err
	}
	shapes, err = l.reply.Shapes(m)
	return shapes, written, err
}

// seeker is a model that gives 3 numbers for each of its 40 inputs that is above 0, one
// for all, and one for each row of its input.
func seeker(rows int) []byte {
	return orttest.Model([]orttest.Port{{Name: "x", Type: 1, Dims: []int{rows, 40}}},
		[]orttest.Port{{Name: "found", Type: 1, Dims: []int{-2, 3}}, {Name: "all", Type: 1}, {Name: "rows", Type: 1, Dims: []int{-1}}})
}

// TestOpen runs a model whose data decide how much comes out.
func TestOpen(t *testing.T) {
	t.Parallel()
	p := orttest.Double(t, nativetest.Sanitize...).Start(t)
	l := load(t, p, seeker(-1), frame.Shape{Name: "x", Dims: []int{2, 40}})
	if out := l.reply.Outputs; !slices.Equal(out[0].Shape, []int{-1, 3}) || out[0].Bytes != 4<<20 || !slices.Equal(out[1].Shape, []int{1}) || !slices.Equal(out[2].Shape, []int{2}) {
		t.Errorf("the outputs are %+v", out)
	}
	for _, ones := range []int{0, 1, 7, 40, 0} {
		shapes, written, err := l.ask(t, ones)
		if err != nil || !slices.Equal(shapes[0], []int{ones, 3}) || !slices.Equal(shapes[1], []int{1}) || !slices.Equal(shapes[2], []int{2}) || written != 4*(3*ones+1+2) {
			t.Errorf("of %d there are %v, %d bytes written, %v", ones, shapes, written, err)
		}
	}
	bounded := request()
	bounded.Outputs = []frame.Output{{Name: "found", Most: 30, Open: []bool{true}}, {Name: "no such output", Open: []bool{true}}}
	l = give(t, p, seeker(1), bounded)
	if got := l.reply.Outputs[0].Bytes; got != 120 {
		t.Errorf("there is room for %d bytes, want that of 30 numbers", got)
	}
	if shapes, _, err := l.ask(t, 10); err != nil || shapes[0][0] != 10 {
		t.Errorf("as many as there is room for: %v, %v", shapes, err)
	}
	if _, written, err := l.ask(t, 11); status(err) != frame.TooLarge || !strings.Contains(err.Error(), "found has 33 elements, and there is room for 30") || written > 4*2 {
		t.Errorf("one more: %v, %d bytes written", err, written)
	}
	if _, _, err := l.ask(t, 1); err != nil {
		t.Errorf("after it: %v", err)
	}
	if err := errors.Join(p.Ask(t.Context(), frame.Bye, nil), p.Wait()); err != nil || strings.Contains(p.Stderr.String(), "Sanitizer") {
		t.Errorf("%v\n%s", err, p.Stderr)
	}
}

// TestOpenRefused is what the worker does not take of a request.
func TestOpenRefused(t *testing.T) {
	t.Parallel()
	p := orttest.Double(t, nativetest.Sanitize...).Start(t)
	for _, lines := range []string{"output 1 1", "output 1 256 x", "output -1 1 x", "output 2000000000 1 x", "output x", "output 1 1 "} {
		payload := []byte("name x\ndepth 1\ntimeout_ms 1\n" + lines + "\n")
		if _, err := p.Call(t.Context(), frame.Message{Header: frame.Header{Type: frame.Load}, Payload: payload}, nil); status(err) != frame.Malformed || !strings.Contains(err.Error(), "output") {
			t.Errorf("%q: %v", lines, err)
		}
	}
	r := request()
	r.Outputs = []frame.Output{{Name: "found", Most: frame.MaxArena, Open: []bool{true}}}
	if _, _, err := p.Load(t.Context(), r, nativetest.File(t, seeker(1))); status(err) != frame.Unsupported {
		t.Errorf("more than an arena: %v", err)
	}
	r.Outputs = []frame.Output{{Name: "rows", Most: 1, Open: []bool{true}}}
	r.Shapes = []frame.Shape{{Name: "x", Dims: []int{2, 40}}}
	if _, _, err := p.Load(t.Context(), r, nativetest.File(t, seeker(-1))); status(err) != frame.TooLarge {
		t.Errorf("less than the trial gave: %v", err)
	}
}
