package oip

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"primespark/shared/problem"
	"primespark/shared/tensor"
)

// NewRequest returns the HTTP request that asks the server at base
// ("https://pi-1:7490") to run a model; version "" leaves it to the server.
// binary tells which inputs go as binary data, none if it is nil.
func NewRequest(ctx context.Context, base, name, version string, r *Request, binary func(input string) bool) (*http.Request, error) {
	body, err := r.Encode(binary)
	if err != nil {
		return nil, err
	}
	hr, err := http.NewRequestWithContext(ctx, http.MethodPost,
		strings.TrimRight(base, "/")+InferPath(name, version), bytes.NewReader(body.Bytes))
	if err != nil {
		return nil, fmt.Errorf("request to %s: %w", base, err)
	}
	body.SetHeaders(hr.Header)
	return hr, nil
}

// NewImageRequest returns the HTTP request that asks for an image to be looked
// at: the image itself is the body.
func NewImageRequest(ctx context.Context, base, name, version string, image []byte) (*http.Request, error) {
	r := &Request{Raw: image}
	if len(image) == 0 {
		return nil, invalid("Give a JPEG, PNG, WebP, BMP or TIFF.", "The image is empty.")
	}
	return NewRequest(ctx, base, name, version, r, nil)
}

// ReadResponse reads the answer to an inference request, of at most limit bytes,
// and closes its body. A server's refusal comes back as its *problem.Error.
func ReadResponse(hr *http.Response, limit int64) (*Response, error) {
	defer hr.Body.Close()
	body, err := io.ReadAll(io.LimitReader(hr.Body, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the answer: %w", err)
	case int64(len(body)) > limit:
		return nil, problem.New(problem.TooLarge, "Ask for fewer outputs.", "The answer is larger than %d bytes.", limit)
	case hr.StatusCode != http.StatusOK:
		return nil, problem.Read(hr.StatusCode, hr.Header, body)
	}
	r, err := DecodeResponse(hr.Header, body, Limits{Decoded: int(min(4*limit, defaultDecoded))})
	if err != nil {
		return nil, &problem.Error{
			Code: problem.Unexpected, Err: err,
			Detail: "The server's answer is not one of the Open Inference Protocol.",
			Remedy: "Check that the address is that of an inference server.",
		}
	}
	return r, nil
}

// A Detection is one element of the output "detections" or "classes".
type Detection struct {
	Label     string       `json:"label"`
	Score     float64      `json:"score"`               // 0 to 1
	Box       []float64    `json:"box,omitempty"`       // x1, y1, x2, y2 in pixels of the sent image; none for a class
	Keypoints [][2]float64 `json:"keypoints,omitempty"` // x, y in pixels of the sent image
}

// Detections reads the elements of an output of labels and boxes.
func Detections(t tensor.Tensor) ([]Detection, error) {
	elements, err := t.Elements()
	if err != nil {
		return nil, err
	}
	all := make([]Detection, len(elements))
	for i, e := range elements {
		if err := json.Unmarshal(e, &all[i]); err != nil {
			return nil, fmt.Errorf("output %q, element %d: %w", t.Name, i, err)
		}
		if n := len(all[i].Box); n != 0 && n != 4 {
			return nil, fmt.Errorf("output %q, element %d: a box of %d numbers, want 4", t.Name, i, n)
		}
	}
	return all, nil
}
