package oip

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"primespark/shared/problem"
	"primespark/shared/tensor"
)

// A Request is an inference request.
type Request struct {
	ID      string // "if specified this identifier must be returned in the response"
	Params  Params
	Inputs  []Input
	Outputs []Output // those asked for, in this order; none means all

	// Raw is a body that is the only input itself. Then there is nothing else in
	// the request until Resolve has made an input of it.
	Raw []byte
	// Framed, if not nil, is Raw behind four bytes that may be written to. Then the input
	// is made in its place, and Raw is not copied.
	Framed []byte

	rawTensor bool // Resolve made a tensor of numbers of Raw, not an image
}

// An Input is a tensor with its parameters.
type Input struct {
	tensor.Tensor
	Params Params
}

// An Output names a tensor that is asked for.
type Output struct {
	Name   string
	Params Params
}

// DecodeRequest reads the body of an inference request. Binary data stays in the
// memory of body, which must not change while the request is in use. An id, the
// parameters and the outputs are checked for their types, not for their sense.
func DecodeRequest(h http.Header, body []byte, limits Limits) (*Request, error) {
	size, given, err := jsonLength(h)
	switch {
	case err != nil:
		return nil, err
	case len(body) == 0:
		return nil, &problem.Error{
			Code: problem.Invalid, Detail: "The body is empty.",
			Remedy: "Send an inference request in JSON, or an image (curl --data-binary @cat.jpg).", Err: errNoObject,
		}
	case given && size == 0, !given && (IsImage(body) || strings.HasPrefix(h.Get("Content-Type"), "image/")):
		return &Request{Raw: body}, nil
	}
	d, err := newDecoder("Input", h, body, limits)
	if err != nil {
		return nil, err
	}
	r := &Request{}
	if err := d.request(r); err != nil {
		return nil, err
	}
	return r, nil
}

func (d *decoder) request(r *Request) error {
	seen := once{}
	err := d.object(func(key string) error {
		switch key {
		case "id", "parameters", "inputs", "outputs":
			if err := seen.see(key); err != nil {
				return err
			}
		}
		var err error
		switch key {
		case "id":
			r.ID, err = d.optionalText()
		case "parameters":
			r.Params, err = d.params()
		case "inputs":
			r.Inputs, err = d.tensors()
		case "outputs":
			r.Outputs, err = d.outputs()
		default:
			err = d.skip(0)
		}
		return err
	})
	if err != nil {
		return err
	}
	size := d.at
	if err := d.end(); err != nil {
		if slices.ContainsFunc(r.Inputs, func(in Input) bool { return in.Params[ParamBinarySize] != nil }) {
			return invalid(fmt.Sprintf("Send header %s: %d, so that the rest is taken for binary data.", HeaderLength, size),
				"The body goes on after its JSON, which has %d bytes.", size)
		}
		return err
	}
	if len(r.Inputs) == 0 {
		return invalid("Send the inputs that the model's metadata names.", "The request has no inputs.")
	}
	if err := d.attach(r.Inputs); err != nil {
		return err
	}
	return r.check()
}

func (d *decoder) outputs() (all []Output, err error) {
	if d.literal("null") {
		return nil, nil
	}
	err = d.array(func(i int) error {
		if i == maxTensors {
			return invalid("Ask for what the model's metadata names.", "More than %d outputs are asked for.", maxTensors)
		}
		var o Output
		seen := once{}
		err := d.object(func(key string) error {
			switch key {
			case "name", "parameters":
				if err := seen.see(key); err != nil {
					return err
				}
			}
			var err error
			switch key {
			case "name":
				o.Name, err = d.text()
			case "parameters":
				o.Params, err = d.params()
			default:
				err = d.skip(0)
			}
			return err
		})
		if err == nil && o.Name == "" {
			err = invalid("Name each output.", "Output %d has no name.", i)
		}
		all = append(all, o)
		return err
	})
	return all, err
}

// check finds what is wrong with the request whatever the model.
func (r *Request) check() error {
	var in, out []string
	for _, i := range r.Inputs {
		in = append(in, i.Name)
	}
	for _, o := range r.Outputs {
		if _, err := o.Params.Bool(ParamBinary); err != nil {
			return err
		}
		out = append(out, o.Name)
	}
	if err := unique("Input", in); err != nil {
		return err
	}
	if err := unique("Output", out); err != nil {
		return err
	}
	_, err := r.Params.Bool(ParamBinaryOutput)
	return err
}

// Tensors are the inputs without their parameters.
func (r *Request) Tensors() []tensor.Tensor {
	all := make([]tensor.Tensor, len(r.Inputs))
	for i, in := range r.Inputs {
		all[i] = in.Tensor
	}
	return all
}

// Postprocess is the parameter of that name: whether labels and boxes are wanted
// and not the raw outputs; nil if the request does not say.
func (r *Request) Postprocess() (*bool, error) { return r.Params.Bool(ParamPostprocess) }

// Priority is the parameter of that name, 0 (first) to most, and whether it is there.
func (r *Request) Priority(most int) (int, bool, error) {
	n, ok, err := r.Params.Int(ParamPriority, int64(most))
	return int(n), ok, err
}

// MaxTimeout is the longest that a request may ask to wait.
const MaxTimeout = 24 * time.Hour

// Timeout is the parameter of that name, 0 if the request does not say.
func (r *Request) Timeout() (time.Duration, error) {
	n, _, err := r.Params.Int(ParamTimeout, int64(MaxTimeout/time.Microsecond))
	return time.Duration(n) * time.Microsecond, err
}

// Binary reports whether the output of that name is to be sent as binary data.
// "If "binary_data" is specified on an output it overrides" what
// "binary_data_output" says of all. A raw request for a tensor gets "all the
// model output ... in binary tensor form"; one for an image gets JSON, as it is
// typed by hand.
func (r *Request) Binary(output string) bool {
	for _, o := range r.Outputs {
		if v, ok := o.Params[ParamBinary].(bool); ok && o.Name == output {
			return v
		}
	}
	if v, ok := r.Params[ParamBinaryOutput].(bool); ok {
		return v
	}
	return r.rawTensor
}

// Pick returns those of a model's outputs that the request asks for, in its
// order, or all of them if it names none.
func (r *Request) Pick(outputs []tensor.Tensor) ([]tensor.Tensor, error) {
	if len(r.Outputs) == 0 {
		return outputs, nil
	}
	var picked []tensor.Tensor
	for _, o := range r.Outputs {
		i := slices.IndexFunc(outputs, func(t tensor.Tensor) bool { return t.Name == o.Name })
		if i < 0 {
			var have []string
			for _, t := range outputs {
				have = append(have, t.Name)
			}
			return nil, noOutput(o.Name, have)
		}
		picked = append(picked, outputs[i])
	}
	return picked, nil
}
