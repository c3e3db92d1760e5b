package identity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func ring(primary uint64, gens ...uint64) Keyring {
	r := Keyring{Primary: primary}
	for _, g := range gens {
		r.Keys = append(r.Keys, GossipKey{g, bytes.Repeat([]byte{byte(g + 65)}, KeySize)})
	}
	return r
}

func TestKeyringCheck(t *testing.T) {
	short := ring(1, 1)
	short.Keys[0].Key = short.Keys[0].Key[1:]
	for name, test := range map[string]struct {
		ring Keyring
		ok   bool
	}{
		"one":             {ring(0, 0), true},
		"two":             {ring(1, 0, 1), true},
		"none":            {Keyring{}, false},
		"without primary": {ring(2, 0, 1), false},
		"twice":           {ring(1, 1, 1), false},
		"short":           {short, false},
		"too many":        {ring(1, 1, 2, 3, 4, 5, 6, 7, 8, 9), false},
	} {
		if err := test.ring.Check(); (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeyringOnTheDisk(t *testing.T) {
	dir := t.TempDir()
	joined := bytes.Repeat([]byte{9}, KeySize)
	got, err := loadRing(dir, joined)
	if err != nil || !got.Equal(Single(joined)) {
		t.Errorf("before any change: %v, %v", got, err)
	}
	want := ring(2, 1, 2)
	if err := saveRing(dir, want); err != nil {
		t.Fatal(err)
	}
	if got, err = loadRing(dir, joined); err != nil || !got.Equal(want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	if all := got.All(); !slices.Equal(all[0], want.Key(2)) || len(all) != 2 {
		t.Error("the key to encrypt with is not the first")
	}
	path := filepath.Join(dir, ringFile)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	if err := os.WriteFile(path, []byte(`{"primary":3,"keys":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadRing(dir, joined); err == nil || !strings.Contains(err.Error(), ringFile) {
		t.Errorf("a ring without keys: %v", err)
	}
}

// TestKeyringIsNotPrinted by any of the ways to print a value.
func TestKeyringIsNotPrinted(t *testing.T) {
	r := ring(2, 1, 2)
	for _, text := range []string{fmt.Sprint(r), fmt.Sprintf("%v %+v %#v %s", r, r, r, r), r.LogValue().String(), fmt.Sprintf("%v %+v %#v", r.Keys[0], r.Keys[0], r.Keys[0])} {
		if strings.Contains(text, "BBBB") || strings.Contains(text, "66 66") || strings.Contains(text, "0x42") || strings.Contains(text, "4242") {
			t.Errorf("a key is printed: %s", text)
		}
	}
}

func FuzzKeyring(f *testing.F) {
	good, err := json.Marshal(ring(2, 1, 2))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"primary":0,"keys":[{"gen":0,"key":"AA=="}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRing(data)
		if err == nil && (len(r.All()[0]) != KeySize || len(r.Keys) > maxKeys) {
			t.Errorf("taken: %v", r)
		}
	})
}
