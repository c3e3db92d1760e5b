package oip

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"primespark/shared/problem"
	"primespark/shared/tensor"
)

// Limits bound what a body may grow to in memory. The body itself is bounded by
// whoever reads it.
type Limits struct {
	// Decoded is the most bytes of tensor data that numbers and strings in JSON
	// may become; binary data is not copied and does not count. 64 MiB if zero.
	Decoded int
}

const (
	defaultDecoded = 64 << 20
	maxTensors     = 1024 // in one body
	maxRank        = 32
)

// A decoder reads one body.
type decoder struct {
	scanner
	what       string // "Input" or "Output", for error texts
	left       int    // bytes of tensor data that may still be decoded
	parameters int    // read so far
	binary     []byte // what follows the JSON and is not yet taken
}

func newDecoder(what string, h http.Header, body []byte, limits Limits) (*decoder, error) {
	size, given, err := jsonLength(h)
	switch {
	case err != nil:
		return nil, err
	case !given:
		size = len(body)
	case size > len(body):
		return nil, invalid("Send the length of the JSON alone, which comes before the binary data.",
			"Header %s says %d, but the body has %d bytes.", HeaderLength, size, len(body))
	}
	left := limits.Decoded
	if left == 0 {
		left = defaultDecoded
	}
	return &decoder{scanner: scanner{data: body[:size]}, what: what, left: left, binary: body[size:]}, nil
}

// jsonLength reads the header that tells the length of the JSON.
func jsonLength(h http.Header) (n int, given bool, err error) {
	values := h.Values(HeaderLength)
	if len(values) == 0 {
		return 0, false, nil
	}
	// 31 bits, so that it is an int everywhere.
	v, err := strconv.ParseUint(values[0], 10, 31)
	if err != nil || len(values) > 1 {
		return 0, false, invalid("Send the length of the JSON in bytes, or 0 for a body that is the input itself.",
			"Header %s is %q, no one number.", HeaderLength, clip(strings.Join(values, ", ")))
	}
	return int(v), true, nil
}

// spend takes n bytes off what may still be decoded.
func (d *decoder) spend(t *tensor.Tensor, n int) error {
	if n > d.left {
		return problem.New(problem.TooLarge, "Send it as binary data, or as a JPEG if the model takes images.",
			"%s %q is too large to be sent as JSON.", d.what, clip(t.Name))
	}
	d.left -= n
	return nil
}

// wrong says what a tensor has that it should not.
func (d *decoder) wrong(t *tensor.Tensor, remedy, detail string, args ...any) error {
	return invalid(remedy, "%s %q %s.", d.what, clip(t.Name), fmt.Sprintf(detail, args...))
}

// once guards the named members of one object: JSON leaves open which of two
// counts, and a body must not mean one thing here and another elsewhere.
type once map[string]bool

func (o once) see(key string) error {
	if o[key] {
		return invalid("Send each member once.", "An object has the member %q twice.", key)
	}
	o[key] = true
	return nil
}

// tensors reads an array of tensors and gives each one its data, then takes the
// binary data of those that have some: "binary tensor data in the same order as
// the order of the input or output tensors are specified in the JSON".
func (d *decoder) tensors() (all []Input, err error) {
	err = d.array(func(i int) error {
		if i == maxTensors {
			return invalid("Send what the model's metadata names.", "The body has more than %d tensors.", maxTensors)
		}
		in, err := d.tensor(i)
		all = append(all, in)
		return err
	})
	return all, err
}

