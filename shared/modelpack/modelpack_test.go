package modelpack_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"primespark/shared/modelpack"
)

// pets is a good package.
func pets() map[string]string {
	net, labels := "a network", "cat\ndog\n"
	return map[string]string{
		"net.onnx": net, "labels.txt": labels, "photo.jpg": "a photo", "README": "is not taken along",
		"model.yaml": fmt.Sprintf(`apiVersion: edge/v1
kind: Model
name: pets
variants: [{engine: builtin, file: net.onnx, sha256: %X}]
outputs: [{name: scores, datatype: FP32, shape: [1, 2]}]
inputs: [{name: image, datatype: FP32, shape: [1, 3, 4, 4]}]
preprocess: {}
postprocess: {kind: classification}
labels: labels.txt
files: {labels.txt: %x}
selftest: {image: photo.jpg, expect: [{label: dog}]}
`, sha256.Sum256([]byte(net)), sha256.Sum256([]byte(labels))),
	}
}

// changed is pets with one file changed, or without it if to is empty.
func changed(name, to string) map[string]string {
	files := pets()
	files[name] = to
	if to == "" {
		delete(files, name)
	}
	return files
}

// folder writes files into a folder of their own.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// packed makes an archive of files, each name after prefix.
func packed(t testing.TB, prefix string, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		put(t, w, tar.Header{Name: prefix + name, Typeflag: tar.TypeReg}, files[name])
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func put(t testing.TB, w *tar.Writer, h tar.Header, text string) {
	t.Helper()
	h.Size, h.Mode = int64(len(text)), 0o600
	if err := w.WriteHeader(&h); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

func file(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pets.tar")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpen(t *testing.T) {
	long := strings.Repeat("d", 90) + "/" // a name that takes a PAX record
	for name, path := range map[string]string{
		"folder":                  folder(t, pets()),
		"archive":                 file(t, packed(t, "", pets())),
		"archive of dot":          file(t, packed(t, "./", pets())),
		"archive of a folder":     file(t, packed(t, "pets/", pets())),
		"archive of a long name":  file(t, packed(t, long, pets())),
		"archive with a appendix": file(t, append(packed(t, "", pets()), make([]byte, 10240)...)),
	} {
		t.Run(name, func(t *testing.T) {
			p, err := modelpack.Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			var names []string
			for _, f := range p.Files {
				names = append(names, f.Name)
				r, err := p.Open(f.Name)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(r)
				if err != nil || string(b) != pets()[f.Name] || f.Size != int64(len(b)) || f.SHA256 != fmt.Sprintf("%x", sha256.Sum256(b)) {
					t.Errorf("%s is %+v: %q, %v", f.Name, f, b, err)
				}
			}
			if got := strings.Join(names, " "); got != "model.yaml labels.txt net.onnx photo.jpg" || p.Manifest.Name != "pets" || p.Size() < 300 {
				t.Errorf("%s of %s, %d bytes", got, p.Manifest.Name, p.Size())
			}
		})
	}
}

func TestRefused(t *testing.T) {
	link := folder(t, changed("photo.jpg", ""))
	if err := os.Symlink("/etc/hostname", filepath.Join(link, "photo.jpg")); err != nil {
		t.Fatal(err)
	}
	special := func(h tar.Header) string {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		put(t, w, h, "")
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return file(t, b.Bytes())
	}
	whole := packed(t, "", pets())
	for name, test := range map[string]struct{ path, want string }{
		"nothing there":         {filepath.Join(t.TempDir(), "none"), "open the package"},
		"a device":              {"/dev/null", "neither a folder nor a .tar"},
		"no manifest":           {folder(t, changed("model.yaml", "")), "there is no model.yaml"},
		"broken manifest":       {folder(t, changed("model.yaml", "kin: Model")), `did you mean "kind"?`},
		"tampered network":      {folder(t, changed("net.onnx", "a netwörk")), "net.onnx is not the file that the manifest names: its SHA-256 is "},
		"half a network":        {folder(t, changed("net.onnx", "a net")), "copy the package again"},
		"tampered labels":       {folder(t, changed("labels.txt", "dog\ncat\n")), "labels.txt is not the file"},
		"no network":            {folder(t, changed("net.onnx", "")), "net.onnx is missing from the package"},
		"no photo":              {folder(t, changed("photo.jpg", "")), "photo.jpg is missing"},
		"a link out":            {link, "photo.jpg"},
		"empty archive":         {file(t, nil), "too short for a .tar"},
		"compressed archive":    {file(t, []byte("\x1f\x8b\x08\x00\x00\x00")), "unpack it with gunzip first"},
		"no archive":            {file(t, bytes.Repeat([]byte("x"), 4096)), "no whole .tar"},
		"cut in a file":         {file(t, whole[:600]), "cut off"},
		"cut between":           {file(t, whole[:1024]), "cut off"},
		"cut in a header":       {file(t, whole[:1024+100]), "no whole .tar"},
		"archive of nothing":    {file(t, make([]byte, 1024)), "there is no model.yaml"},
		"too deep":              {file(t, packed(t, "a/b/", pets())), "there is no model.yaml"},
		"two packages":          {file(t, packed(t, "", map[string]string{"a/model.yaml": "a", "b/model.yaml": "b"})), "holds 2 packages"},
		"twice":                 {file(t, packed(t, "", map[string]string{"model.yaml": "a", "./model.yaml": "b"})), "twice"},
		"tampered in archive":   {file(t, packed(t, "", changed("net.onnx", "another"))), "not the file that the manifest names"},
		"missing in archive":    {file(t, packed(t, "", changed("photo.jpg", ""))), "photo.jpg is missing"},
		"a name that leads out": {special(tar.Header{Name: "../../etc/cron.d/x", Typeflag: tar.TypeReg}), "leads out of the package"},
		"a name from the root":  {special(tar.Header{Name: "/etc/passwd", Typeflag: tar.TypeReg}), "leads out of the package"},
		"a symbolic link":       {special(tar.Header{Name: "net.onnx", Linkname: "/etc/passwd", Typeflag: tar.TypeSymlink}), "not a regular file"},
		"a hard link":           {special(tar.Header{Name: "net.onnx", Linkname: "x", Typeflag: tar.TypeLink}), "without links"},
		"a pipe":                {special(tar.Header{Name: "net.onnx", Typeflag: tar.TypeFifo}), "not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := modelpack.Open(t.Context(), test.path)
			if err == nil {
				p.Close()
				t.Fatal("taken")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %q and lacks %q", err, test.want)
			}
		})
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := modelpack.Open(ctx, folder(t, pets())); !errors.Is(err, context.Canceled) {
		t.Errorf("Open = %v", err)
	}
}

// Whatever the bytes are, an archive that is taken has its manifest, and each file
// lies within it.
func FuzzReadArchive(f *testing.F) {
	whole := packed(f, "pets/", pets())
	f.Add(whole)
	f.Add(whole[:1500])
	f.Add(packed(f, strings.Repeat("p", 200)+"/", map[string]string{"model.yaml": "x"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := modelpack.ReadArchive(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		if _, err := a.Open("model.yaml"); err != nil {
			t.Error("an archive without a manifest was taken")
		}
		for _, name := range a.Names() {
			if !fs.ValidPath(name) || strings.Contains(name, "/") {
				t.Errorf("the name %q leads elsewhere", name)
			}
			r, err := a.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, io.NewSectionReader(r, 0, r.Size())); err != nil || n != r.Size() {
				t.Errorf("%s has %d bytes, and %d can be read: %v", name, r.Size(), n, err)
			}
		}
	})
}
