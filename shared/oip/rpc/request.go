package rpc

import (
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"primespark/shared/oip"
	"primespark/shared/problem"
	"primespark/shared/tensor"
)

// Bounds of what a request may have beside its tensors' data.
const (
	maxHead    = 1 << 20 // bytes
	maxTensors = 1024
	maxRank    = 32
	maxParams  = 4096
)

// An inference is a ModelInferRequest.
type inference struct {
	model, version string
	request        oip.Request
	typed          bool // the inputs came as typed contents
}

// A reading is a ModelInferRequest that is being read.
type reading struct {
	inference
	raw      [][]byte
	contents [][][]byte // of each input
	head     int        // bytes that are not data
	params   int
}

// readInference reads a ModelInferRequest. Raw data stays in the memory of
// message; typed contents become at most most bytes.
func readInference(message []byte, most int) (*inference, error) {
	r := &reading{}
	err := fields(message, func(f field) (err error) {
		if f.typ != protowire.BytesType {
			return nil
		}
		if f.num != 5 && f.num != 7 {
			if err := r.room(len(f.data)); err != nil {
				return err
			}
		}
		switch f.num {
		case 1:
			r.model, err = f.text()
		case 2:
			r.version, err = f.text()
		case 3:
			r.request.ID, err = f.text()
		case 4:
			err = r.param(&r.request.Params, f.data)
		case 5:
			err = r.input(f.data)
		case 6:
			err = r.output(f.data)
		case 7:
			r.raw = append(r.raw, f.data)
			if len(r.raw) > maxTensors {
				err = problem.New(problem.Invalid, "Send what the model's metadata names.", "The request has more than %d raw_input_contents.", maxTensors)
			}
		}
		return err
	})
	if err != nil {
		return &r.inference, err
	}
	return &r.inference, r.attach(most)
}

// room counts n bytes that are no tensor's data.
func (r *reading) room(n int) error {
	if r.head += n; r.head > maxHead {
		return problem.New(problem.TooLarge, "Send data as tensors, not as names or parameters.",
			"The request has more than %d bytes beside its tensors.", maxHead)
	}
	return nil
}

