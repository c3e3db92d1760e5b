package onnx

import (
	"errors"
	"fmt"
	"math"
)

// Read decodes a model. The weights of the model share b's memory, which must
// not change as long as the model is in use.
func Read(b []byte) (*Model, error) {
	if len(b) > MaxFile {
		return nil, fmt.Errorf("the file has %d bytes, at most %d are read", len(b), MaxFile)
	}
	r := &reader{left: MaxItems}
	m := &Model{Opset: map[string]int64{}}
	graphs := 0
	for f, err := range fields(b) {
		if err != nil {
			return nil, err
		}
		switch f.num {
		case 1:
			m.IR, err = int64(f.value), f.want(wireVarint)
		case 7:
			if graphs++; graphs > 1 {
				return nil, errors.New("the file holds more than one graph")
			}
			if err = f.want(wireBytes); err == nil {
				m.Graph, err = r.graph(f.data)
			}
			err = at("graph", err)
		case 8:
			err = at("opset_import", r.opset(f, m.Opset))
		case 20: // training_info
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	if graphs == 0 {
		return nil, errors.New("the file holds no graph; is it an ONNX model?")
	}
	return m, nil
}

// A reader counts what it keeps, so that a file of tiny items cannot become a
// heap of large structures.
type reader struct {
	left  int
	depth int // of the graph that is being read; the file's own has 1
}

func (r *reader) take(n int) error {
	if r.left -= n; r.left < 0 {
		return fmt.Errorf("more than %d nodes, names and attributes", MaxItems)
	}
	return nil
}

func at(place string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", place, err)
}

func (r *reader) opset(f field, into map[string]int64) error {
	if err := errors.Join(f.want(wireBytes), r.take(1)); err != nil {
		return err
	}
	domain, version := "", int64(0)
	for f, err := range fields(f.data) {
		if err != nil {
			return err
		}
		switch f.num {
		case 1:
			domain, err = f.name()
		case 2:
			version, err = int64(f.value), f.want(wireVarint)
		}
		if err != nil {
			return err
		}
	}
	if domain == "ai.onnx" {
		domain = ""
	}
	into[domain] = version
	return nil
}

func (r *reader) graph(b []byte) (g Graph, err error) {
	if r.depth == MaxDepth {
		return g, fmt.Errorf("graphs inside of graphs, more than %d deep", MaxDepth)
	}
	r.depth++
	defer func() { r.depth-- }()
	for f, err := range fields(b) {
		if err != nil {
			return g, err
		}
		switch f.num {
		case 1, 5, 11, 12, 15:
			if err := errors.Join(f.want(wireBytes), r.take(1)); err != nil {
				return g, err
			}
		}
		switch f.num {
		case 1:
			if len(g.Nodes) == MaxNodes {
				return g, fmt.Errorf("more than %d nodes", MaxNodes)
			}
			n, err := r.node(f.data)
			if err != nil {
				return g, at(fmt.Sprintf("node %d", len(g.Nodes)), err)
			}
			g.Nodes = append(g.Nodes, n)
		case 5:
			t, err := ReadTensor(f.data)
			if err != nil {
				return g, at(fmt.Sprintf("initializer %d", len(g.Inits)), err)
			}
			g.Inits = append(g.Inits, t)
		case 11:
			v, err := valueInfo(f.data)
			if err != nil {
				return g, at(fmt.Sprintf("input %d", len(g.Inputs)), err)
			}
			g.Inputs = append(g.Inputs, v)
		case 12:
			v, err := valueInfo(f.data)
			if err != nil {
				return g, at(fmt.Sprintf("output %d", len(g.Outputs)), err)
			}
			g.Outputs = append(g.Outputs, v)
		case 15:
			return g, errors.New("sparse initializers are not supported; save the model with dense ones")
		}
	}
	return g, nil
}

func (r *reader) node(b []byte) (n Node, err error) {
	for f, err := range fields(b) {
		if err != nil {
			return n, err
		}
		switch f.num {
		case 1, 2, 5:
			if err := r.take(1); err != nil {
				return n, err
			}
		}
		switch f.num {
		case 1:
			var s string
			s, err = f.name()
			n.In = append(n.In, s)
		case 2:
			var s string
			s, err = f.name()
			n.Out = append(n.Out, s)
		case 3:
			n.Name, err = f.name()
		case 4:
			n.Op, err = f.name()
		case 5:
			var a Attr
			if err = f.want(wireBytes); err == nil {
				a, err = r.attr(f.data)
			}
			err = at(fmt.Sprintf("attribute %d", len(n.Attrs)), err)
			n.Attrs = append(n.Attrs, a)
		case 7:
			n.Domain, err = f.name()
		}
		if err != nil {
			return n, err
		}
	}
	if n.Domain == "ai.onnx" {
		n.Domain = ""
	}
	return n, nil
}

func (r *reader) attr(b []byte) (a Attr, err error) {
	for f, err := range fields(b) {
		if err != nil {
			return a, err
		}
		switch f.num {
		case 1:
			a.Name, err = f.name()
		case 2:
			a.Float, err = math.Float32frombits(uint32(f.value)), f.want(wireFixed32)
		case 3:
			a.Int, err = int64(f.value), f.want(wireVarint)
		case 4:
			if err = f.want(wireBytes); err == nil && len(f.data) <= MaxName {
				a.Str = string(f.data) // a longer one is a text that no operator here reads
			}
		case 5:
			if err = f.want(wireBytes); err == nil {
				a.Tensor, err = ReadTensor(f.data)
			}
			err = at("tensor", err)
		case 6:
			var g Graph
			if err = f.want(wireBytes); err == nil {
				g, err = r.graph(f.data)
			}
			a.Graph, err = &g, at("graph", err)
		case 9:
			var word string
			if err = r.take(1); err == nil {
				word, err = f.name()
			}
			a.Strs = append(a.Strs, word)
		case 10, 11, 14, 15, 22, 23: // tensors, graphs, types, sparse tensors
			a.Foreign = true
		case 7:
			a.Floats, err = f.floats(a.Floats)
		case 8:
			a.Ints, err = f.ints(a.Ints)
		}
		if err != nil {
			return a, err
		}
	}
	return a, nil
}
