package oip

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
)

// Params are the parameters of a request, a tensor or an answer. The values are
// string, bool, int64 or, where that does not hold a number, float64.
type Params map[string]any

// The parameters that this project knows. Others are kept and have no effect.
const (
	ParamBinarySize     = "binary_data_size"   // of a tensor: bytes of it after the JSON
	ParamBinary         = "binary_data"        // of an output asked for: true for binary
	ParamBinaryOutput   = "binary_data_output" // of a request: the same for all outputs
	ParamClassification = "classification"     // of an output asked for: its so many highest values
	ParamPostprocess    = "postprocess"        // of a request: labels and boxes, or raw outputs
	ParamPriority       = "priority"           // of a request: 0 to 7, 0 first
	ParamCache          = "cache"              // of a request: false for a result that is computed anew, and not kept
	ParamTimeout        = "timeout"            // of a request: µs, as Triton has it; 0 for none
)

// maxParams bounds the parameters of one body: each costs more memory than text.
const maxParams = 4096

// Bool returns a parameter that must be true or false, or nil if it is not there.
func (p Params) Bool(name string) (*bool, error) {
	v, ok := p[name]
	if !ok {
		return nil, nil
	}
	b, ok := v.(bool)
	if !ok {
		return nil, invalid("Send true or false.", "Parameter %q is %v, no boolean.", name, show(v))
	}
	return &b, nil
}

// Int returns a parameter that must be a whole number from 0 to most, and
// whether it is there.
func (p Params) Int(name string, most int64) (int64, bool, error) {
	v, ok := p[name]
	if !ok {
		return 0, false, nil
	}
	n, ok := v.(int64)
	if !ok || n < 0 || n > most {
		return 0, false, invalid("Send a whole number from 0 to "+strconv.FormatInt(most, 10)+".",
			"Parameter %q is %v.", name, show(v))
	}
	return n, true, nil
}

func show(v any) string {
	if s, ok := v.(string); ok {
		return strconv.Quote(clip(s))
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "not a number"
	}
	return string(b)
}

// params reads a parameters object. The protocol has strings, numbers and
// booleans; null stands for a parameter that is not there.
func (d *decoder) params() (Params, error) {
	if d.literal("null") {
		return nil, nil
	}
	var p Params
	return p, d.object(func(key string) error {
		if d.literal("null") {
			return nil
		}
		if d.parameters++; d.parameters > maxParams {
			return invalid("Leave out what the model does not need.", "The body has more than %d parameters.", maxParams)
		}
		v, err := d.param(key)
		if err != nil {
			return err
		}
		if p == nil {
			p = Params{}
		}
		p[key] = v
		return nil
	})
}

func (d *decoder) param(key string) (any, error) {
	switch c := d.peek(); {
	case c == '"':
		return d.text()
	case d.literal("true"):
		return true, nil
	case d.literal("false"):
		return false, nil
	case c == '{' || c == '[':
		return nil, invalid("Send a string, a number or a boolean.", "Parameter %q is an object or an array.", clip(key))
	}
	n, err := d.number()
	if err != nil {
		return nil, err
	}
	if v, ok := n.signed(math.MaxInt64); ok {
		return v, nil
	}
	v, ok := n.float64()
	if !ok {
		return nil, invalid("Send a number that a 64-bit float can hold.", "Parameter %q is %s.", clip(key), clip(n.text))
	}
	return v, nil
}

// append writes p as JSON, its names in order.
func (p Params) append(dst []byte) []byte {
	names := make([]string, 0, len(p))
	for name := range p {
		names = append(names, name)
	}
	slices.Sort(names)
	dst = append(dst, '{')
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendText(dst, name), ':')
		switch v := p[name].(type) {
		case string:
			dst = appendText(dst, v)
		case bool:
			dst = strconv.AppendBool(dst, v)
		case int64:
			dst = strconv.AppendInt(dst, v, 10)
		case int:
			dst = strconv.AppendInt(dst, int64(v), 10)
		case float64:
			dst = appendFloat(dst, v, 64)
		default:
			panic("oip: parameter " + name + " is no string, bool, integer or float64")
		}
	}
	return append(dst, '}')
}
