package beacon

import (
	"bytes"
	"slices"
	"testing"

	"primespark/shared/mesh"
)

func TestHello(t *testing.T) {
	for n := 1; n <= mesh.MaxKeys; n++ {
		h := Hello{Port: 51820}
		for i := range n {
			h.Tags = append(h.Tags, TagOf(mesh.PublicKey{byte(i)}))
		}
		got, err := Decode(h.Encode())
		if err != nil || got.Port != h.Port || !slices.Equal(got.Tags, h.Tags) {
			t.Errorf("%d keys: %+v, %v", n, got, err)
		}
	}
	good := Hello{Port: 51820, Tags: []Tag{{1}}}.Encode()
	for name, b := range map[string][]byte{
		"empty":           nil,
		"another version": append([]byte("psm\x02"), good[4:]...),
		"no keys":         good[:6],
		"cut off":         good[:len(good)-1],
		"no port":         slices.Concat(good[:4], []byte{0, 0}, good[6:]),
		"many keys":       append(bytes.Clone(good), make([]byte, 8*mesh.MaxKeys)...),
	} {
		if h, err := Decode(b); err == nil {
			t.Errorf("%s: %+v", name, h)
		}
	}
}

// FuzzDecode: what is read is what was sent, whatever anybody sends.
func FuzzDecode(f *testing.F) {
	f.Add(Hello{Port: 51820, Tags: []Tag{{1}, {2}}}.Encode())
	f.Add([]byte("psm\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := Decode(b); err == nil && !bytes.Equal(h.Encode(), b) {
			t.Errorf("%q became %+v", b, h)
		}
	})
}
