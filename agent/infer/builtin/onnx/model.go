package onnx

import "fmt"

// A Type is the element type of a tensor (onnx.proto3, TensorProto.DataType).
type Type int32

// The element types that the reader decodes.
const (
	Float   Type = 1
	Uint8   Type = 2
	Int8    Type = 3
	Uint16  Type = 4
	Int16   Type = 5
	Int32   Type = 6
	Int64   Type = 7
	String  Type = 8 // named in errors only
	Bool    Type = 9
	Float16 Type = 10
	Double  Type = 11
	Uint32  Type = 12
	Uint64  Type = 13
)

var types = map[Type]struct {
	name string
	size int // bytes of an element in raw data, 0 when it cannot be decoded
}{
	Float: {"float", 4}, Uint8: {"uint8", 1}, Int8: {"int8", 1}, Uint16: {"uint16", 2},
	Int16: {"int16", 2}, Int32: {"int32", 4}, Int64: {"int64", 8}, String: {"string", 0},
	Bool: {"bool", 1}, Float16: {"float16", 2}, Double: {"double", 8},
	Uint32: {"uint32", 4}, Uint64: {"uint64", 8},
}

func (t Type) String() string {
	if k, ok := types[t]; ok {
		return k.name
	}
	return fmt.Sprintf("type %d", int32(t))
}

// A Model is what a file holds.
type Model struct {
	IR    int64            // version of the file format
	Opset map[string]int64 // version of each operator set; "" is ONNX's own
	Graph Graph
}

// A Graph is a list of nodes in an order in which they can run.
type Graph struct {
	Nodes   []Node
	Inits   []*Tensor   // constants by name; older files list them in Inputs too
	Inputs  []ValueInfo // in the file's order
	Outputs []ValueInfo
}

// A Node is one operation. An empty name in In or Out is an optional one left out.
type Node struct {
	Op, Domain, Name string
	In, Out          []string
	Attrs            []Attr
}

// An Attr is a named constant of a node. Which of the values counts depends on
// the operator; those that the file does not give are zero.
type Attr struct {
	Name    string
	Float   float32
	Int     int64
	Str     string
	Strs    []string
	Tensor  *Tensor
	Graph   *Graph // a branch of If, the body of a loop
	Floats  []float32
	Ints    []int64
	Foreign bool // of a kind that is not read
}

// A ValueInfo is the type and shape of an input or output of the graph.
type ValueInfo struct {
	Name   string
	Type   Type  // 0 when the file does not say, or it is no tensor
	Dims   []Dim // meaningless without Shaped
	Shaped bool  // the file gives the number of dimensions
}

// A Dim is one dimension: a number, or -1 when the file names a variable or
// leaves it open.
type Dim int

// Attr returns the attribute of that name, or nil.
func (n *Node) Attr(name string) *Attr {
	for i := range n.Attrs {
		if n.Attrs[i].Name == name {
			return &n.Attrs[i]
		}
	}
	return nil
}

// Label tells the node to a reader of an error: its name, or what it computes.
func (n *Node) Label() string {
	if n.Name != "" {
		return n.Name
	}
	for _, out := range n.Out {
		if out != "" {
			return "giving " + out
		}
	}
	return "without a name"
}
