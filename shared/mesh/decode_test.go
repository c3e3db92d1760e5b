package mesh

import (
	"bytes"
	"testing"
)

// FuzzDecode: the file of the cache is any bytes at all.
func FuzzDecode(f *testing.F) {
	b, err := Signed{Map: []byte(`{"version":1}`), Signature: []byte{1, 2}}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"crc":0,"signed":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decode(b)
		if err != nil {
			return
		}
		again, err := s.encode()
		if err != nil {
			t.Fatal(err)
		}
		if q, err := decode(again); err != nil || !bytes.Equal(s.Signature, q.Signature) {
			t.Errorf("%v: %v and %v", err, s, q)
		}
	})
}

// FuzzRing: so is that of the keys.
func FuzzRing(f *testing.F) {
	f.Add([]byte(`{"keys":[{"generation":1,"private":"dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := parseRing(b); err == nil && len(r.Public()) != len(r.Keys) {
			t.Errorf("%v", r)
		}
	})
}
