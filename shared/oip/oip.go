// Package oip is the Open Inference Protocol, version 2, over REST: the bodies of
// its requests and answers, in JSON and with the binary tensor data extension,
// for servers and for clients.
//
// The rules are those of kserve/open-inference-protocol (inference_rest.md) and,
// for the extensions, of Triton's documents of the same names. Where they leave
// a choice, this package chooses so:
//
//   - Tensor data in JSON is flat, or nested exactly as the shape says; nothing in
//     between, so that a transposed array is found out and not silently taken.
//   - Numbers are never bent: one that the datatype cannot hold is refused, with
//     the tensor and the element named. An integer may be written 3.0 or 3e2.
//     A BOOL may be true, false, 1 or 0.
//   - FP16 and BF16 travel in binary only, as the protocol has no text form for
//     them. NaN and the infinities travel in binary only, as JSON has none.
//   - A BYTES element in JSON is a string, so valid UTF-8; any other bytes travel
//     in binary.
//   - Members of an object that the protocol does not name are skipped, and
//     parameters nobody knows are kept and have no effect. A member that the
//     protocol names must come once.
//   - A body that is a JPEG, PNG, WebP, BMP or TIFF is the raw form of an image even without
//     the header that says so: no JSON begins like one (see IsImage).
//
// Decoding is safe on hostile bytes, and what it allocates is bounded by the
// length of the body and by Limits. All errors are *problem.Error.
package oip

import (
	"encoding/json"
	"net/http"
	"net/url"

	"primespark/shared/problem"
)

// HeaderLength is the header that tells how many bytes of a body are JSON; the
// rest is the tensors' binary data. Zero means that the body is the one input
// itself ("Raw Binary Request").
const HeaderLength = "Inference-Header-Content-Length"

// The media types of the two kinds of body.
const (
	TypeJSON   = "application/json"
	TypeBinary = "application/octet-stream"
)

// The names of extensions, as a server's metadata lists them.
const (
	BinaryTensorData = "binary_tensor_data"
	ModelRepository  = "model_repository"
	Statistics       = "statistics"
	Classification   = "classification"
)

// WriteError answers a request with err in the protocol's form: {"error": text},
// where the text is the detail and the remedy. The code is in X-Error-Code.
// The caller logs what is problem.Unexpected.
func WriteError(w http.ResponseWriter, err error) {
	e := problem.Of(err)
	problem.Header(w, e)
	w.Header().Set("Content-Type", TypeJSON)
	w.WriteHeader(e.Code.Status())
	text := e.Detail
	if e.Remedy != "" {
		text += " " + e.Remedy
	}
	// A client that went away is no fault of ours.
	_ = json.NewEncoder(w).Encode(map[string]string{"error": text})
}

// ModelPath is the path of a model: of one version of it, or, with version "",
// of the one that the server chooses.
func ModelPath(name, version string) string {
	path := "/v2/models/" + url.PathEscape(name)
	if version != "" {
		path += "/versions/" + url.PathEscape(version)
	}
	return path
}

// InferPath is the path that takes a model's inference requests.
func InferPath(name, version string) string { return ModelPath(name, version) + "/infer" }

func invalid(remedy, detail string, args ...any) *problem.Error {
	return problem.New(problem.Invalid, remedy, detail, args...)
}

// clip shortens what a client sent to a length that fits an error text.
func clip[S string | []byte](s S) string {
	const most = 64
	if len(s) > most {
		return string(s[:most]) + "..."
	}
	return string(s)
}
