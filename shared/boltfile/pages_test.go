package boltfile_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"primespark/shared/boltfile"
)

// TestACommitCountsAsItsPages: the kernel's count of what this process had written,
// which the outbox holds its budget by, is that of the pages of a commit. The file was
// read in one piece when it was opened.
func TestACommitCountsAsItsPages(t *testing.T) {
	const commits, most = 20, 5 // pages: leaf, branch, root and meta, and one for the file system's own
	path := filepath.Join(t.TempDir(), "x.db")
	filled(t, path)
	db, err := boltfile.Open(path, nil, sealed)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	before := written(t)
	for range commits {
		key := []byte("000")
		err := db.Update(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("a")).Put(key, boltfile.Seal(key, []byte("....one")))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	page := max(boltfile.PageSize, os.Getpagesize())
	if each := (written(t) - before) / commits; each > most*page {
		t.Errorf("a commit counts as %d bytes, want %d at most", each, most*page)
	}
}

// written is the kernel's count, in bytes (proc_pid_io(5)).
func written(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skipf("the kernel does not count: %v", err)
	}
	_, rest, _ := strings.Cut(string(text), "\nwrite_bytes: ")
	word, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.Atoi(word)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
