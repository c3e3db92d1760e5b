package oip

import (
	"testing"

	"primespark/shared/model"
)

func TestIsImage(t *testing.T) {
	for body, want := range map[string]bool{
		"":                             false,
		"\xff\xd8\xff\xe0":             true,
		"\x89PNG\r\n\x1a\n":            true,
		"RIFF\x10\x00\x00\x00WEBPVP8 ": true,
		"RIFF\x10\x00\x00\x00WAVEfmt ": false,
		"II*\x00\x08\x00\x00\x00":      true,
		"MM\x00*\x00\x00\x00\x08":      true,
		"BM\x0e\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00": true,
		"BM\x0f\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00": false, // a tensor that happens to begin so
		"BM":             false,
		`{"inputs": []}`: false,
	} {
		if got := IsImage([]byte(body)); got != want {
			t.Errorf("IsImage(%q) = %v", body, got)
		}
	}
}

// TestFramed: an image that has room in front becomes a tensor where it is.
func TestFramed(t *testing.T) {
	framed := []byte("....\xff\xd8\xffphoto")
	r := &Request{Raw: framed[4:], Framed: framed}
	if err := r.Resolve(model.Metadata{Name: "m", Image: true}); err != nil {
		t.Fatal(err)
	}
	in := r.Inputs[0].Tensor
	elements, err := in.Elements()
	if err != nil || len(elements) != 1 || &elements[0][0] != &framed[4] || string(elements[0]) != "\xff\xd8\xffphoto" {
		t.Errorf("%q, %v, want the photo in its place", elements, err)
	}
}
