package models

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"primespark/agent/infer"
	"primespark/shared/tensor"
)

// Results are answers that were given before, by what was asked; see package cache. A
// value that is handed over, or got, is not changed any more.
type Results interface {
	Get(question [32]byte) (answer []byte, known bool)
	Put(question [32]byte, answer []byte)
}

// Bounds of what is kept, in bytes. Larger inputs are raw tensors: to sum them up takes
// as long as a small network, and they hardly ever come twice.
const (
	maxQuestion = 1 << 20
	maxAnswer   = 1 << 20
)

// recalled answers a request with a result of before, if there is one. Otherwise
// question, unless it is nil, is what to keep the answer by.
func (r *Registry) recalled(l *live, req infer.Request) (answer infer.Response, question *[32]byte) {
	if r.cfg.Results == nil || req.Cache == infer.NoStore || req.Priority < 0 || req.Priority > infer.MaxPriority {
		return answer, nil
	}
	start := time.Now()
	q, ok := l.question(req)
	if !ok {
		return answer, nil
	}
	if req.Cache != infer.NoCache {
		if kept, known := r.cfg.Results.Get(q); known {
			if outputs, err := decodeAnswer(kept); err == nil {
				answer = infer.Response{Backend: l.engine, Outputs: outputs, Labels: l.classes, Cache: infer.Hit}
				answer.Timing.Cache = time.Since(start)
				return answer, nil
			}
		}
	}
	answer.Timing.Cache = time.Since(start)
	return answer, &q
}

// keep keeps an answer that the model's own engine gave: that of a standby may differ in
// the last digits.
func (r *Registry) keep(l *live, question [32]byte, answer infer.Response) {
	if answer.Backend != l.engine {
		return
	}
	if b, ok := encodeAnswer(answer.Outputs); ok {
		r.cfg.Results.Put(question, b)
	}
}

// question sums up all that an answer depends on: the model's package, the engine, the
// inputs whatever their order, and what is asked of them.
func (l *live) question(req infer.Request) (q [32]byte, ok bool) {
	size := 0
	for _, t := range req.Inputs {
		size += len(t.Data)
	}
	if size > maxQuestion {
		return q, false
	}
	h := sha256.New()
	b := texts(make([]byte, 0, 512+len(l.manifest)), "primespark result 1", l.Name, l.Version, l.engine, string(l.manifest))
	switch {
	case req.Postprocess == nil:
		b = texts(b, "default")
	case *req.Postprocess:
		b = texts(b, "processed")
	default:
		b = texts(b, "raw")
	}
	inputs := req.Inputs
	if len(inputs) > 1 {
		inputs = slices.SortedFunc(slices.Values(inputs), func(a, b tensor.Tensor) int { return cmp.Compare(a.Name, b.Name) })
	}
	for _, t := range inputs {
		b = number(texts(b, t.Name, string(t.Type)), len(t.Shape))
		for _, n := range t.Shape {
			b = number(b, n)
		}
		h.Write(number(b, len(t.Data))) // a hash never fails to be written
		h.Write(t.Data)
		b = b[:0]
	}
	h.Sum(q[:0])
	return q, true
}

// texts adds texts to what is summed up so that no two lists of them are the same.
func texts(b []byte, texts ...string) []byte {
	for _, s := range texts {
		b = append(number(b, len(s)), s...)
	}
	return b
}

func number(b []byte, n int) []byte { return binary.LittleEndian.AppendUint64(b, uint64(n)) }

// encodeAnswer writes tensors: their number, and of each the name, type, shape and
// bytes, all lengths as varints.
func encodeAnswer(outputs []tensor.Tensor) (b []byte, ok bool) {
	size := 64
	for _, t := range outputs {
		size += len(t.Data) + len(t.Name) + 64
	}
	if size > maxAnswer {
		return nil, false
	}
	b = binary.AppendUvarint(make([]byte, 0, size), uint64(len(outputs)))
	text := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	for _, t := range outputs {
		text(t.Name)
		text(string(t.Type))
		b = binary.AppendUvarint(b, uint64(len(t.Shape)))
		for _, n := range t.Shape {
			b = binary.AppendUvarint(b, uint64(n))
		}
		b = binary.AppendUvarint(b, uint64(len(t.Data)))
		b = append(b, t.Data...)
	}
	return b, true
}

var errAnswer = errors.New("the kept answer cannot be read")

// decodeAnswer reads what encodeAnswer wrote, into memory of its own.
func decodeAnswer(b []byte) ([]tensor.Tensor, error) {
	p := parser{b, true}
	n := p.number(64)
	all := make([]tensor.Tensor, 0, n)
	for range n {
		name, kind := string(p.bytes()), tensor.Type(p.bytes())
		shape := make([]int, p.number(64))
		for i := range shape {
			shape[i] = p.number(maxAnswer)
		}
		data := p.bytes()
		if !p.ok {
			return nil, errAnswer
		}
		t := tensor.Tensor{Name: name, Type: kind, Shape: shape}
		if kind == tensor.Bytes {
			t.Data = slices.Clone(data)
		} else {
			if n, err := tensor.Count(shape); err != nil || n*kind.Size() != len(data) {
				return nil, errAnswer
			}
			made, err := tensor.New(name, kind, shape...) // aligned, as computed ones are
			if err != nil {
				return nil, errAnswer
			}
			copy(made.Data, data)
			t = made
		}
		if t.Check() != nil {
			return nil, errAnswer
		}
		all = append(all, t)
	}
	if !p.ok || len(p.left) > 0 {
		return nil, errAnswer
	}
	return all, nil
}

// A parser reads varints and what they measure; ok turns false at the first that is not
// there.
type parser struct {
	left []byte
	ok   bool
}

// number reads one of at most most.
func (p *parser) number(most uint64) int {
	v, n := binary.Uvarint(p.left)
	if !p.ok || n <= 0 || v > most {
		p.ok = false
		return 0
	}
	p.left = p.left[n:]
	return int(v)
}

func (p *parser) bytes() []byte {
	n := p.number(uint64(len(p.left)))
	if !p.ok || n > len(p.left) {
		p.ok = false
		return nil
	}
	b := p.left[:n]
	p.left = p.left[n:]
	return b
}
