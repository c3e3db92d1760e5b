package mesh_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"primespark/shared/mesh"
)

// TestKeys: the public half is that of wg pubkey (RFC 7748, section 6.1).
func TestKeys(t *testing.T) {
	var alice mesh.PrivateKey
	if err := alice.UnmarshalText([]byte("dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=")); err != nil {
		t.Fatal(err)
	}
	const want = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="
	if got := alice.Public().String(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	made, err := mesh.GenerateKey()
	if err != nil || made[0]&7 != 0 || made[31]&0xc0 != 0x40 {
		t.Errorf("a key that wg genkey would not make: %v, %x", err, made[:1])
	}
	for _, text := range []string{"", "x", want[:43], want + "=", strings.Replace(want, "=", "\n", 1), "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmp="} {
		if _, err := mesh.ParsePublicKey(text); err == nil {
			t.Errorf("%q was taken for a key", text)
		}
	}
}

func TestRing(t *testing.T) {
	dir := t.TempDir()
	if _, err := mesh.LoadRing(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing kept: %v", err)
	}
	ring, err := mesh.NewRing()
	if err != nil {
		t.Fatal(err)
	}
	first := ring.Newest()
	if ring, err = ring.Next(5); err != nil || len(ring.Keys) != 2 || ring.Newest().Generation != 5 || ring.Keys[0] != first {
		t.Fatalf("%v %v", ring, err)
	}
	if err := ring.Save(dir); err != nil {
		t.Fatal(err)
	}
	if got, err := mesh.LoadRing(dir); err != nil || cmp.Diff(ring, got) != "" {
		t.Error(err)
	}
	if ring, err = ring.Next(0); err != nil || ring.Newest().Generation != 6 || ring.Keys[0].Generation != 5 || len(ring.Keys) != 2 {
		t.Errorf("%v %v", ring, err)
	}
	if s := ring.Settled(); len(s.Keys) != 1 || s.Newest().Generation != 6 || len(s.Public()) != 1 || s.Public()[0].Public != s.Newest().Private.Public() {
		t.Errorf("settled: %v", s)
	}
	path := filepath.Join(dir, "mesh.keys")
	for name, text := range map[string]string{"no JSON": "secret", "empty": `{"keys":[]}`, "short": `{"keys":[{"generation":1,"private":"AAAA"}]}`, "no generation": `{"keys":[{"private":"dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="}]}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := mesh.LoadRing(dir); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := mesh.LoadRing(dir); err == nil || !strings.Contains(err.Error(), "others may read it") {
		t.Errorf("that others may read: %v", err)
	}
}

// TestSecrets: no way of printing shows a private key.
func TestSecrets(t *testing.T) {
	ring, err := mesh.NewRing()
	if err != nil {
		t.Fatal(err)
	}
	k := ring.Newest().Private
	for _, s := range []string{fmt.Sprint(k), fmt.Sprintf("%v %+v %#v %s", k, k, k, k), fmt.Sprintf("%v %+v %#v", ring, ring, ring), k.LogValue().String(), ring.LogValue().String()} {
		if strings.Contains(s, k.Text()) || strings.Contains(s, fmt.Sprint(k[:4])[1:]) {
			t.Errorf("shows a key: %s", s)
		}
	}
}
