// Package onnxruntime keeps ONNX Runtime in a worker process for a static Go
// program: prime-spark-ort-worker, which loads the libonnxruntime that the host has,
// if it has one. What package worker does for every native engine it does for this
// one; here is where the library is found, how the worker is started, and what its
// failures mean.
package onnxruntime
