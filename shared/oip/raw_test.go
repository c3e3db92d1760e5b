package oip

import "testing"

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
