package oip

import (
	"encoding/binary"
	"fmt"
	"math"

	"primespark/shared/tensor"
)

// A putter reads one element of a tensor's data and stores it as element i.
type putter func(i int) error

// data reads t's data, with the scanner at it: "Tensor elements may be presented
// in their nature multi-dimensional representation, or as a flattened
// one-dimensional representation."
func (d *decoder) data(t *tensor.Tensor) error {
	n, err := d.room(t)
	if err != nil {
		return err
	}
	put, err := d.putter(t)
	if err != nil {
		return err
	}
	shape := []int{n}
	if start := d.at; len(t.Shape) > 1 && d.take('[') {
		if d.peek() == '[' {
			shape = t.Shape
		}
		d.at = start
	}
	return d.list(t, shape, new(int), put)
}

// room makes room for t's data, once it is sure that the body is long enough to
// hold that many elements and that the limit allows them.
func (d *decoder) room(t *tensor.Tensor) (elements int, err error) {
	n, err := tensor.Count(t.Shape)
	if err != nil {
		return 0, d.wrong(t, "Send a smaller tensor.", "has the shape %v: too many elements", t.Shape)
	}
	// An element takes two bytes of JSON at the least, the last one takes one.
	if left := len(d.scanner.data) - d.at; n > left/2+1 {
		return 0, d.wrong(t, "Send one number for each element of the shape.",
			"has the shape %v, so %d elements, which the body is too short for", t.Shape, n)
	}
	if t.Type == tensor.Bytes {
		t.Data = []byte{}
		return n, nil
	}
	if err := d.spend(t, n*t.Type.Size()); err != nil {
		return 0, err
	}
	*t, err = tensor.New(t.Name, t.Type, t.Shape...)
	return n, err
}

// list reads one dimension of t's data: shape[0] elements, or as many lists.
func (d *decoder) list(t *tensor.Tensor, shape []int, next *int, put putter) error {
	if !d.take('[') {
		return d.wrong(t, shapeRemedy, "has data that is no array, or one that is not nested as the shape %v says", t.Shape)
	}
	count := 0
	for more := !d.take(']'); more; count++ {
		if count == shape[0] {
			return d.wrong(t, shapeRemedy, "has more than %d elements in a row of its data, which does not fit the shape %v", count, t.Shape)
		}
		var err error
		if len(shape) > 1 {
			err = d.list(t, shape[1:], next, put)
		} else {
			err = put(*next)
			*next++
		}
		switch {
		case err != nil:
			return err
		case d.take(','):
		case d.take(']'):
			more = false
		default:
			return d.broken("want a comma or the end of the array")
		}
	}
	if count != shape[0] {
		return d.wrong(t, shapeRemedy, "has %d elements in a row of its data, want %d for the shape %v", count, shape[0], t.Shape)
	}
	return nil
}

const shapeRemedy = "Send the data flat, or nested exactly as the shape says."

// putter returns what reads one element of t's datatype.
func (d *decoder) putter(t *tensor.Tensor) (putter, error) {
	b := t.Data
	switch t.Type {
	case tensor.Float32:
		return func(i int) error {
			n, err := d.element(t, i)
			if err != nil {
				return err
			}
			v, ok := n.float32()
			if !ok {
				return d.unfit(t, i, n, "Send a finite number below 3.4e38, or the tensor as FP64.")
			}
			binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(v))
			return nil
		}, nil
	case tensor.Float64:
		return func(i int) error {
			n, err := d.element(t, i)
			if err != nil {
				return err
			}
			v, ok := n.float64()
			if !ok {
				return d.unfit(t, i, n, "Send a finite number below 1.8e308.")
			}
			binary.LittleEndian.PutUint64(b[8*i:], math.Float64bits(v))
			return nil
		}, nil
	case tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64:
		return d.signed(t), nil
	case tensor.Uint8, tensor.Uint16, tensor.Uint32, tensor.Uint64:
		return d.unsigned(t), nil
	case tensor.Bool:
		return d.boolean(t), nil
	case tensor.Bytes:
		return d.bytes(t), nil
	}
	return nil, d.wrong(t, "Send it as binary data, with "+ParamBinarySize+" and the header "+HeaderLength+".",
		"has the datatype %s, which has no form in JSON", t.Type)
}

func (d *decoder) signed(t *tensor.Tensor) putter {
	b, size := t.Data, t.Type.Size()
	most := int64(1)<<(8*size-1) - 1
	return func(i int) error {
		n, err := d.element(t, i)
		if err != nil {
			return err
		}
		v, ok := n.signed(most)
		if !ok {
			return d.unfit(t, i, n, fmt.Sprintf("Send whole numbers from %d to %d.", -most-1, most))
		}
		store(b, i, size, uint64(v))
		return nil
	}
}

func (d *decoder) unsigned(t *tensor.Tensor) putter {
	b, size := t.Data, t.Type.Size()
	most := uint64(math.MaxUint64) >> (64 - 8*size)
	return func(i int) error {
		n, err := d.element(t, i)
		if err != nil {
			return err
		}
		v, ok := n.unsigned(most)
		if !ok {
			return d.unfit(t, i, n, fmt.Sprintf("Send whole numbers from 0 to %d.", most))
		}
		store(b, i, size, v)
		return nil
	}
}

func (d *decoder) boolean(t *tensor.Tensor) putter {
	return func(i int) error {
		switch {
		case d.literal("true"):
			t.Data[i] = 1
			return nil
		case d.literal("false"):
			return nil
		}
		n, err := d.element(t, i)
		if err != nil {
			return err
		}
		v, ok := n.unsigned(1)
		if !ok {
			return d.unfit(t, i, n, "Send true or false.")
		}
		t.Data[i] = byte(v)
		return nil
	}
}

// bytes reads strings into the layout of the binary extension: each element a
// 4-byte length and the bytes.
func (d *decoder) bytes(t *tensor.Tensor) putter {
	return func(i int) error {
		if d.peek() != '"' {
			return d.wrong(t, "Send strings, or the bytes as binary data.", "has data that is no string at element %d", i)
		}
		start := len(t.Data)
		var err error
		if t.Data, err = d.appendText(append(t.Data, 0, 0, 0, 0)); err != nil {
			return err
		}
		size := len(t.Data) - start
		binary.LittleEndian.PutUint32(t.Data[start:], uint32(size-4))
		return d.spend(t, size)
	}
}

func store(b []byte, i, size int, v uint64) {
	switch size {
	case 1:
		b[i] = byte(v)
	case 2:
		binary.LittleEndian.PutUint16(b[2*i:], uint16(v))
	case 4:
		binary.LittleEndian.PutUint32(b[4*i:], uint32(v))
	case 8:
		binary.LittleEndian.PutUint64(b[8*i:], v)
	}
}

// element reads the number that is element i of t.
func (d *decoder) element(t *tensor.Tensor, i int) (number, error) {
	switch c := d.peek(); {
	case c == '"' || c == 't' || c == 'f' || c == 'n' || c == '{' || c == '[':
		return number{}, d.wrong(t, shapeRemedy, "has data that is no number at element %d, want %s", i, t.Type)
	}
	return d.number()
}

func (d *decoder) unfit(t *tensor.Tensor, i int, n number, remedy string) error {
	return d.wrong(t, remedy, "has %s at element %d, which %s cannot hold", clip(n.text), i, t.Type)
}
