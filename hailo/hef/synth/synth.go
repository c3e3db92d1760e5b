// Package synth writes HEF files that hold no real network: for tests, and for
// demonstrations on the double of libhailort. They have all that HailoRT reads
// before it asks a chip; a file of this form with version 1 was accepted by the
// real library, 4.23.0.
package synth

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"hash/crc32"
	"math"

	"github.com/zeebo/xxh3"

	"primespark/hailo/hef"
)

// A Model says what to write. Its streams' DataBytes are 1.
type Model struct {
	hef.Group
	Version    int // of the container, 0 to 3
	Arch       hef.Arch
	SDK        string
	Weights    int // bytes that stand for them
	Extensions []uint64
}

// Detector is a model that finds boxes: an image of side × side × 3 in, and the
// boxes of up to per for each of classes, chosen on the host, out.
func Detector(name string, side, classes, per int) Model {
	return Model{Version: 2, Arch: hef.ArchHailo8P, SDK: "3.31.0", Weights: 1000, Group: hef.Group{
		Name: name, Contexts: 1, FPS: 491,
		Inputs:  []hef.Stream{{Name: name + "/input_layer1", Height: side, Width: side, Features: 3, Scale: 1}},
		Outputs: []hef.Stream{{Name: name + "/conv41", Height: max(1, side/16), Width: max(1, side/16), Features: 64, Scale: 0.1, ZeroPoint: 2}},
		NMS: []hef.NMS{{
			Name: name + "/yolov8_nms_postprocess", Kind: "yolov8", Classes: classes, PerClass: per,
			Score: 0.2, IoU: 0.7, ImageHeight: float64(side), ImageWidth: float64(side),
		}},
	}}
}

// Tensors is a model of side × side × 3 in and n tensors of features numbers out.
func Tensors(name string, side, n, features int) Model {
	m := Model{Version: 1, Arch: hef.ArchHailo8P, SDK: "3.29.0", Weights: 1000, Group: hef.Group{
		Name: name, Contexts: 1, FPS: 1372,
		Inputs: []hef.Stream{{Name: name + "/input_layer1", Height: side, Width: side, Features: 3, Scale: 1}},
	}}
	for i := range n {
		m.Outputs = append(m.Outputs, hef.Stream{
			Name: name + "/fc" + string(rune('1'+i)), Height: 1, Width: 1, Features: features * (i + 1), Scale: 0.5 / float64(i+1), ZeroPoint: float64(10 * i),
		})
	}
	return m
}

// Bytes is the file.
func (m Model) Bytes() []byte {
	proto := m.proto()
	weights := bytes.Repeat([]byte{0xa5}, m.Weights)
	body := append(bytes.Clone(proto), weights...)
	if m.Version == 0 {
		body = proto // weights of old files are within the description
	}
	be := binary.BigEndian
	h := be.AppendUint32([]byte("\x01HEF"), uint32(m.Version))
	h = be.AppendUint32(h, uint32(len(proto)))
	switch m.Version {
	case 0:
		sum := md5.Sum(body)
		h = append(be.AppendUint32(h, 0), sum[:]...)
	case 1:
		h = be.AppendUint32(h, crc32.ChecksumIEEE(body))
		h = be.AppendUint64(h, uint64(len(weights)))
		h = be.AppendUint32(h, 0)
	case 2:
		h = be.AppendUint64(h, xxh3.Hash(body))
		h = be.AppendUint64(h, uint64(len(weights)))
		h = append(h, make([]byte, 16)...)
	case 3:
		const more = 0
		h = be.AppendUint64(h, xxh3.Hash(body))
		h = be.AppendUint64(h, uint64(len(weights)))
		h = be.AppendUint32(h, 0)
		h = be.AppendUint64(h, more)
		h = append(h, make([]byte, 16)...)
	}
	return append(h, body...)
}

