package telemetry

import (
	"encoding/json"
	"fmt"
)

// BatchBytes is the largest message of samples, which is what the embedded
// broker takes.
const BatchBytes = 256 << 10

// Batch writes samples of one stream as a message: a JSON array without the
// stream's name, which the topic tells.
func Batch(samples []Sample) ([]byte, error) {
	all := make([]wire, len(samples))
	for i, s := range samples {
		all[i] = s.wire()
		all[i].Stream = ""
	}
	b, err := json.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("encode samples: %w", err)
	}
	if len(b) > BatchBytes {
		return nil, fmt.Errorf("%d samples make %d bytes, more than %d: send fewer at a time", len(samples), len(b), BatchBytes)
	}
	return b, nil
}

// ParseBatch reads a message of samples of one stream.
func ParseBatch(stream Stream, b []byte) ([]Sample, error) {
	if len(b) > BatchBytes {
		return nil, fmt.Errorf("samples of %d bytes: more than %d", len(b), BatchBytes)
	}
	if !stream.Valid() {
		return nil, fmt.Errorf("samples of stream %q: no valid name", stream)
	}
	var all []Sample
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("samples of %s: %w", stream, err)
	}
	for i := range all {
		if all[i].Seq == 0 { // null, which is not handed to UnmarshalJSON
			return nil, fmt.Errorf("samples of %s: %w", stream, ErrBad)
		}
		all[i].Stream = stream
	}
	return all, nil
}
