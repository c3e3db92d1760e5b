// Package builtin is the engine that is always there: it runs ONNX models in
// process, in Go and assembly, without a library.
//
// # What it promises
//
// A model is checked whole when it is loaded. Shapes are static: dimensions that the file
// leaves open are given with it (Backend.Shapes), save the first, which is otherwise taken as
// a batch of 1. An operator, type or attribute that is not supported, a
// shape that does not fit, a model that would need more memory than it is given, or
// 2^40 operations for an inference, is an error of Load that names the node, its
// operator and the opset. Load does not panic and its memory is bounded, whatever the file holds
// (see package onnx for the reader's limits), and so is its time (Backend.Time): all that compiling keeps is charged to the
// model's memory before it is made. The arithmetic is checked by Load's shape
// inference, and the kernels check their slices again. Should a worker panic all the
// same, Infer says so with infer.ErrBroken, then and from then on.
//
// Branches (If) whose condition is known once shapes are, are taken at once. Of others both are
// compiled; a branch that cannot work on the shapes there are is an error of the Infer
// that would take it, and of no other.
//
// A session computes in float32. Its results agree with ONNX Runtime's to within 1e-3 of
// the outputs' magnitude for networks of a hundred layers; half-precision tensors are widened, doubles
// rounded. That holds for finite inputs: where filters of 3 by 3 work in tiles, an infinity
// becomes a NaN in all outputs that share a tile with it, up to four places away instead of
// one. Integers and booleans are int64 inside, cut to their type after arithmetic. The sets of kernels (AVX2, AVX-512, NEON, plain Go) agree with
// one another as package kernel says.
//
// Infer allocates nothing once a session is loaded, and looks at its context
// between tasks, the parts of a layer that the workers share out, and within those that
// may take long.
//
// # How it works
//
// Package onnx reads the file. compile walks the nodes in order: each operator
// works out its shapes, constants are folded, and what follows a convolution
// (batch normalisation, a bias, an activation, the addition of a shortcut) is fused into it.
// Filters of 3 by 3 work in tiles, with a fourth of the multiplications, where that is worth it.
// plan gives every tensor a place in one arena, where tensors share memory when
// they are not alive at the same time, lie inside of the concatenation that
// they end up in, or are computed in place. Only then do the nodes bind: closures over slices of the arena,
// which a pool of workers runs task by task.
//
// # How to regenerate the kernels
//
// go generate ./agent/infer/builtin/kernel runs the generator kernel/gen, which
// writes the assembly of both architectures. A test holds the files to it.
package builtin
