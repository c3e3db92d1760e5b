package models_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"primespark/agent/infer"
	"primespark/agent/models"
	"primespark/shared/model"
	"primespark/shared/problem"
	"primespark/shared/testphoto"
)

// A stock is folders of packages, of which one may be gone.
type stock struct {
	dir  string
	mu   sync.Mutex
	gone []string
}

func (s *stock) Names() (names []string) {
	for _, name := range []string{"blazeface", "cats", "pets"} {
		if _, err := s.Package(name); err == nil {
			names = append(names, name)
		}
	}
	return names
}

func (s *stock) Package(name string) (func(string) (*os.File, int64, error), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := os.Stat(filepath.Join(s.dir, name)); err != nil || slices.Contains(s.gone, name) {
		return nil, fs.ErrNotExist
	}
	return func(file string) (*os.File, int64, error) {
		f, err := os.Open(filepath.Join(s.dir, name, file))
		if err != nil {
			return nil, 0, err
		}
		info, err := f.Stat()
		return f, info.Size(), err
	}, nil
}

func (s *stock) take(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = append(s.gone, name)
}

// TestStock: a model that the fleet gave is loaded at the start, and forgotten when it
// is taken away; what a node has of its own comes first, and back.
func TestStock(t *testing.T) {
	s := &stock{dir: t.TempDir()}
	write(t, filepath.Join(s.dir, "pets"), replaced(`version: "3"`, `version: "4"`))
	own := t.TempDir()
	r := started(t, models.Config{Backends: []infer.Backend{engine("")}, Dir: own, Stock: s, Embedded: map[string]models.Files{}})
	version := func() string {
		if s := r.Serving(); len(s) == 1 {
			return s[0].Version
		}
		return "none"
	}
	if version() != "4" {
		t.Fatalf("version %s serves: %+v", version(), r.Index())
	}
	write(t, filepath.Join(own, "pets"), pets())
	if err := r.Load(t.Context(), "pets"); err != nil || version() != "3" {
		t.Errorf("version %s, %v; that of the node's own folder is to come first", version(), err)
	}
	s.take("pets")
	if err := r.Drop(t.Context(), "pets"); err != nil || version() != "3" {
		t.Errorf("version %s, %v; the node's own stays", version(), err)
	}
	if err := os.RemoveAll(filepath.Join(own, "pets")); err != nil {
		t.Fatal(err)
	}
	if err := r.Drop(t.Context(), "pets"); err != nil || version() != "none" || len(r.Index()) != 0 {
		t.Errorf("version %s, %v, index %+v", version(), err, r.Index())
	}
	if err := r.Drop(t.Context(), "pets"); err != nil {
		t.Errorf("dropped twice: %v", err)
	}
}

// TestExpect: whoever asks for a model that is on its way is told so.
func TestExpect(t *testing.T) {
	r := started(t, models.Config{Backends: []infer.Backend{engine("")}, Embedded: map[string]models.Files{"pets": pets()}})
	r.Expect(model.Status{Name: "cats", Version: "1", State: model.Loading, Reason: "on its way to this node: 3 of 9 MiB"})
	_, err := r.Infer(t.Context(), "cats", "", infer.Request{})
	p := problem.Of(err)
	if p.Code != problem.NotReady || p.RetryAfter <= 0 || !strings.Contains(p.Detail, "3 of 9 MiB") {
		t.Errorf("%+v", p)
	}
	r.Expect(model.Status{Name: "pets", State: model.Unavailable, Reason: "a newer one is refused"})
	if got := look(t, r, "pets", testphoto.Astronaut()); len(got) != 1 {
		t.Error("a model that answers does not any more")
	}
}
