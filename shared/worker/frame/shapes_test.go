package frame_test

import (
	"slices"
	"strings"
	"testing"

	"primespark/shared/tensor"
	"primespark/shared/worker/frame"
)

// finder is a model that gives up to 16 rows of 6 numbers, and how many they are.
func finder() frame.LoadReply {
	return frame.LoadReply{Outputs: []frame.Tensor{
		{Name: "boxes", Type: tensor.Float32, Shape: []int{-1, 6}, Bytes: 16 * 6 * 4},
		{Name: "number", Type: tensor.Int64, Shape: []int{1}, Bytes: 8},
	}}
}

// TestShapes believes a worker only what there is room for.
func TestShapes(t *testing.T) {
	if !finder().Open() || loaded().Open() {
		t.Error("which model is open is not seen")
	}
	for told, want := range map[string]string{
		`{"shapes":[[16,6],[1]]}`:                           "",
		`{"shapes":[[0,6],[1]]}`:                            "",
		`{"shapes":[[17,6],[1]]}`:                           `"boxes" has shape [17 6], want [-1 6] of at most 384 bytes`,
		`{"shapes":[[-1,6],[1]]}`:                           "has shape [-1 6]",
		`{"shapes":[[96,1],[1]]}`:                           "has shape [96 1]",
		`{"shapes":[[6],[1]]}`:                              "has shape [6]",
		`{"shapes":[[1,6],[2]]}`:                            `"number" has shape [2]`,
		`{"shapes":[[9223372036854775807,6],[1]]}`:          "has shape [9223372036854775807 6]",
		`{"shapes":[[3074457345618258603,6],[1]]}`:          "has shape [3074457345618258603 6]", // times 24 it wraps around
		`{"shapes":[[9223372036854775808,6],[1]]}`:          "cannot unmarshal",
		`{"shapes":[[1,6]]}`:                                "1 shapes of 2 outputs",
		`{"shapes":[` + strings.Repeat("[1],", 9) + `[1]]}`: "10 shapes of 2 outputs",
		`{}`:   "0 shapes",
		``:     "unexpected end",
		`null`: "0 shapes",
	} {
		_, err := finder().Shapes(frame.Message{Header: frame.Header{Type: frame.Infer}, Payload: []byte(told)})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", told, err, want)
		}
	}
}

func FuzzShapes(f *testing.F) {
	f.Add([]byte(`{"shapes":[[16,6],[1]]}`))
	f.Add([]byte(`{"shapes":[[3074457345618258603,6],[1]]}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		shapes, err := finder().Shapes(frame.Message{Payload: payload})
		if err != nil {
			return
		}
		if rows := shapes[0][0]; rows < 0 || rows > 16 || shapes[0][1] != 6 || !slices.Equal(shapes[1], []int{1}) {
			t.Errorf("%q is believed: %v", payload, shapes)
		}
	})
}
