// Package onnx reads ONNX model files: the protobuf wire format and as much of
// onnx.proto3 (ONNX 1.12) as an inference engine needs, without a protobuf library.
//
// Its input is hostile until read. Read never panics, follows no reference out of
// the file (external data is refused), reads graphs inside of graphs to a depth of
// MaxDepth, and every count and length is bounded by Limits below, over all graphs
// together. The memory it takes is at most nine times the file's size plus 64 MiB; for
// the models met in practice it is a few kilobytes, since raw weights stay
// where they are in the file's bytes. An error names the place in the file:
// "graph: node 3: attribute 1: …".
package onnx

// Limits of what Read accepts. They are far above any network that a small
// board could run, and low enough to bound the reader's memory.
const (
	MaxFile  = 256 << 20 // bytes of a model file
	MaxItems = 1 << 18   // nodes, names, attributes, initialisers and inputs, all together
	MaxNodes = 1 << 16   // nodes of a graph
	MaxDepth = 8         // graphs inside of one another
	MaxRank  = 8         // dimensions of a tensor
	MaxName  = 1024      // bytes of a name, and of an attribute's string
)
