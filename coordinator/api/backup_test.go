package api

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"primespark/coordinator/fsm"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

// saver saves nothing but what it was asked for.
type saver struct{}

func (saver) Save(s fsm.State, recipient string) (io.ReadCloser, int64, error) {
	if recipient == "" {
		return nil, 0, problem.New(problem.Invalid, "Give one.", "No recipient.")
	}
	text := s.Cluster.Name + " for " + recipient
	return io.NopCloser(strings.NewReader(text)), int64(len(text)), nil
}

func TestBackup(t *testing.T) {
	l := newLab(t)
	l.api.cfg.Backups = saver{}
	for name, test := range map[string]struct {
		who, body string
		want      int
		text      string
	}{
		"good":                 {"admin", `{"recipient":"age1x"}`, http.StatusOK, "home for age1x"},
		"nobody to encrypt to": {"admin", "", http.StatusBadRequest, "No recipient."},
		"a typo":               {"admin", `{"recipent":"age1x"}`, http.StatusBadRequest, "unknown field"},
		"an operator":          {"operator", `{"recipient":"age1x"}`, http.StatusForbidden, "it takes admin"},
		"a node":               {"coordinator/c1", `{"recipient":"age1x"}`, http.StatusForbidden, "it takes admin"},
	} {
		w := l.do(l.as(test.who, "POST", wire.PathBackup, test.body))
		if w.Code != test.want || !strings.Contains(w.Body.String(), test.text) {
			t.Errorf("%s: status %d, %s; want %d with %q", name, w.Code, w.Body, test.want, test.text)
		}
	}
	w := l.do(l.as("admin", "POST", wire.PathBackup, `{"recipient":"age1x"}`))
	if w.Header().Get("Content-Type") != "application/octet-stream" || w.Header().Get("Content-Length") != "14" || w.Header().Get(wire.HeaderIndex) == "" {
		t.Errorf("header %v", w.Header())
	}
	l.group.down = errNoQuorum
	if w := l.do(l.as("admin", "POST", wire.PathBackup, `{"recipient":"age1x"}`)); w.Code != http.StatusServiceUnavailable {
		t.Errorf("without a quorum: status %d, want 503, since it might lack what was acknowledged", w.Code)
	}
}

// TestStatusTellsOfBackups: every coordinator does, and nothing before the first.
func TestStatusTellsOfBackups(t *testing.T) {
	l := newLab(t)
	if body := l.do(l.as("viewer", "GET", wire.PathStatus, "")).Body.String(); strings.Contains(body, `"backup"`) {
		t.Errorf("there was none: %s", body)
	}
	l.must(fsm.BackupRecord{Node: "c2", At: noon, Verified: noon, Path: "/nas/x"})
	l.must(fsm.BackupRecord{Node: "c2", At: noon, Error: "disk full"})
	const want = `"backup":{"at":"2026-03-01T12:00:00Z","verified_at":"2026-03-01T12:00:00Z","node":"c2","path":"/nas/x","error":"disk full","failing_since":"2026-03-01T12:00:00Z"}`
	if body := l.do(l.as("viewer", "GET", wire.PathStatus, "")).Body.String(); !strings.Contains(body, want) {
		t.Errorf("%s, want %s", body, want)
	}
}
