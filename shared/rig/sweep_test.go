package rig

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSweep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), dirPrefix+"1")
	if err := os.MkdirAll(filepath.Join(dir, "c1", "raft"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Sweep(strings.NewReader(""), dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory is still there: %v", err)
	}
}

func TestSweepRemovesNothingElse(t *testing.T) {
	tmp := t.TempDir()
	file := filepath.Join(tmp, dirPrefix+"file")
	link := filepath.Join(tmp, dirPrefix+"link")
	other := filepath.Join(tmp, "other")
	for _, err := range []error{os.WriteFile(file, nil, 0o600), os.Mkdir(other, 0o700), os.Symlink(other, link)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{file, link, other, "/", "", dirPrefix + "1", other + "/../" + dirPrefix + "1", filepath.Join(tmp, dirPrefix+"none")} {
		if err := Sweep(strings.NewReader(""), dir); err == nil {
			t.Errorf("%q was swept", dir)
		}
	}
	for _, path := range []string{file, link, other} {
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("%s is gone: %v", path, err)
		}
	}
}

func TestPortsAreFree(t *testing.T) {
	var n Node
	var a, b string
	if err := n.reserve(&a, &b); err != nil {
		t.Fatal(err)
	}
	if a == b || a == "" {
		t.Errorf("got %q and %q, want two addresses", a, b)
	}
	n.release()
	var m Node
	if err := m.reserve(&a); err != nil {
		t.Fatal(err)
	}
	m.release()
	n.release() // twice does no harm
}
