// Package rpc is the Open Inference Protocol, version 2, over gRPC, for any
// server that speaks it over REST.
//
// A call is read, written as the REST request that means the same, and answered
// by the server's own REST handler, in the same process: so both have the same
// permissions, limits, deadlines, counts and words, and a difference between them
// is a fault of this package alone. Tensors travel between the two as binary data,
// which is what raw contents are, too. The messages are in inference.proto.
//
// gRPC is HTTP/2 with a length before each message and a status after the last
// (grpc/grpc, PROTOCOL-HTTP2.md). net/http speaks the former, and the rest is here.
// The library google.golang.org/grpc would add 5 MB to an agent that may have 20,
// copies each tensor twice, and cannot bound what all messages take together; it
// is the client in the tests.
//
// Where the protocol leaves a choice, this package chooses so:
//
//   - The outputs come raw, unless the inputs came typed: then they are typed, too,
//     if each of them has a typed form. The parameter binary_data_output says
//     otherwise.
//   - ModelReady of a model that is not there says that it is not ready, as Triton
//     does. Elsewhere it is NOT_FOUND.
//   - Requests of a ModelStreamInfer are answered one after another, in order. One
//     that is refused ends nothing: its response has the error.
//   - Metadata of the call are the headers of the REST request: authorization,
//     x-deadline-ms, x-priority, x-route. The headers of its answer come back as
//     initial metadata, x-error-code and retry-after too; the nearer one of
//     grpc-timeout and x-deadline-ms holds.
//   - Messages may be compressed with gzip; answers never are, as tensors and
//     photos gain nothing by it.
//
// grpc.health.v1.Health/Check is there, too, for probes and load balancers.
package rpc

import _ "embed" // inference.proto

// Proto is the text of inference.proto.
//
//go:embed inference.proto
var Proto string
