package oip

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"primespark/shared/model"
	"primespark/shared/tensor"
)

// IsImage reports whether body begins like a JPEG, PNG, WebP, BMP or TIFF. Of a BMP, which
// has two letters for a mark, the length has to be as its header says.
func IsImage(body []byte) bool {
	if len(body) >= 14 && string(body[:2]) == "BM" {
		return uint64(binary.LittleEndian.Uint32(body[2:])) == uint64(len(body))
	}
	return bytes.HasPrefix(body, []byte("II*\x00")) || bytes.HasPrefix(body, []byte("MM\x00*")) ||
		bytes.HasPrefix(body, []byte("\xff\xd8\xff")) ||
		bytes.HasPrefix(body, []byte("\x89PNG\r\n\x1a\n")) ||
		len(body) >= 12 && string(body[:4]) == "RIFF" && string(body[8:12]) == "WEBP"
}

// Resolve makes a raw body the input of a model, and checks that the outputs
// asked for are the model's. Without a raw body it only does the second.
//
// For a model that takes images the body is the image, unless it is as long as
// the model's tensor and does not begin like an image. For another model it is the
// tensor: "Only has 1 input", "the number of variable size dimensions is at most
// 1", "If the data type is BYTE, the shape must be [1]".
func (r *Request) Resolve(m model.Metadata) error {
	if r.Raw != nil && len(r.Inputs) == 0 {
		in, err := rawInput(m, r.Raw, r.Framed)
		if err != nil {
			return err
		}
		r.Inputs = []Input{{Tensor: in}}
		r.rawTensor = in.Type != tensor.Bytes
	}
	have := []string{}
	if m.Postprocess != "" {
		have = append(have, m.Postprocess)
	}
	for _, o := range m.Outputs {
		have = append(have, o.Name)
	}
	for _, o := range r.Outputs {
		if !slices.Contains(have, o.Name) {
			return noOutput(o.Name, have)
		}
	}
	return nil
}

func noOutput(name string, have []string) error {
	return invalid("Ask for one of: "+strings.Join(have, ", ")+".", "There is no output %q.", clip(name))
}

func rawInput(m model.Metadata, body, framed []byte) (tensor.Tensor, error) {
	name := "image"
	if len(m.Inputs) > 0 {
		name = m.Inputs[0].Name
	}
	image := func() tensor.Tensor {
		if len(framed) == 4+len(body) {
			binary.LittleEndian.PutUint32(framed, uint32(len(body)))
			return tensor.Tensor{Name: name, Type: tensor.Bytes, Shape: []int{1}, Data: framed}
		}
		return tensor.FromBytes(name, body)
	}
	if m.Image && IsImage(body) {
		return image(), nil
	}
	t, err := rawTensor(m, body)
	switch {
	case err == nil:
		return t, nil
	case m.Image:
		return image(), nil // the decoder of images has the better words
	}
	return t, err
}

func rawTensor(m model.Metadata, body []byte) (tensor.Tensor, error) {
	if len(m.Inputs) != 1 {
		return tensor.Tensor{}, invalid("Send an inference request with each input by name.",
			"Model %q has %d inputs, so a raw body cannot be told apart into them.", m.Name, len(m.Inputs))
	}
	spec := m.Inputs[0]
	if spec.Type == tensor.Bytes {
		if len(spec.Shape) != 1 || spec.Shape[0] != 1 && spec.Shape[0] != -1 {
			return tensor.Tensor{}, invalid("Send an inference request in JSON.",
				"Input %q of model %q has shape %v; a raw body is one BYTES element of shape [1].", spec.Name, m.Name, spec.Shape)
		}
		return tensor.FromBytes(spec.Name, body), nil
	}
	shape, err := deduce(spec, len(body))
	if err != nil {
		return tensor.Tensor{}, invalid("Send the tensor's bytes, little-endian and row-major, or a JSON request.",
			"A raw body of %d bytes cannot be input %q of model %q: %s.", len(body), spec.Name, m.Name, err)
	}
	return tensor.Tensor{Name: spec.Name, Type: spec.Type, Shape: shape, Data: body}, nil
}

// deduce finds the shape of a tensor of size bytes.
func deduce(spec tensor.Spec, size int) ([]int, error) {
	shape := slices.Clone(spec.Shape)
	free := -1
	for i, d := range shape {
		if d >= 0 {
			continue
		}
		if free >= 0 {
			return nil, fmt.Errorf("its shape %v has more than one free dimension", spec.Shape)
		}
		free, shape[i] = i, 1
	}
	n, err := tensor.Count(shape)
	if err != nil {
		return nil, err
	}
	row := n * spec.Type.Size()
	switch {
	case free < 0 && row == size:
	case free >= 0 && row > 0 && size%row == 0:
		shape[free] = size / row
	default:
		return nil, fmt.Errorf("%s %v takes %d", spec.Type, spec.Shape, row)
	}
	return shape, nil
}
