package mesh_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"primespark/shared/identity/identitytest"
	"primespark/shared/mesh"
)

// same compares maps; addresses are compared as values.
var same = []cmp.Option{cmpopts.EquateComparable(mesh.Map{}.Prefix, mesh.Node{}.Address), cmpopts.EquateEmpty()}

func seal(t testing.TB, m mesh.Map, cluster *identitytest.Cluster) mesh.Signed {
	t.Helper()
	s, err := mesh.Seal(m, cluster.Signer())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSigned(t *testing.T) {
	home, other := identitytest.New(t, "home"), identitytest.New(t, "home")
	want := sample(home)
	s := seal(t, want, home)
	// It goes over the wire as JSON within JSON, and its bytes must stay as they were.
	var wired mesh.Signed
	if b, err := json.Marshal(s); err != nil || json.Unmarshal(b, &wired) != nil {
		t.Fatal(err)
	}
	got, err := wired.Open(home.CA, "home", want.Version)
	if err != nil || cmp.Diff(want, got, same...) != "" {
		t.Fatal(err, cmp.Diff(want, got, same...))
	}
	// A newer coordinator's map may say more.
	forged := s
	forged.Map = bytes.Replace(s.Map, []byte(`"version":7`), []byte(`"version":8`), 1)
	for name, test := range map[string]struct {
		signed  mesh.Signed
		by      *identitytest.Cluster
		cluster string
		newest  uint64
		want    error
	}{
		"by another authority":  {seal(t, want, other), home, "home", 0, mesh.ErrSignature},
		"of another cluster":    {s, home, "away", 0, mesh.ErrSignature},
		"with other bytes":      {forged, home, "home", 0, mesh.ErrSignature},
		"without a signature":   {mesh.Signed{Map: s.Map}, home, "home", 0, mesh.ErrSignature},
		"with nothing":          {mesh.Signed{}, home, "home", 0, mesh.ErrSignature},
		"older than in force":   {s, home, "home", 8, mesh.ErrOld},
		"more than is read":     {mesh.Signed{Map: make([]byte, mesh.MaxSigned+1)}, home, "home", 0, mesh.ErrSignature},
		"the same once more":    {s, home, "home", 7, nil},
		"the first of its life": {s, home, "home", 0, nil},
	} {
		if _, err := test.signed.Open(test.by.CA, test.cluster, test.newest); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	want.Nodes[0].Keys = nil
	if _, err := mesh.Seal(want, home.Signer()); err == nil {
		t.Error("a map with a fault was signed")
	}
}

// TestCanonical: equal maps have equal bytes, whatever made them.
func TestCanonical(t *testing.T) {
	home := identitytest.New(t, "home")
	m := mesh.Map{Version: 1, Cluster: "home", Prefix: sample(home).Prefix}
	a := seal(t, m, home)
	m.Nodes, m.Clients, m.Revoked = []mesh.Node{}, []mesh.Client{}, []mesh.PublicKey{}
	if b := seal(t, m, home); !bytes.Equal(a.Map, b.Map) {
		t.Errorf("%s and %s", a.Map, b.Map)
	}
}

func TestCache(t *testing.T) {
	home, dir := identitytest.New(t, "home"), t.TempDir()
	if _, err := mesh.Load(dir, home.CA, "home"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing kept: %v", err)
	}
	want := sample(home)
	if err := seal(t, want, home).Save(dir); err != nil {
		t.Fatal(err)
	}
	if got, err := mesh.Load(dir, home.CA, "home"); err != nil || cmp.Diff(want, got, same...) != "" {
		t.Errorf("%v %s", err, cmp.Diff(want, got, same...))
	}
	if _, err := mesh.Load(dir, identitytest.New(t, "home").CA, "home"); !errors.Is(err, mesh.ErrSignature) {
		t.Errorf("of another authority: %v", err)
	}
	path := filepath.Join(dir, "mesh.json")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"empty":    nil,
		"cut off":  whole[:len(whole)/2],
		"flipped":  bytes.Replace(whole, []byte("barn"), []byte("bern"), 1),
		"too long": bytes.Repeat([]byte(" "), 2*mesh.MaxSigned+1),
	} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := mesh.Load(dir, home.CA, "home"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
