package onnxruntime

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"primespark/shared/worker"
)

// places are where distributions and people put the library, in the order of preference:
// Debian's libonnxruntime1.21, what was built or unpacked by hand, and the archive of
// its makers.
var places = []string{
	"usr/lib/*/libonnxruntime.so*", "usr/lib/libonnxruntime.so*", "usr/local/lib/libonnxruntime.so*", "usr/local/lib/*/libonnxruntime.so*",
	"opt/onnxruntime*/lib/libonnxruntime.so*",
}

// FindLibrary returns the path of the host's libonnxruntime: that of the highest
// version in the first of the usual places that has any; empty if there is none. It
// loads nothing. Root is "/" but in tests.
func FindLibrary(root string) string {
	for _, pattern := range places {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			continue // a bad pattern, which TestFindLibrary would have found
		}
		found = slices.DeleteFunc(found, func(path string) bool {
			info, err := os.Stat(path)
			return err != nil || !info.Mode().IsRegular()
		})
		if len(found) > 0 {
			return slices.MaxFunc(found, func(a, b string) int { return slices.Compare(version(a), version(b)) })
		}
	}
	return ""
}

// version is the numbers at the end of a library's name; none is the lowest.
func version(path string) (numbers []int) {
	_, tail, _ := strings.Cut(filepath.Base(path), ".so")
	for word := range strings.SplitSeq(strings.TrimPrefix(tail, "."), ".") {
		n, err := strconv.Atoi(word)
		if err != nil {
			break
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// WorkerName is the program's file, and its unit.
const WorkerName = "prime-spark-ort-worker"

// FindWorker finds the worker program: the one that is named, if one is, or where
// worker.FindProgram finds it. It is empty if there is none.
func FindWorker(named string) string {
	if named != "" {
		return named
	}
	return worker.FindProgram(WorkerName)
}
