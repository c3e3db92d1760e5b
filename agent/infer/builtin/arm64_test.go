package builtin

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// TestARM64 builds the tests of the engine and of its kernels for 64-bit ARM and runs a part
// of them under an emulator, with the NEON kernels and plain Go, as the boards would.
func TestARM64(t *testing.T) {
	if runtime.GOARCH == "arm64" {
		t.Skip("the other tests run on arm64 already")
	}
	if raceEnabled {
		t.Skip("the emulated program is the same, and the run without the race detector runs it")
	}
	emulator, err := exec.LookPath("qemu-aarch64-static")
	if err != nil {
		needTool(t, "needs Debian's package qemu-user-static")
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		needTool(t, "needs the go command")
	}
	for _, part := range []struct{ dir, run string }{
		{"kernel", "TestGemm|TestTiles|TestDepth|TestPack|TestRows|TestMaps|TestExtremes|TestNaN"},
		{".", "TestModels|TestSharing|TestConformance|TestHostile|TestStops|TestFold|TestIf|TestBatch|TestSpread|TestGates|TestWinograd"},
	} {
		t.Run(part.dir, func(t *testing.T) {
			t.Parallel()
			binary := filepath.Join(t.TempDir(), "arm64.test")
			build := exec.CommandContext(t.Context(), tool, "test", "-c", "-o", binary, "./"+part.dir)
			build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			// -test.short leaves out what takes long in plain Go.
			run := exec.CommandContext(t.Context(), emulator, binary, "-test.short", "-test.run", part.run)
			run.Dir = part.dir
			if out, err := run.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}
