package systest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/gossiptest"
)

// A packed is what has to be known of a fleet besides its state directories.
type packed struct {
	Token string
	Nodes []packedNode // in the order of their addresses
	Notes map[string]string
}

type packedNode struct {
	Name string
	Role fleet.Role
}

// packedName is its file in an archive.
const packedName = "fleet.json"

// Pack stops the fleet and puts its state directories into a file, for Reopen. The
// notes are for who reopens it.
func (f *Fleet) Pack(file string, notes map[string]string) {
	f.t.Helper()
	about := packed{Token: f.token, Notes: notes}
	for name, p := range f.nodes {
		f.Stop(name)
		about.Nodes = append(about.Nodes, packedNode{name, p.role})
	}
	slices.SortFunc(about.Nodes, func(a, b packedNode) int {
		return bytes.Compare(f.nodes[a.Name].host.IP(), f.nodes[b.Name].host.IP())
	})
	text, err := json.MarshalIndent(about, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(f.dir, packedName), text, 0o600)
	}
	if err == nil {
		err = pack(f.dir, file)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// Reopen runs a story in a bubble with the fleet that another build of this project
// has packed, some time after that.
func Reopen(t *testing.T, file string, story func(t *testing.T, f *Fleet, notes map[string]string)) {
	t.Helper()
	dir := t.TempDir()
	if err := unpack(file, dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, packedName))
	if err != nil {
		t.Fatal(err)
	}
	var about packed
	if err := json.Unmarshal(text, &about); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		// Bubbles begin at one moment: it was packed in the first minutes of one.
		time.Sleep(time.Hour)
		f := &Fleet{t: t, gossip: gossiptest.New(0, 1), dir: dir, nodes: map[string]*process{}, log: &lockedBuffer{}, token: about.Token, roots: x509.NewCertPool()}
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("the nodes' logs:\n%s", f.log)
			}
		})
		defer f.stop()
		count := map[fleet.Role]int{}
		for _, n := range about.Nodes {
			f.process(n.Name, n.Role)
			count[n.Role]++
		}
		f.roots.AddCert(f.Identity(about.Nodes[0].Name).CA())
		for _, n := range about.Nodes {
			f.Start(n.Name)
		}
		f.WaitHealthy(count[fleet.Coordinator], count[fleet.Agent])
		story(t, f, about.Notes)
	})
}

// pack writes the files below dir as a packed tar.
func pack(dir, file string) (err error) {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	squeezed, err := gzip.NewWriterLevel(out, gzip.BestCompression)
	if err != nil {
		return err
	}
	w := tar.NewWriter(squeezed)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		return err
	}
	return errors.Join(w.Close(), squeezed.Close())
}

// unpackMost bounds a file of an archive, in bytes.
const unpackMost = 64 << 20

// unpack is the other way round.
func unpack(file, dir string) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	squeezed, err := gzip.NewReader(in)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for r := tar.NewReader(squeezed); ; {
		h, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", file, err)
		case h.FileInfo().IsDir():
			if err := root.Mkdir(h.Name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			continue
		}
		data, err := io.ReadAll(io.LimitReader(r, unpackMost))
		if err == nil {
			err = root.WriteFile(h.Name, data, 0o600)
		}
		if err != nil {
			return fmt.Errorf("%s: %s: %w", file, h.Name, err)
		}
	}
}
