package mesh_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"primespark/shared/identity/identitytest"
	"primespark/shared/mesh"
)

// FuzzMap: whatever passes Check can be signed, and opens as the same.
func FuzzMap(f *testing.F) {
	home := identitytest.New(f, "home")
	f.Add([]byte(seal(f, sample(home), home).Map))
	f.Add([]byte(`{"version":1,"cluster":"home","prefix":"fd00::/48","nodes":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m mesh.Map
		if json.Unmarshal(b, &m) != nil || m.Check() != nil {
			return
		}
		s, err := mesh.Seal(m, home.Signer())
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Open(home.CA, m.Cluster, m.Version)
		if err != nil || cmp.Diff(m, got, same...) != "" {
			t.Errorf("%v %s", err, cmp.Diff(m, got, same...))
		}
	})
}
