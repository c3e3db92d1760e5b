package oip

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"

	"primespark/shared/model"
	"primespark/shared/tensor"
)

// Server is the answer to GET /v2.
type Server struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Extensions []string `json:"extensions"`
}

// Health is the answer to GET /v2/health/live and /v2/health/ready. The REST text
// of the protocol has "live" in both, its gRPC has "ready": so both are sent.
type Health struct {
	Live  bool `json:"live"`
	Ready bool `json:"ready"`
}

// ModelReady is the answer to GET /v2/models/{m}/ready.
type ModelReady struct {
	Name  string `json:"name"`
	Ready bool   `json:"ready"`
}

// Metadata returns m such that its JSON has an array wherever the protocol has one.
func Metadata(m model.Metadata) model.Metadata {
	m.Versions = append([]string{}, m.Versions...)
	m.Inputs, m.Outputs = arrays(m.Inputs), arrays(m.Outputs)
	return m
}

func arrays(specs []tensor.Spec) []tensor.Spec {
	out := make([]tensor.Spec, len(specs))
	for i, s := range specs {
		s.Shape = append([]int{}, s.Shape...)
		out[i] = s
	}
	return out
}

// IndexRequest is the body of POST /v2/repository/index, which may be empty.
type IndexRequest struct {
	Ready bool `json:"ready"` // "return only models ready for inferencing"
}

// LoadRequest is the body of POST /v2/repository/models/{m}/load and unload, which
// may be empty.
type LoadRequest struct {
	Parameters map[string]any `json:"parameters"`
}

// Refuse reports the parameters by which a client would bring its own model or
// configuration: "config" and those that begin with "file:". They are never
// honoured; a node runs what is in its own store.
func (l LoadRequest) Refuse() error {
	for name := range l.Parameters {
		if name == "config" || strings.HasPrefix(name, "file:") {
			return invalid("Put the model into the node's store as a package, then load it by name.",
				"Parameter %q would replace the model's own files, which is not allowed.", clip(name))
		}
	}
	return nil
}

// DecodeOptional reads a small JSON body into v, or leaves v as it is when the
// body is empty.
func DecodeOptional(body []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	err := d.Decode(v)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil && d.InputOffset() < int64(len(bytes.TrimRight(body, " \t\r\n"))) {
		err = errors.New("something follows the object")
	}
	if err != nil {
		return invalid("Send one JSON object, or no body.", "The body cannot be read: %s.", unreadable(err))
	}
	return nil
}

// unreadable says in the client's words, not in Go's, what is wrong with a JSON body.
func unreadable(err error) string {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return "the JSON breaks off"
	}
	wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return err.Error()
	}
	article := "a "
	if strings.HasPrefix(wrong.Value, "a") || strings.HasPrefix(wrong.Value, "o") { // array, object
		article = "an "
	}
	if wrong.Field == "" {
		return "it is " + article + clip(wrong.Value) + " and no object"
	}
	return strconv.Quote(clip(wrong.Field)) + " cannot be " + article + clip(wrong.Value)
}

// Stats is the answer to GET /v2/models/stats and /v2/models/{m}/stats.
type Stats struct {
	Models []ModelStats `json:"model_stats"`
}

// ModelStats are the counts of one version of a model since the process began.
type ModelStats struct {
	Name           string         `json:"name"`
	Version        string         `json:"version"`
	LastInference  int64          `json:"last_inference"`  // ms since 1970 of the last request; 0 for none
	InferenceCount uint64         `json:"inference_count"` // successful, each of a batch by itself, no cache hits
	ExecutionCount uint64         `json:"execution_count"` // successful runs of the model
	Inference      InferenceStats `json:"inference_stats"`
	Batches        []BatchStats   `json:"batch_stats"`
}

// InferenceStats tell how requests fared and where their time went. The parts
// count successful requests alone.
type InferenceStats struct {
	Success       Duration `json:"success"`
	Fail          Duration `json:"fail"`
	Queue         Duration `json:"queue"`
	ComputeInput  Duration `json:"compute_input"`  // images to tensors
	ComputeInfer  Duration `json:"compute_infer"`  // on the device
	ComputeOutput Duration `json:"compute_output"` // tensors to labels and boxes
	CacheHit      Duration `json:"cache_hit"`
	CacheMiss     Duration `json:"cache_miss"`
}

// BatchStats are the runs of one batch size.
type BatchStats struct {
	Size          int      `json:"batch_size"`
	ComputeInput  Duration `json:"compute_input"`
	ComputeInfer  Duration `json:"compute_infer"`
	ComputeOutput Duration `json:"compute_output"`
}

// Duration is a count of times and their sum.
type Duration struct {
	Count uint64 `json:"count"`
	Nanos uint64 `json:"ns"`
}
