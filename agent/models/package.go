package models

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"primespark/shared/conf"
	"primespark/shared/model"
)

// Bounds of the files of a package, in bytes.
const (
	maxLabels  = 4 << 20
	maxPhoto   = 16 << 20
	maxNetwork = 256 << 20
)

// A pack is a package that was checked: its files are those that the manifest
// names, and stay open until close.
type pack struct {
	model.Manifest
	manifest []byte // as it stands in the file
	labels   []string
	photo    []byte // of the selftest; nil without one
	networks map[string]network
}

// A network is the opened file of a variant; file is nil if the package does
// not have it, which is no fault as long as another variant serves.
type network struct {
	file *os.File
	size int64
}

// readManifest reads the manifest of a package.
func readManifest(from source) (model.Manifest, []byte, error) {
	data, err := read(from, model.ManifestFile, conf.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return model.Manifest{}, nil, fmt.Errorf("there is no %s in the package", model.ManifestFile)
	}
	if err != nil {
		return model.Manifest{}, nil, err
	}
	m, err := model.ParseManifest(data)
	return m, data, err
}

// readPack reads and checks a package. The caller closes it.
func readPack(ctx context.Context, from source, m model.Manifest, manifest []byte) (p *pack, err error) {
	p = &pack{Manifest: m, manifest: manifest, networks: map[string]network{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
			p = nil
		}
	}()
	for _, v := range m.Variants {
		if err := p.open(ctx, from, v); err != nil {
			return p, err
		}
	}
	if m.Labels != "" {
		data, err := p.small(from, m.Labels, maxLabels)
		if err != nil {
			return p, err
		}
		if p.labels, err = model.ParseLabels(data); err != nil {
			return p, fmt.Errorf("%s: %w", m.Labels, err)
		}
	}
	if m.Selftest != nil {
		if p.photo, err = p.small(from, m.Selftest.Image, maxPhoto); err != nil {
			return p, err
		}
	}
	return p, nil
}

// open opens a variant's file and compares it with the manifest, by what is in
// the open file: nobody can put another one in its place afterwards.
func (p *pack) open(ctx context.Context, from source, v model.Variant) error {
	n, seen := p.networks[v.File]
	if !seen {
		file, size, err := from.open(v.File)
		if errors.Is(err, fs.ErrNotExist) {
			p.networks[v.File] = network{}
			return nil
		}
		if err != nil {
			return err
		}
		n = network{file, size}
		p.networks[v.File] = n
	}
	if n.file == nil {
		return nil
	}
	if n.size > maxNetwork {
		return fmt.Errorf("%s has %v; at most %v are read", v.File, whole(n.size), whole(maxNetwork))
	}
	return checkSum(v.File, v.SHA256, reader{ctx, io.NewSectionReader(n.file, 0, n.size)})
}

// small reads a file that is not a network, and compares it if the manifest has
// its sum.
func (p *pack) small(from source, name string, most int64) ([]byte, error) {
	data, err := read(from, name, most)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing from the package; copy it again", name)
	}
	if err != nil {
		return nil, err
	}
	if want, ok := p.Files[name]; ok {
		return data, checkSum(name, want, bytes.NewReader(data))
	}
	return data, nil
}

// allowance is how much memory the model may take, in bytes: what its manifest says, or
// more if it says little. That of a tiny file is small whatever it would make of itself.
func (p *pack) allowance(v model.Variant) int64 {
	return max(64<<20+16*p.networks[v.File].size, int64(p.Resources.Memory))
}

func (p *pack) close() error {
	var all []error
	for _, n := range p.networks {
		if n.file != nil {
			all = append(all, n.file.Close())
		}
	}
	return errors.Join(all...)
}
