package modelpack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"

	"primespark/shared/model"
	"primespark/shared/task"
)

// PartSize is how much of a file goes into one object, in bytes: little enough to be
// held in memory and sent again, enough that a network has few of them.
const PartSize = 8 << 20

// Bounds of a bill.
const (
	MaxBill  = 256 << 10 // bytes of its JSON
	MaxParts = 512       // objects of one package: 4 GiB
)

// A Bill says what a package consists of, for those who fetch it piece by piece. Who
// knows the SHA-256 of a bill can check all of the package by it.
type Bill struct {
	Name    string     `json:"name"`
	Version string     `json:"version"`
	Files   []BillFile `json:"files"` // the manifest first
}

// A BillFile is one file, and the objects that it is made of, in order.
type BillFile struct {
	Name   string        `json:"name"`
	Size   int64         `json:"size"`
	SHA256 string        `json:"sha256"`
	Parts  []task.Object `json:"parts,omitempty"` // none of an empty file
}

// Size is what all files have together, in bytes.
func (b Bill) Size() (n int64) {
	for _, f := range b.Files {
		n += f.Size
	}
	return n
}

// Objects are all that the package is made of, each once.
func (b Bill) Objects() (all []task.Object) {
	seen := map[string]bool{}
	for _, f := range b.Files {
		for _, o := range f.Parts {
			if !seen[o.SHA256] {
				seen[o.SHA256] = true
				all = append(all, o)
			}
		}
	}
	return all
}

// Cut cuts the package into parts, hands each one to take, and returns the bill of
// what was handed over. Take must not keep the bytes.
func (p *Package) Cut(ctx context.Context, take func(ctx context.Context, o task.Object, data []byte) error) (Bill, error) {
	b := Bill{Name: p.Manifest.Name, Version: p.Manifest.Version}
	buffer := make([]byte, PartSize)
	for _, f := range p.Files {
		row := BillFile{Name: f.Name, Size: f.Size, SHA256: f.SHA256}
		err := p.each(f, buffer, func(data []byte) error {
			o := task.ObjectOf(data)
			row.Parts = append(row.Parts, o)
			return take(ctx, o, data)
		})
		if err != nil {
			return Bill{}, err
		}
		b.Files = append(b.Files, row)
	}
	return b, b.check()
}

// each reads a file part by part.
func (p *Package) each(f File, buffer []byte, do func([]byte) error) error {
	r, err := p.Open(f.Name)
	if err != nil {
		return err
	}
	defer r.Close()
	for left := f.Size; left > 0; {
		n, err := io.ReadFull(r, buffer[:min(left, PartSize)])
		if err != nil {
			return fmt.Errorf("read %s: %w", f.Name, err)
		}
		if err := do(buffer[:n]); err != nil {
			return err
		}
		left -= int64(n)
	}
	return nil
}

// Encode is the bill in JSON, always the same for the same package.
func (b Bill) Encode() ([]byte, error) {
	text, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("encode the bill of %s: %w", b.Name, err)
	}
	if len(text) > MaxBill {
		return nil, fmt.Errorf("the bill of %s has %d bytes, more than %d", b.Name, len(text), MaxBill)
	}
	return text, nil
}

// ParseBill reads what Encode wrote and checks that it holds together.
func ParseBill(data []byte) (Bill, error) {
	var b Bill
	if len(data) > MaxBill {
		return b, fmt.Errorf("the bill has %d bytes; at most %d are read", len(data), MaxBill)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&b); err != nil {
		return Bill{}, fmt.Errorf("the bill cannot be read: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Bill{}, errors.New("something follows the bill")
	}
	return b, b.check()
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`) // as in manifests

func (b Bill) check() error {
	if !model.ValidName(b.Name) || !model.ValidName(b.Version) {
		return fmt.Errorf("the bill is of %q version %q, which are no names", clip(b.Name), clip(b.Version))
	}
	if len(b.Files) == 0 || len(b.Files) > MaxFiles+1 || b.Files[0].Name != model.ManifestFile {
		return fmt.Errorf("the bill has %d files; it must begin with %s and have at most %d", len(b.Files), model.ManifestFile, MaxFiles+1)
	}
	seen, parts := map[string]bool{}, 0
	for _, f := range b.Files {
		if seen[f.Name] || !plainName.MatchString(f.Name) || !task.ValidSHA256(f.SHA256) || f.Size < 0 || f.Size > MaxFile {
			return fmt.Errorf("the file %q of the bill is no file of a package, or stands there twice", clip(f.Name))
		}
		seen[f.Name] = true
		var size int64
		for i, o := range f.Parts {
			if !o.Valid() || i < len(f.Parts)-1 && o.Size != PartSize || o.Size > PartSize {
				return fmt.Errorf("part %d of %s in the bill is none", i, clip(f.Name))
			}
			size += o.Size
		}
		if size != f.Size {
			return fmt.Errorf("the parts of %s in the bill have %d bytes, and the file has %d", clip(f.Name), size, f.Size)
		}
		parts += len(f.Parts)
	}
	if parts > MaxParts {
		return fmt.Errorf("the package has %d parts of %d MiB; at most %d are taken", parts, PartSize>>20, MaxParts)
	}
	return nil
}

// Matches reports what is wrong with the bill, by the manifest that it lists.
func (b Bill) Matches(m model.Manifest) error {
	if m.Name != b.Name || m.Version != b.Version {
		return fmt.Errorf("the bill is of %s version %s, and its manifest of %s version %s", b.Name, b.Version, m.Name, m.Version)
	}
	files := map[string]BillFile{}
	for _, f := range b.Files[1:] {
		files[f.Name] = f
	}
	names, sums := m.FileNames(), m.Sums()
	for _, name := range names {
		f, ok := files[name]
		if !ok {
			return fmt.Errorf("%s is not in the bill, and the manifest names it", name)
		}
		if want, ok := sums[name]; ok && want != f.SHA256 {
			return fmt.Errorf("%s has the SHA-256 %.12s… in the bill and %.12s… in the manifest", name, f.SHA256, want)
		}
	}
	if len(files) != len(names) {
		return fmt.Errorf("the bill has %d files besides the manifest, which names %d", len(files), len(names))
	}
	return nil
}
