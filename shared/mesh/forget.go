package mesh

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Kept reports whether a node has anything of the mesh on its disk: the map in dir,
// or its keys in keyDir.
func Kept(dir, keyDir string) bool {
	for _, path := range traces(dir, keyDir) {
		if _, err := os.Lstat(path); err == nil {
			return true
		}
	}
	return false
}

// Forget removes what Kept looks for, the keys last: until they are gone, a node that
// is interrupted knows that it has something to forget.
func Forget(dir, keyDir string) error {
	for _, path := range traces(dir, keyDir) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forget the mesh: %w", err)
		}
	}
	return nil
}

func traces(dir, keyDir string) []string {
	return []string{filepath.Join(dir, cacheFile), filepath.Join(keyDir, ringFile)}
}
