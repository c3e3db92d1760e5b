package helper

import (
	"testing"
)

// FuzzParseWanted: what is read from a disk that fails is refused, and never a panic.
func FuzzParseWanted(f *testing.F) {
	f.Add([]byte("00000000\n{}"))
	f.Add([]byte("b3e22ed9\n{\"self\":\"pi\",\"map\":{\"version\":0}}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := parseWanted(b)
		if err == nil && w.CheckMap() != nil {
			t.Errorf("%+v was read and is not good", w)
		}
	})
}
