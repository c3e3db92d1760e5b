// Package hailotest runs the Hailo worker on a double of libhailort that
// computes its answers from the pixels: for tests without a chip.
package hailotest

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"primespark/shared/worker/nativetest"
)

// A Kit is a worker and a double that fit each other.
type Kit struct {
	Worker  string   // the program
	Library string   // the double
	Prefix  []string // what runs them, if not this machine
}

// Native is the kit for this machine. The test is skipped without gcc, unless CI
// runs it.
func Native(t testing.TB) Kit {
	t.Helper()
	return build(t, "gcc")
}

// Sanitized is Native with the checks of gcc's address and undefined behaviour sanitizers.
func Sanitized(t testing.TB) Kit {
	t.Helper()
	return build(t, "gcc", nativetest.Sanitize...)
}

// ARM64 is the kit of a Raspberry Pi, run by qemu where this machine is none.
func ARM64(t testing.TB) Kit {
	t.Helper()
	if runtime.GOARCH == "arm64" {
		return Native(t)
	}
	Need(t, "qemu-aarch64-static", "qemu-user-static")
	k := build(t, "aarch64-linux-gnu-gcc")
	k.Prefix = []string{"qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"}
	return k
}

// python is Debian's, which hailo_platform is installed for.
const python = "/usr/bin/python3"

// Python is the command of the worker in Python, on a double of hailo_platform. The
// test is skipped without numpy, unless CI runs it.
func Python(t testing.TB) []string {
	t.Helper()
	Need(t, python, "python3 python3-numpy")
	if out, err := exec.Command(python, "-c", "import numpy").CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("apt install python3-numpy: %s", out)
		}
		t.Skip("needs numpy: apt install python3-numpy")
	}
	dir := filepath.Join(Root(t), "hailo")
	return []string{
		"/usr/bin/env", "PYTHONPATH=" + filepath.Join(dir, "hailotest", "platform"), "PYTHONDONTWRITEBYTECODE=1",
		python, filepath.Join(dir, "workerpy", "worker.py"),
	}
}

// build compiles both programs.
func build(t testing.TB, compiler string, flags ...string) Kit {
	t.Helper()
	return Kit{
		Worker:  nativetest.Build(t, "hailo", "prime-spark-hailo-worker", compiler, flags...),
		Library: nativetest.Build(t, "hailo-double", "libhailort.so", compiler, flags...),
	}
}

// Double compiles a variant of the double, with flags, for this machine.
func Double(t testing.TB, flags ...string) string {
	t.Helper()
	return nativetest.Build(t, "hailo-double", "libhailort.so", "gcc", flags...)
}

// What tests of all workers use.
var (
	Need = nativetest.Need
	Root = nativetest.Root
	File = nativetest.File
)

// A Process is a worker that runs.
type Process = nativetest.Process

// Start runs command as a worker; see nativetest.Start.
func Start(t testing.TB, env []string, command ...string) *Process {
	t.Helper()
	return nativetest.Start(t, env, command...)
}

// Start runs the kit's worker on its double; env are switches of the double,
// such as HAILORT_DOUBLE_FPS=309.
func (k Kit) Start(t testing.TB, env ...string) *Process {
	t.Helper()
	return k.StartWith(t, env)
}

// StartWith is Start with more arguments for the worker.
func (k Kit) StartWith(t testing.TB, env []string, args ...string) *Process {
	t.Helper()
	command := append(append([]string{}, k.Prefix...), k.Worker, "--library", k.Library)
	return Start(t, env, append(command, args...)...)
}
