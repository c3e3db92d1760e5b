package oip

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strconv"

	"primespark/shared/model"
	"primespark/shared/tensor"
)

// maxClasses bounds how many classifications can be asked for; the protocol has
// no bound, and no labelled model so many.
const maxClasses = 1 << 20

// Classification is how many of the highest values of that output are asked for
// instead of the output, 0 if the output itself is (extension "classification").
func (o Output) Classification() (int, error) {
	n, ok, err := o.Params.Int(ParamClassification, maxClasses)
	if err == nil && ok && n == 0 {
		err = invalid("Send a whole number from 1 on.", "Output %q is asked for 0 classifications.", clip(o.Name))
	}
	return int(n), err
}

// RawOnly reports whether the request names outputs, and none that
// post-processing makes: so it wants none.
func (r *Request) RawOnly(m model.Metadata) bool {
	return len(r.Outputs) > 0 && !slices.ContainsFunc(r.Outputs, func(o Output) bool { return o.Name == m.Postprocess })
}

// Classify replaces those of picked, which are as Pick returned them, that the
// request asks classifications of. labels are the names of the classes by index,
// as far as there are any.
func (r *Request) Classify(picked []tensor.Tensor, labels []string) ([]tensor.Tensor, error) {
	out := picked
	for i, o := range r.Outputs {
		k, err := o.Classification()
		if err != nil {
			return nil, err
		}
		if k == 0 {
			continue
		}
		if &out[0] == &picked[0] {
			out = slices.Clone(picked) // what came from the model is not changed
		}
		if out[i], err = Classify(picked[i], k, labels); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Classify returns the k highest values of each row of t, or all if there are
// fewer, as strings "value:index" or "value:index:label": "type BYTES with shape
// [ batch-size, <count> ]". The rows are those of t's first dimension; a tensor of
// one dimension is one row, and its result has the shape [ <count> ]. Of equal
// values the lower index comes first; NaN comes last.
func Classify(t tensor.Tensor, k int, labels []string) (tensor.Tensor, error) {
	value, err := reader(t)
	if err != nil {
		return tensor.Tensor{}, err
	}
	rows, shape := 1, []int{}
	if len(t.Shape) > 1 {
		rows = t.Shape[0]
		shape = append(shape, rows)
	}
	n, err := tensor.Count(t.Shape)
	if err != nil || n == 0 {
		return tensor.Tensor{}, invalid("Ask for the output itself.", "Output %q of shape %v has nothing to classify.", clip(t.Name), t.Shape)
	}
	n /= rows
	k = min(k, n)
	var elements [][]byte
	indices := make([]int, n)
	for row := range rows {
		for i := range indices {
			indices[i] = i
		}
		slices.SortStableFunc(indices, func(a, b int) int { return value.order(row*n+b, row*n+a) })
		for _, i := range indices[:k] {
			e := append(value.text(nil, row*n+i), ':')
			e = strconv.AppendInt(e, int64(i), 10)
			if i < len(labels) && labels[i] != "" {
				e = append(append(e, ':'), labels[i]...)
			}
			elements = append(elements, e)
		}
	}
	out := tensor.FromBytes(t.Name, elements...)
	out.Shape = append(shape, k)
	return out, nil
}

// values read the elements of a tensor, "compared using the output tensor's data type".
type values struct {
	order func(a, b int) int // as cmp.Compare of elements a and b
	text  func(dst []byte, i int) []byte
}

func reader(t tensor.Tensor) (values, error) {
	le, d := binary.LittleEndian, t.Data
	switch t.Type {
	case tensor.Bool, tensor.Uint8:
		return unsigned(func(i int) uint64 { return uint64(d[i]) }), nil
	case tensor.Uint16:
		return unsigned(func(i int) uint64 { return uint64(le.Uint16(d[2*i:])) }), nil
	case tensor.Uint32:
		return unsigned(func(i int) uint64 { return uint64(le.Uint32(d[4*i:])) }), nil
	case tensor.Uint64:
		return unsigned(func(i int) uint64 { return le.Uint64(d[8*i:]) }), nil
	case tensor.Int8:
		return signed(func(i int) int64 { return int64(int8(d[i])) }), nil
	case tensor.Int16:
		return signed(func(i int) int64 { return int64(int16(le.Uint16(d[2*i:]))) }), nil
	case tensor.Int32:
		return signed(func(i int) int64 { return int64(int32(le.Uint32(d[4*i:]))) }), nil
	case tensor.Int64:
		return signed(func(i int) int64 { return int64(le.Uint64(d[8*i:])) }), nil
	case tensor.Float16:
		return floats(32, func(i int) float64 { return half(le.Uint16(d[2*i:])) }), nil
	case tensor.BF16:
		return floats(32, func(i int) float64 { return float64(math.Float32frombits(uint32(le.Uint16(d[2*i:])) << 16)) }), nil
	case tensor.Float32:
		return floats(32, func(i int) float64 { return float64(math.Float32frombits(le.Uint32(d[4*i:]))) }), nil
	case tensor.Float64:
		return floats(64, func(i int) float64 { return math.Float64frombits(le.Uint64(d[8*i:])) }), nil
	}
	return values{}, invalid("Ask for the output itself.", "Output %q is %s, which has no highest values.", clip(t.Name), t.Type)
}

func unsigned(at func(i int) uint64) values {
	return values{
		func(a, b int) int { return cmp.Compare(at(a), at(b)) },
		func(dst []byte, i int) []byte { return strconv.AppendUint(dst, at(i), 10) },
	}
}

func signed(at func(i int) int64) values {
	return values{
		func(a, b int) int { return cmp.Compare(at(a), at(b)) },
		func(dst []byte, i int) []byte { return strconv.AppendInt(dst, at(i), 10) },
	}
}

// floats are of bits that are enough to read the text back as the value.
func floats(bits int, at func(i int) float64) values {
	return values{
		func(a, b int) int { return cmp.Compare(at(a), at(b)) }, // NaN is below all
		func(dst []byte, i int) []byte { return appendFloat(dst, at(i), bits) },
	}
}

// half is the value of an IEEE 754 binary16.
func half(h uint16) float64 {
	sign := 1.0
	if h>>15 == 1 {
		sign = -1
	}
	exponent, fraction := int(h>>10&31), float64(h&1023)
	switch exponent {
	case 0:
		return sign * math.Ldexp(fraction, -24)
	case 31:
		if fraction != 0 {
			return math.NaN()
		}
		return sign * math.Inf(1)
	}
	return sign * math.Ldexp(1024+fraction, exponent-25)
}
