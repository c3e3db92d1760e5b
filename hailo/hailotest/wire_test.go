package hailotest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"primespark/hailo/hailotest"
	"primespark/shared/worker/frame"
)

// The numbers of the protocol, as the workers in C and Python have them.
var wire = map[string]int64{
	"VERSION": frame.Version, "MAX_PAYLOAD": frame.MaxPayload, "MAX_MODELS": frame.MaxModels, "MAX_TENSORS": frame.MaxTensors,
	"MAX_DEPTH": frame.MaxDepth, "MAX_ARENA": frame.MaxArena, "MAX_NAME": frame.MaxName, "MAX_DIMS": frame.MaxDims, "ALIGN": frame.Align,
	"HELLO": int64(frame.Hello), "DEVICE": int64(frame.Device), "LOAD": int64(frame.Load), "MAP": int64(frame.Map), "INFER": int64(frame.Infer),
	"PING": int64(frame.Ping), "SENSE": int64(frame.Sense), "UNLOAD": int64(frame.Unload), "BYE": int64(frame.Bye), "START": int64(frame.Start),
	"OK": int64(frame.OK), "MALFORMED": int64(frame.Malformed), "NO_LIBRARY": int64(frame.NoLibrary), "UNKNOWN": int64(frame.Unknown),
	"LAYOUT": int64(frame.Layout), "FULL": int64(frame.Full), "BROKEN": int64(frame.Broken), "MEMORY": int64(frame.Memory),
	"UNSUPPORTED": int64(frame.Unsupported), "NO_DEVICE": int64(frame.NoDevice), "TOO_LARGE": int64(frame.TooLarge),
}

func TestWireHeader(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(hailotest.Root(t), "shared", "worker", "native", "wire.h"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#define WIRE_(\w+) \(?(-?\d+)\)?$`).FindAllStringSubmatch(string(b), -1) {
		got, err := strconv.ParseInt(m[2], 10, 64)
		want, known := wire[m[1]]
		if err != nil || known && got != want {
			t.Errorf("WIRE_%s is %d, and %d in package frame", m[1], got, want)
		}
		found[m[1]] = true
	}
	for name := range wire {
		if !found[name] {
			t.Errorf("wire.h has no WIRE_%s", name)
		}
	}
}

// TestABI holds the worker's table against real headers of HailoRT, which are not
// in this repository: HAILORT_HEADERS names folders, separated by colons, whose
// names end in the version and which hold hailo/hailort.h.
func TestABI(t *testing.T) {
	folders := os.Getenv("HAILORT_HEADERS")
	if folders == "" {
		t.Skip("needs HAILORT_HEADERS, folders with the headers of HailoRT: see the comment of this test")
	}
	source := filepath.Join(hailotest.Root(t), "hailo", "worker", "abi_check.c")
	for _, dir := range filepath.SplitList(folders) {
		for _, compiler := range []string{"gcc", "aarch64-linux-gnu-gcc"} {
			t.Run(filepath.Base(dir)+" "+compiler, func(t *testing.T) {
				hailotest.Need(t, compiler, "gcc gcc-aarch64-linux-gnu")
				args := []string{"-std=c11", "-fsyntax-only", "-w", "-Werror=incompatible-pointer-types", "-I", dir}
				if _, minor, ok := strings.Cut(filepath.Base(dir), "4."); ok && minor >= "20" {
					args = append(args, "-DLAYOUT_NEW")
				}
				if out, err := exec.Command(compiler, append(args, source)...).CombinedOutput(); err != nil {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	}
}
