package onnx

import (
	"fmt"
	"math"
)

// valueInfo reads ValueInfoProto: a name and, nested three messages deep, the
// element type and the shape.
func valueInfo(b []byte) (v ValueInfo, err error) {
	for f, err := range fields(b) {
		if err != nil {
			return v, err
		}
		switch f.num {
		case 1:
			v.Name, err = f.name()
		case 2:
			if err = f.want(wireBytes); err == nil {
				err = at("type", v.typ(f.data))
			}
		}
		if err != nil {
			return v, err
		}
	}
	return v, nil
}

// typ reads TypeProto, of which only tensor_type (field 1) is a tensor.
func (v *ValueInfo) typ(b []byte) error {
	for f, err := range fields(b) {
		if err != nil {
			return err
		}
		if f.num != 1 {
			continue
		}
		if err := f.want(wireBytes); err != nil {
			return err
		}
		for f, err := range fields(f.data) {
			if err != nil {
				return err
			}
			switch f.num {
			case 1:
				v.Type, err = Type(int32(f.value)), f.want(wireVarint)
			case 2:
				if err = f.want(wireBytes); err == nil {
					err = at("shape", v.shape(f.data))
				}
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *ValueInfo) shape(b []byte) error {
	v.Shaped = true
	for f, err := range fields(b) {
		if err != nil {
			return err
		}
		if f.num != 1 {
			continue
		}
		if err := f.want(wireBytes); err != nil {
			return err
		}
		if len(v.Dims) == MaxRank {
			return fmt.Errorf("more than %d dimensions", MaxRank)
		}
		d := Dim(-1)
		for f, err := range fields(f.data) {
			if err != nil {
				return err
			}
			if f.num == 1 && f.wire == wireVarint && f.value <= math.MaxInt32 {
				d = Dim(f.value)
			}
		}
		v.Dims = append(v.Dims, d)
	}
	return nil
}
