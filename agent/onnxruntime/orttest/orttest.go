// Package orttest runs the worker of ONNX Runtime in tests: on a double of the library
// that computes sums, or on the real one where it is.
package orttest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"primespark/shared/worker/nativetest"
)

// A Kit is a worker and a library.
type Kit struct {
	Worker  string
	Library string
	Prefix  []string // what runs the worker, if not this machine
}

// Double is a kit for this machine, with the double.
func Double(t testing.TB, flags ...string) Kit {
	t.Helper()
	return build(t, "gcc", flags...)
}

// ARM64 is that kit of a Raspberry Pi, run by qemu where this machine is none.
func ARM64(t testing.TB) Kit {
	t.Helper()
	if runtime.GOARCH == "arm64" {
		return Double(t)
	}
	nativetest.Need(t, "qemu-aarch64-static", "qemu-user-static")
	k := build(t, "aarch64-linux-gnu-gcc")
	k.Prefix = []string{"qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"}
	return k
}

func build(t testing.TB, compiler string, flags ...string) Kit {
	t.Helper()
	return Kit{
		Worker:  nativetest.Build(t, "onnxruntime", "prime-spark-ort-worker", compiler, flags...),
		Library: nativetest.Build(t, "onnxruntime-double", "libonnxruntime.so.1", compiler, flags...),
	}
}

// Real is the kit with the library of npm's onnxruntime-node, and the folder whose
// node_modules has that. The test is skipped without it, unless CI runs it:
// scripts/npm-onnxruntime.sh brings it.
func Real(t testing.TB) (k Kit, node string) {
	t.Helper()
	out, err := exec.Command(filepath.Join(nativetest.Root(t), "scripts", "npm-onnxruntime.sh"), "--find").Output()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("onnxruntime-node is missing: run scripts/npm-onnxruntime.sh")
		}
		t.Skip("needs onnxruntime-node: run scripts/npm-onnxruntime.sh")
	}
	node = strings.TrimSpace(string(out))
	arch := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	found, err := filepath.Glob(filepath.Join(node, "node_modules", "onnxruntime-node", "bin", "napi-v*", "linux", arch, "libonnxruntime.so.1*"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no library in %s, %v", node, err)
	}
	return Kit{Worker: nativetest.Build(t, "onnxruntime", "prime-spark-ort-worker", "gcc"), Library: found[0]}, node
}

// Start runs the kit's worker.
func (k Kit) Start(t testing.TB, args ...string) *nativetest.Process {
	t.Helper()
	command := append(append([]string{}, k.Prefix...), k.Worker, "--library", k.Library)
	return nativetest.Start(t, nil, append(command, args...)...)
}

// A Port is an input or output of a model for the double.
type Port struct {
	Name string
	Type int   // ONNX Runtime's number: 1 is FP32, 2 UINT8, 7 INT64
	Dims []int // -1 is left open, and -2 of an output, too, for the data to decide; none is a scalar
}

// Model is a file for the double.
func Model(in, out []Port) []byte {
	var text strings.Builder
	text.WriteString("ORT double\n")
	for i, side := range [][]Port{in, out} {
		for _, p := range side {
			dims := strings.Join(strings.Fields(strings.Trim(fmt.Sprint(p.Dims), "[]")), ",")
			if dims == "" {
				dims = "-"
			}
			fmt.Fprintf(&text, "%s %s %d %s\n", [...]string{"in", "out"}[i], p.Name, p.Type, dims)
		}
	}
	return []byte(text.String())
}

// Small is a model of 2 × 3 numbers in and 4 out.
func Small() []byte {
	return Model([]Port{{"x", 1, []int{2, 3}}}, []Port{{"y", 1, []int{4}}})
}

// What the first number of an input asks the double for.
const (
	Crash = 666 + iota
	Hang
	Fail
	Garbage  // outputs are noise
	Escape   // sockets, files to write, programs: the first number that comes out tells what worked, as bits
	Allocate // up to 4 GiB: the first number that comes out is how many MiB were to be had
)