func (r *reading) input(b []byte) error {
	var in oip.Input
	var contents [][]byte
	in.Shape = []int{}
	err := fields(b, func(f field) (err error) {
		if f.num != 5 {
			if err := r.room(max(1, len(f.data))); err != nil {
				return err
			}
		}
		switch {
		case f.is(1, protowire.BytesType):
			in.Name, err = f.text()
		case f.is(2, protowire.BytesType):
			var s string
			s, err = f.text()
			in.Type = tensor.Type(s)
		case f.num == 3:
			err = f.numbers(protowire.VarintType, func(v uint64) error {
				if n := int64(v); n < 0 || n > tensor.MaxElements || len(in.Shape) == maxRank {
					return misfit(&in.Tensor, "Send the shape of the data that you send, at most 32 whole numbers, none of them negative.", "has a shape that cannot be")
				}
				in.Shape = append(in.Shape, int(v))
				return nil
			})
		case f.is(4, protowire.BytesType):
			err = r.param(&in.Params, f.data)
		case f.is(5, protowire.BytesType):
			contents = append(contents, f.data)
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case len(r.request.Inputs) == maxTensors:
		return problem.New(problem.Invalid, "Send what the model's metadata names.", "The request has more than %d inputs.", maxTensors)
	case !in.Type.Valid():
		return misfit(&in.Tensor, "Send one of BOOL, INT8 to INT64, UINT8 to UINT64, FP16, BF16, FP32, FP64, BYTES.", "has the unknown datatype "+clip(string(in.Type)))
	}
	delete(in.Params, oip.ParamBinarySize) // of the REST body, and of no meaning here
	r.request.Inputs = append(r.request.Inputs, in)
	r.contents = append(r.contents, contents)
	return nil
}

func (r *reading) output(b []byte) error {
	var o oip.Output
	err := fields(b, func(f field) (err error) {
		switch {
		case f.is(1, protowire.BytesType):
			o.Name, err = f.text()
		case f.is(2, protowire.BytesType):
			err = r.param(&o.Params, f.data)
		}
		return err
	})
	if err == nil && len(r.request.Outputs) == maxTensors {
		err = problem.New(problem.Invalid, "Ask for what the model's metadata names.", "More than %d outputs are asked for.", maxTensors)
	}
	r.request.Outputs = append(r.request.Outputs, o)
	return err
}

// attach gives the inputs their data: "If this field [raw_input_contents] is
// specified then InferInputTensor::contents must not be specified for any input
// tensor."
func (r *reading) attach(left int) error {
	if len(r.request.Inputs) == 0 {
		return problem.New(problem.Invalid, "Send the inputs that the model's metadata names.", "The request has no inputs.")
	}
	hasContents := func(parts [][]byte) bool {
		return slices.ContainsFunc(parts, func(p []byte) bool { return len(p) > 0 })
	}
	if len(r.raw) > 0 {
		if slices.ContainsFunc(r.contents, hasContents) {
			return problem.New(problem.Invalid, "Send one of them.", "The request has both raw_input_contents and contents.")
		}
		if len(r.raw) != len(r.request.Inputs) {
			return problem.New(problem.Invalid, "Send one for each input, in the same order.",
				"The request has %d inputs and %d raw_input_contents.", len(r.request.Inputs), len(r.raw))
		}
	}
	r.typed = len(r.raw) == 0
	for i := range r.request.Inputs {
		t := &r.request.Inputs[i].Tensor
		if !r.typed {
			t.Data = r.raw[i]
		} else if err := typed(t, r.contents[i], &left); err != nil {
			return err
		}
		if err := t.Check(); err != nil {
			return &problem.Error{
				Code: problem.Invalid, Detail: "The data does not fit: " + err.Error() + ".",
				Remedy: "Send as much data as the shape and the datatype say; raw data little-endian, for BYTES each element's length in 4 bytes and its bytes.",
			}
		}
	}
	return nil
}

// param reads an entry of a map of InferParameter into p.
func (r *reading) param(p *oip.Params, b []byte) error {
	name, value, err := entry(b, func(f field) (v any, err error) {
		switch {
		case f.is(1, protowire.VarintType):
			v = f.value != 0
		case f.is(2, protowire.VarintType):
			v = int64(f.value)
		case f.is(3, protowire.BytesType):
			v, err = f.text()
		case f.is(4, protowire.Fixed64Type):
			d := math.Float64frombits(f.value)
			if math.IsNaN(d) || math.IsInf(d, 0) {
				return nil, problem.New(problem.Invalid, "Send a finite number.", "A parameter is %v.", d)
			}
			v = d
		case f.is(5, protowire.VarintType):
			v = float64(f.value)
			if f.value <= math.MaxInt64 {
				v = int64(f.value)
			}
		}
		return v, err
	})
	if err != nil || value == nil {
		return err
	}
	if r.params++; r.params > maxParams {
		return problem.New(problem.Invalid, "Leave out what the model does not need.", "The request has more than %d parameters.", maxParams)
	}
	if *p == nil {
		*p = oip.Params{}
	}
	(*p)[name] = value
	return nil
}

// entry reads an entry of a map of parameters; choice reads the value. The last
// one of several holds, as protocol buffers have it.
func entry(b []byte, choice func(f field) (any, error)) (name string, value any, err error) {
	err = fields(b, func(f field) (err error) {
		switch {
		case f.is(1, protowire.BytesType):
			name, err = f.text()
		case f.is(2, protowire.BytesType):
			err = fields(f.data, func(f field) error {
				v, err := choice(f)
				if v != nil {
					value = v
				}
				return err
			})
		}
		return err
	})
	return name, value, err
}
