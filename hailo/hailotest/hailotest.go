// Package hailotest runs the Hailo worker on a double of libhailort that
// computes its answers from the pixels: for tests without a chip.
package hailotest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"primespark/worker/frame"
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
	return build(t, "gcc", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-U_FORTIFY_SOURCE")
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

var building sync.Mutex

// build compiles both programs, once for each state of the sources and flags:
// what it built is kept in the user's cache.
func build(t testing.TB, compiler string, flags ...string) Kit {
	t.Helper()
	Need(t, compiler, "gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross")
	building.Lock()
	defer building.Unlock()
	root := Root(t)
	dir := filepath.Join(cache(t), fingerprint(t, root, compiler, flags))
	k := Kit{Worker: filepath.Join(dir, "prime-spark-hailo-worker"), Library: filepath.Join(dir, "libhailort.so")}
	for what, out := range map[string]string{"worker": k.Worker, "double": k.Library} {
		if _, err := os.Stat(out); err == nil {
			continue
		}
		compile(t, root, out, append([]string{what, compiler}, flags...))
	}
	return k
}

// compile builds beside out and renames, since other tests may build the same.
func compile(t testing.TB, root, out string, args []string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(out), 0o700); err != nil {
		t.Fatal(err)
	}
	part := fmt.Sprintf("%s.%d", out, os.Getpid())
	args = append(args[:2:2], append([]string{part}, args[2:]...)...)
	cmd := exec.Command(filepath.Join(root, "scripts", "hailo-worker.sh"), args...)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, said)
	}
	if err := os.Rename(part, out); err != nil {
		t.Fatal(err)
	}
}

// Double compiles a variant of the double, with flags, for this machine.
func Double(t testing.TB, flags ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "libhailort.so")
	compile(t, Root(t), out, append([]string{"double", "gcc"}, flags...))
	return out
}

func cache(t testing.TB) string {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = t.TempDir() // nowhere to keep it
	}
	return filepath.Join(dir, "prime-spark", "hailotest")
}

func fingerprint(t testing.TB, root, compiler string, flags []string) string {
	t.Helper()
	sum := sha256.New()
	fmt.Fprintln(sum, compiler, flags)
	sources, err := filepath.Glob(filepath.Join(root, "hailo", "*", "*.[ch]"))
	native, err3 := filepath.Glob(filepath.Join(root, "worker", "native", "*.[ch]"))
	doubles, err2 := filepath.Glob(filepath.Join(root, "hailo", "hailotest", "double", "*.[ch]"))
	if err := errors.Join(err, err2, err3); err != nil || len(sources) == 0 || len(native) == 0 || len(doubles) == 0 {
		t.Fatalf("sources: %v, %v, %v", sources, doubles, err)
	}
	for _, f := range append(slices.Concat(sources, doubles, native), filepath.Join(root, "scripts", "hailo-worker.sh")) {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(sum, f, len(b))
		sum.Write(b)
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:12])
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

// A Process is a worker that runs.
type Process struct {
	*frame.Client
	Cmd    *exec.Cmd
	Stderr *bytes.Buffer // to be read after Wait

	ended chan struct{}
	err   error // of Cmd.Wait, once ended is closed
}

// Start runs command with the socket of the protocol, and env beside this
// process's own. The worker is ended with the test at the latest.
func Start(t testing.TB, env []string, command ...string) *Process {
	t.Helper()
	conn, theirs, err := frame.Pair()
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{Client: frame.NewClient(conn), Stderr: &bytes.Buffer{}, ended: make(chan struct{})}
	p.Cmd = exec.Command(command[0], command[1:]...)
	p.Cmd.Env = append(os.Environ(), env...)
	p.Cmd.Dir = t.TempDir()
	p.Cmd.Stderr = p.Stderr
	p.Cmd.ExtraFiles = []*os.File{theirs}
	// The worker asks to be killed with the thread that began it, and threads of
	// Go end when they like; so one is held for it.
	started := make(chan error)
	go func() { // ended by Wait below
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.Cmd.Start()
		started <- err
		if err == nil {
			p.err = p.Cmd.Wait()
		}
		close(p.ended)
	}()
	err = <-started
	_ = theirs.Close() // the worker has its own
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { _ = p.Run(ctx) }) // ends with the worker, and whoever asks is told so
	t.Cleanup(func() {
		_ = p.Cmd.Process.Kill() // it may have ended
		<-p.ended
		cancel()
		run.Wait()
		if s := p.Stderr.String(); t.Failed() && s != "" {
			t.Logf("the worker said:\n%s", s)
		}
	})
	return p
}

// Wait waits for the worker's end and returns how it ended.
func (p *Process) Wait() error {
	<-p.ended
	return p.err
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

// File writes content to a file of the test and opens it.
func File(t testing.TB, content []byte) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), strings.ReplaceAll(t.Name(), "/", "-"))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // only read
	return f
}