// proto writes the description. The numbers of fields are those of hailort's
// hef.proto; see the reader beside this package.
func (m Model) proto() []byte {
	parts := [][]byte{message(1, number(1, uint64(m.Arch)), number(4, 5), text(3, m.SDK))}
	extensions := m.Extensions
	if extensions == nil {
		extensions = []uint64{0, 11, 13, 23, 26}
	}
	for _, e := range extensions {
		parts = append(parts, message(5, number(1, e), text(2, "EXTENSION")))
	}
	return join(append(parts, message(2, m.group()...))...)
}

func (m Model) group() [][]byte {
	var edges, ins, outs [][]byte
	pad := uint64(0)
	for i, side := range [][]hef.Stream{m.Inputs, m.Outputs} {
		for _, s := range side {
			edges = append(edges, edge(uint64(i), pad, s))
			p := [][]byte{number(1, pad), text(2, s.Name), number(3, 1), number(8, 1)}
			if i == 0 {
				ins = append(ins, message(2, p...))
			} else {
				outs = append(outs, message(3, p...))
			}
			pad++
		}
	}
	metadata := message(1, text(1, m.Name), double(4, m.FPS))
	core := [][]byte{metadata}
	for i := range m.Contexts {
		if i > 0 {
			edges = nil // the others only pass on what is between them
		}
		core = append(core, message(3, message(3, edges...)))
	}
	var sorted [][]byte
	for _, s := range m.Outputs {
		sorted = append(sorted, text(4, s.Name))
	}
	core = append(append(core, sorted...), text(6, m.Name))
	op := append(append(append([][]byte{text(1, m.Name)}, ins...), outs...), message(4, core...))
	group := append([][]byte{metadata, text(6, m.Name), text(10, m.Name), message(8, op...)}, sorted...)
	for _, n := range m.NMS {
		group = append(group, message(8, text(1, n.Name), message(
			5, double(1, n.Score), double(2, n.IoU), number(3, uint64(n.PerClass)), number(4, uint64(n.Classes)),
			message(12, double(1, n.ImageHeight), double(2, n.ImageWidth)))))
	}
	for _, name := range m.Logits {
		group = append(group, message(8, text(1, name), message(6, number(1, 1))))
	}
	return group
}

func edge(direction, pad uint64, s hef.Stream) []byte {
	h, w, c := uint64(s.Height), uint64(s.Width), uint64(s.Features)
	base := message(2, number(1, h), number(2, h), number(3, w), number(4, w), number(5, c), number(6, c),
		number(7, 1), number(9, w*c), number(10, h), number(12, 1), message(13, number(1, pad)))
	numeric := [][]byte{float(1, s.ZeroPoint), float(2, s.Scale)}
	if s.PerFeature {
		scales := make([]byte, 0, 8*s.Features)
		for i := range s.Features {
			scales = binary.LittleEndian.AppendUint64(scales, math.Float64bits(s.Scale+float64(i)))
		}
		numeric = append(numeric, message(6, scales))
	}
	info := [][]byte{text(1, s.Name), base, message(3, numeric...)}
	for _, o := range s.Originals {
		info = append(info, text(5, o))
	}
	return message(2, number(1, direction), message(3, info...), message(5, number(3, 0)), number(7, pad))
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func key(field, kind int) []byte { return binary.AppendUvarint(nil, uint64(field)<<3|uint64(kind)) }

func number(field int, v uint64) []byte { return binary.AppendUvarint(key(field, 0), v) }

func double(field int, v float64) []byte {
	return binary.LittleEndian.AppendUint64(key(field, 1), math.Float64bits(v))
}

func float(field int, v float64) []byte {
	return binary.LittleEndian.AppendUint32(key(field, 5), math.Float32bits(float32(v)))
}

func text(field int, s string) []byte { return message(field, []byte(s)) }

func message(field int, parts ...[]byte) []byte {
	body := join(parts...)
	return append(binary.AppendUvarint(key(field, 2), uint64(len(body))), body...)
}
