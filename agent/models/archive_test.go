package models_test

import (
	"archive/tar"
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"primespark/agent/infer"
	"primespark/agent/models"
	"primespark/shared/testphoto"
)

// packed is a package as a .tar with everything in one folder.
func packed(t testing.TB, files models.Files) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := w.WriteHeader(&tar.Header{Name: "pets/" + name, Typeflag: tar.TypeReg, Size: int64(len(files[name])), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestServeFromArchive(t *testing.T) {
	whole := packed(t, pets())
	for name, test := range map[string]struct {
		data []byte
		want string // of the reason; empty if it is served
	}{
		"whole":    {whole, ""},
		"half":     {whole[:len(whole)/2], "copy it again"},
		"tampered": {packed(t, edited("net.fake", func(b []byte) []byte { return append(b, 'x') })), "net.fake is not the file that the manifest names"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "pets.tar"), test.data, 0o600); err != nil {
				t.Fatal(err)
			}
			r := started(t, models.Config{Backends: []infer.Backend{engine("")}, Dir: dir, Embedded: map[string]models.Files{}})
			if test.want == "" {
				if got := look(t, r, "pets", testphoto.Astronaut()); len(got) != 1 || got[0].Label != "dog" {
					t.Errorf("found %+v, want a dog", got)
				}
			} else if s := r.Index(); len(s) != 1 || !strings.Contains(s[0].Reason, test.want) {
				t.Errorf("the index is %+v, and its reason lacks %q", s, test.want)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
				t.Errorf("%v is left in the folder, %v", left, err)
			}
		})
	}
}
