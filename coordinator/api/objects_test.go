package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"primespark/shared/problem"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// A shelf keeps objects in memory. What was once pushed by another is not asked of
// anybody: there is nobody else.
type shelf map[string][]byte

func (s shelf) Put(_ context.Context, r io.Reader) (task.Object, []string, error) {
	o, err := s.Keep(r, "")
	return o, []string{"c1", "c2"}, err
}

func (s shelf) Keep(r io.Reader, sha string) (task.Object, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return task.Object{}, err
	}
	o := task.ObjectOf(b)
	if len(b) == 0 || sha != "" && sha != o.SHA256 {
		return o, problem.New(problem.Invalid, "Send it again.", "It is not that object.")
	}
	s[o.SHA256] = b
	return o, nil
}

func (s shelf) Open(_ context.Context, sha string) (*os.File, int64, error) {
	f, n, err := s.Here(sha)
	if err != nil {
		err = problem.New(problem.NotFound, "Hand it in.", "There is none.")
	}
	return f, n, err
}

func (s shelf) Here(sha string) (*os.File, int64, error) {
	b, ok := s[sha]
	if !ok {
		return nil, 0, fs.ErrNotExist
	}
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return nil, 0, err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, sha)
	if err := os.WriteFile(name, b, 0o600); err != nil {
		return nil, 0, err
	}
	f, err := os.Open(name)
	return f, int64(len(b)), err
}

func (s shelf) Confirm(_ context.Context, o task.Object) error {
	if b, ok := s[o.SHA256]; !ok || int64(len(b)) != o.Size {
		return problem.New(problem.Invalid, "Hand it in.", "There is none to refer to.")
	}
	return nil
}

func (s shelf) Missing(shas []string) []string {
	return slices.DeleteFunc(slices.Clone(shas), func(sha string) bool { return s[sha] != nil })
}

// TestObjectStory takes a photo that is too large for a task, and a result that
// is, through the API.
func TestObjectStory(t *testing.T) {
	l := newLab(t)
	photo := strings.Repeat("photo", 400_000)
	w := l.do(l.as("operator", "PUT", "/v1/objects", photo))
	kept := decoded[wire.ObjectBody](t, w)
	if w.Code != http.StatusCreated || kept.Object != task.ObjectOf([]byte(photo)) || len(kept.Holders) != 2 {
		t.Fatalf("handed in: %d %+v", w.Code, kept)
	}
	refer := func(o task.Object) string {
		return fmt.Sprintf(`{"kind":"infer","model":"blazeface","input":{"object":{"sha256":%q,"size":%d}}}`, o.SHA256, o.Size)
	}
	made := decoded[task.Task](t, l.do(l.as("operator", "POST", "/v1/tasks", refer(kept.Object))))
	if s, _ := l.group.State(); !s.Tasks.Refers(kept.SHA256) {
		t.Error("the state does not know that the task refers to the photo")
	}
	for name, o := range map[string]task.Object{"of another size": {SHA256: kept.SHA256, Size: 7}, "of nothing": task.ObjectOf([]byte("?")), "no name": {SHA256: "../..", Size: 7}} {
		if w := l.do(l.as("operator", "POST", "/v1/tasks", refer(o))); w.Code != http.StatusBadRequest {
			t.Errorf("a reference %s: %d %s", name, w.Code, w.Body)
		}
	}
	got := decoded[[]wire.Leased](t, l.do(l.as("agent/pi-1", "POST", "/v1/tasks:lease", lease1)))
	if len(got) != 1 || got[0].ID != made.ID {
		t.Fatalf("leased %+v", got)
	}
	if w := l.do(l.as("agent/pi-1", "GET", "/v1/objects/"+kept.SHA256, "")); w.Code != http.StatusOK || w.Body.String() != photo || w.Header().Get("Content-Type") != "application/octet-stream" {
		t.Errorf("the agent gets %d, %d bytes", w.Code, w.Body.Len())
	}
	result := decoded[wire.ObjectBody](t, l.do(l.as("agent/pi-1", "PUT", "/v1/objects", `"`+strings.Repeat("x", 100_000)+`"`)))
	report := func(o task.Object) string {
		return fmt.Sprintf(`{"lease":%q,"result_object":{"sha256":%q,"size":%d}}`, got[0].Lease, o.SHA256, o.Size)
	}
	if w := l.do(l.as("agent/pi-1", "POST", "/v1/tasks/"+made.ID+":complete", report(task.ObjectOf([]byte("?"))))); w.Code != http.StatusBadRequest {
		t.Errorf("a result that is not there: %d %s", w.Code, w.Body)
	}
	done := decoded[task.Task](t, l.do(l.as("agent/pi-1", "POST", "/v1/tasks/"+made.ID+":complete", report(result.Object))))
	if done.State != task.Done || done.ResultObject == nil || *done.ResultObject != result.Object {
		t.Errorf("done as %+v", done)
	}
	if s, _ := l.group.State(); s.Tasks.Refers(kept.SHA256) || !s.Tasks.Refers(result.SHA256) {
		t.Error("when it is done, the task refers to its photo, or not to its result")
	}
}

func TestObjectsAreBounded(t *testing.T) {
	l := newLab(t)
	r := l.as("operator", "PUT", "/v1/objects", "x")
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(make([]byte, task.MaxObject+1))), -1
	if w := l.do(r); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a stream that is too long: %d %s", w.Code, w.Body)
	}
	r = l.as("operator", "PUT", "/v1/objects", "x")
	r.ContentLength = task.MaxObject + 1
	if w := l.do(r); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a length that is too great: %d %s", w.Code, w.Body)
	}
	for path, want := range map[string]int{"/v1/objects/" + strings.Repeat("0", 64): 404, "/v1/objects/" + strings.Repeat("0", 64) + "?local=1": 404, "/v1/objects/x": 404} {
		if w := l.do(l.as("viewer", "GET", path, "")); w.Code != want {
			t.Errorf("GET %s: %d %s", path, w.Code, w.Body)
		}
	}
	l.api.receiving <- struct{}{}
	for range receiving - 1 {
		l.api.receiving <- struct{}{}
	}
	if w := l.do(l.as("operator", "PUT", "/v1/objects", "x")); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("one too many at the same time: %d %s", w.Code, w.Body)
	}
}

// TestCoordinatorsKeepCopies has one coordinator ask another.
func TestCoordinatorsKeepCopies(t *testing.T) {
	l := newLab(t)
	o := task.ObjectOf([]byte("photo"))
	if w := l.do(l.as("coordinator/c2", "PUT", "/v1/objects/"+o.SHA256, "another")); w.Code != http.StatusBadRequest {
		t.Errorf("a copy that is not it: %d %s", w.Code, w.Body)
	}
	decoded[wire.ObjectBody](t, l.do(l.as("coordinator/c2", "PUT", "/v1/objects/"+o.SHA256, "photo")))
	missing := decoded[wire.MissingBody](t, l.do(l.as("coordinator/c2", "POST", "/v1/objects:missing", fmt.Sprintf(`{"objects":[%q,"x"]}`, o.SHA256))))
	if !slices.Equal(missing.Objects, []string{"x"}) {
		t.Errorf("missing are %v", missing.Objects)
	}
	many := `{"objects":["` + strings.Repeat(`x","`, wire.MaxMissing) + `x"]}`
	if w := l.do(l.as("coordinator/c2", "POST", "/v1/objects:missing", many)); w.Code != http.StatusBadRequest {
		t.Errorf("a question about too many: %d %s", w.Code, w.Body)
	}
}
