// Package treetest makes trees of files that look like a host, for tests of who looks
// at one.
package treetest

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A Tree is files by path, without the leading slash: their contents, or for one
// that begins with "-> " where a link leads.
type Tree map[string]string

// With is the tree with other files, given path and content by turns.
func (t Tree) With(files ...string) Tree {
	all := maps.Clone(t)
	for i := 0; i+1 < len(files); i += 2 {
		all[files[i]] = files[i+1]
	}
	return all
}

// Without is the tree without what lies at the paths, or below them.
func (t Tree) Without(paths ...string) Tree {
	all := maps.Clone(t)
	maps.DeleteFunc(all, func(file, _ string) bool {
		for _, p := range paths {
			if file == p || strings.HasPrefix(file, p+"/") {
				return true
			}
		}
		return false
	})
	return all
}

// Make writes the tree into a temporary directory.
func (t Tree) Make(tb testing.TB) (root string) {
	tb.Helper()
	root = tb.TempDir()
	for path, content := range t {
		full := filepath.Join(root, path)
		err := os.MkdirAll(filepath.Dir(full), 0o755)
		if to, link := strings.CutPrefix(content, "-> "); err == nil && link {
			err = os.Symlink(to, full)
		} else if err == nil {
			err = os.WriteFile(full, []byte(content), 0o666)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	return root
}
