// Package nativetest builds workers that are written in C, and runs them for tests
// as an agent does.
package nativetest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Need skips the test if a program is missing; in CI it fails.
func Need(t testing.TB, program, debian string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing: apt install %s", program, debian)
	}
	t.Skipf("needs %s: apt install %s", program, debian)
}

// Sanitize are flags with which gcc's address and undefined behaviour sanitizers look
// on.
var Sanitize = []string{"-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-U_FORTIFY_SOURCE"}

var building sync.Mutex

// Build compiles what scripts/native-worker.sh calls so into a file of that name, once
// for each state of the sources and flags: what it built is kept in the user's cache.
// The test is skipped without the compiler, unless CI runs it.
func Build(t testing.TB, what, name, compiler string, flags ...string) (path string) {
	t.Helper()
	Need(t, compiler, "gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross")
	building.Lock()
	defer building.Unlock()
	root := Root(t)
	out := filepath.Join(cache(t), fingerprint(t, root, what, compiler, flags), name)
	if _, err := os.Stat(out); err == nil {
		return out
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o700); err != nil {
		t.Fatal(err)
	}
	// Beside it and renamed, since other tests may build the same.
	part := fmt.Sprintf("%s.%d", out, os.Getpid())
	cmd := exec.Command(filepath.Join(root, "scripts", "native-worker.sh"), append([]string{what, compiler, part}, flags...)...)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, said)
	}
	if err := os.Rename(part, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func cache(t testing.TB) string {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = t.TempDir() // nowhere to keep it
	}
	return filepath.Join(dir, "prime-spark", "nativetest")
}

// sources are the folders, in patterns, of all that is written in C.
var sources = []string{"shared/worker/native", "hailo/worker", "hailo/hailotest/double", "agent/onnxruntime/worker", "agent/onnxruntime/double"}

func fingerprint(t testing.TB, root, what, compiler string, flags []string) string {
	t.Helper()
	sum := sha256.New()
	fmt.Fprintln(sum, what, compiler, flags)
	all := []string{filepath.Join(root, "scripts", "native-worker.sh")}
	for _, dir := range sources {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.[ch]"))
		if err != nil || len(files) == 0 {
			t.Fatalf("sources in %s: %v, %v", dir, files, err)
		}
		all = append(all, files...)
	}
	for _, f := range all {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(sum, f, len(b))
		sum.Write(b)
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:12])
}

// Analyze holds each file of a folder against gcc's analyzer: what that finds is a
// fault.
func Analyze(t *testing.T, dir string) {
	Need(t, "gcc", "gcc")
	root := Root(t)
	files, err := filepath.Glob(filepath.Join(root, dir, "*.c"))
	if err != nil || len(files) == 0 {
		t.Fatalf("sources in %s: %v, %v", dir, files, err)
	}
	for _, f := range files {
		if filepath.Base(f) == "abi_check.c" {
			continue // needs headers that are not here
		}
		t.Run(filepath.Base(f), func(t *testing.T) {
			t.Parallel()
			out, err := exec.Command("gcc", "-std=c11", "-O1", "-fanalyzer", "-Werror", "-I", filepath.Join(root, "shared", "worker", "native"), "-c", "-o", os.DevNull, f).CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// Root is the folder of this module, found from the test's.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		} else if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			t.Fatal(err)
		}
	}
	t.Fatal(err)
	return ""
}