func (d *decoder) tensor(index int) (in Input, err error) {
	seen, from := once{}, -1
	known := func() bool { return seen["datatype"] && seen["shape"] && seen["name"] }
	err = d.object(func(key string) error {
		switch key {
		case "name", "shape", "datatype", "parameters", "data":
			if err := seen.see(key); err != nil {
				return err
			}
		default:
			return d.skip(0)
		}
		var err error
		switch key {
		case "name":
			in.Name, err = d.text()
		case "shape":
			in.Shape, err = d.shape(&in.Tensor)
		case "datatype":
			in.Type, err = d.datatype(&in.Tensor)
		case "parameters":
			in.Params, err = d.params()
		case "data":
			if known() {
				return d.data(&in.Tensor)
			}
			// The members of an object have no order: come back when the rest is known.
			from = d.at
			err = d.skip(0)
		}
		return err
	})
	switch {
	case err != nil:
		return in, err
	case !known():
		return in, invalid("Give each tensor a name, a shape and a datatype.",
			"%s %d (%q) lacks its name, shape or datatype.", d.what, index, clip(in.Name))
	case from >= 0:
		end := d.at
		d.at = from
		err = d.data(&in.Tensor)
		d.at = end
	}
	if err == nil && !seen["data"] {
		if _, ok := in.Params[ParamBinarySize]; !ok {
			err = d.wrong(&in.Tensor, "Send data, or "+ParamBinarySize+" and binary data after the JSON.", "has no data")
		}
	} else if err == nil && in.Params[ParamBinarySize] != nil {
		err = d.wrong(&in.Tensor, "Send one of them.", "has data in JSON and %s too", ParamBinarySize)
	}
	return in, err
}

func (d *decoder) shape(t *tensor.Tensor) ([]int, error) {
	shape := []int{}
	err := d.array(func(i int) error {
		n, err := d.number()
		if err != nil {
			return err
		}
		v, ok := n.unsigned(tensor.MaxElements)
		if !ok || i == maxRank {
			return d.wrong(t, "Send the shape of the data that you send, at most "+strconv.Itoa(maxRank)+" whole numbers, none of them negative.",
				"has a shape that cannot be, with %s as dimension %d", clip(n.text), i)
		}
		shape = append(shape, int(v))
		return nil
	})
	return shape, err
}

func (d *decoder) datatype(t *tensor.Tensor) (tensor.Type, error) {
	s, err := d.text()
	typ := tensor.Type(s)
	if err == nil && !typ.Valid() {
		err = d.wrong(t, "Send one of BOOL, INT8 to INT64, UINT8 to UINT64, FP16, BF16, FP32, FP64, BYTES.",
			"has the unknown datatype %q", clip(s))
	}
	return typ, err
}

// attach gives the tensors their binary data, which stays in the body's memory.
func (d *decoder) attach(all []Input) error {
	for i := range all {
		in := &all[i]
		if in.Data == nil {
			if err := d.attachOne(in); err != nil {
				return err
			}
		}
		if err := in.Check(); err != nil {
			return invalid("Send as much data as the shape and the datatype say, little-endian; for BYTES each element's length in 4 bytes and its bytes.",
				"The data does not fit: %s.", err)
		}
	}
	if len(d.binary) > 0 {
		return invalid("Make header "+HeaderLength+" the length of the JSON and "+ParamBinarySize+" that of each tensor.",
			"The body has %d bytes after the last tensor.", len(d.binary))
	}
	return nil
}

func (d *decoder) attachOne(in *Input) error {
	size, _, err := in.Params.Int(ParamBinarySize, 1<<40)
	if err != nil {
		return err
	}
	if size > int64(len(d.binary)) {
		return d.wrong(&in.Tensor, "Send header "+HeaderLength+" with the length of the JSON, and all of the data after it.",
			"is said to have %d bytes of binary data, but the body has %d left", size, len(d.binary))
	}
	in.Data = d.binary[:size:size]
	d.binary = d.binary[size:]
	return nil
}

// unique checks that no two tensors have one name.
func unique(what string, names []string) error {
	slices.Sort(names)
	for i := 1; i < len(names); i++ {
		if names[i] == names[i-1] {
			return invalid("Name each one once.", "%s %q is there twice.", what, clip(names[i]))
		}
	}
	return nil
}

// errNoObject is the cause where a body is empty: the likeliest slip on a command line.
var errNoObject = errors.New("empty body")
