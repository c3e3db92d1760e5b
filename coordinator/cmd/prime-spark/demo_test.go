package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDemo runs the demo as a user does: the three programs, built, in one
// directory. Whatever way it ends, no process and no file of it stays.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: builds the programs and runs a fleet of them")
	}
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin+"/", "primespark/agent/cmd/prime-spark-agent",
		"primespark/coordinator/cmd/prime-spark-coordinator", "primespark/coordinator/cmd/prime-spark")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	t.Run("check", func(t *testing.T) {
		d := start(t, bin, "--exit-after-check")
		d.until(t, "All of it works.")
		if code := d.end(t); code != 0 {
			t.Errorf("exit code %d", code)
		}
		for _, want := range []string{"3 of 3 agents healthy", "found: face", "answered by pi-", "killing the leader", "0 failed", "a change was accepted"} {
			if !strings.Contains(d.output.String(), want) {
				t.Errorf("it did not say %q:\n%s", want, &d.output)
			}
		}
		if took := time.Since(d.began); took > time.Minute {
			t.Errorf("it took %v, more than a minute", took)
		}
		d.leavesNothing(t)
	})
	t.Run("with a simulated Hailo", func(t *testing.T) {
		withDouble(t, bin)
		d := start(t, bin, "--exit-after-check", "--with-hailo-double", "--agents", "1")
		d.until(t, "All of it works.")
		if code := d.end(t); code != 0 {
			t.Errorf("exit code %d", code)
		}
		for _, want := range []string{"pi-1 has a simulated Hailo-8", "found: cat, score 0.90, box 100,50 to 200,150 px", "answered by pi-1 (hailo)"} {
			if !strings.Contains(d.output.String(), want) {
				t.Errorf("it did not say %q:\n%s", want, &d.output)
			}
		}
		d.leavesNothing(t)
	})
	t.Run("Ctrl-C", func(t *testing.T) {
		d := start(t, bin)
		line := d.until(t, "Status page")
		page := strings.Fields(line)[2]
		res, err := http.Get(page)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK || !bytes.Contains(body, []byte("3 of 3 agents healthy")) {
			t.Errorf("the page at %s: %d, %v\n%s", page, res.StatusCode, err, body)
		}
		d.until(t, "Ctrl-C ends it")
		d.signal(t, syscall.SIGINT)
		if code := d.end(t); code != 0 {
			t.Errorf("exit code %d", code)
		}
		d.leavesNothing(t)
	})
	t.Run("Ctrl-C on the way", func(t *testing.T) {
		d := start(t, bin)
		d.until(t, "joining")
		d.signal(t, syscall.SIGINT)
		if code := d.end(t); code != 1 {
			t.Errorf("exit code %d, want 1: it did not come to its end", code)
		}
		d.leavesNothing(t)
	})
	t.Run("kill", func(t *testing.T) {
		d := start(t, bin)
		d.until(t, "sending a photo")
		d.signal(t, syscall.SIGKILL)
		d.end(t)
		d.leavesNothing(t)
	})
	t.Run("a daemon falls", func(t *testing.T) {
		d := start(t, bin, "--agents", "1")
		d.until(t, "Ctrl-C ends it")
		for _, pid := range processes(t, filepath.Join(bin, "prime-spark-agent")) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		if code := d.end(t); code != 1 || !strings.Contains(d.output.String(), "pi-1 ended by itself (signal: killed)") {
			t.Errorf("exit code %d\n%s", code, &d.output)
		}
		d.leavesNothing(t)
	})
}

// withDouble builds what make hailo-double does, into bin.
func withDouble(t *testing.T, bin string) {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("gcc is missing: apt install gcc")
		}
		t.Skip("needs gcc: apt install gcc")
	}
	const root = "../../.."
	for _, command := range [][]string{
		{"scripts/native-worker.sh", "hailo", "gcc", filepath.Join(bin, "prime-spark-hailo-worker")},
		{"scripts/native-worker.sh", "hailo-double", "gcc", filepath.Join(bin, "libhailort.so")},
		{"go", "run", "scripts/demo-hef.go", filepath.Join(bin, "hailo-models")},
	} {
		build := exec.Command(command[0], command[1:]...)
		if build.Dir = root; strings.Contains(command[0], "/") {
			build.Path = filepath.Join(root, command[0])
			build.Path, _ = filepath.Abs(build.Path) // it fails below if it is not there
		}
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", command, err, out)
		}
	}
}

// TestDemoRefuses needs no daemons: it does not come to starting any.
func TestDemoRefuses(t *testing.T) {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin+"/", "primespark/coordinator/cmd/prime-spark")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	refused := func(want string, code int, args ...string) {
		t.Helper()
		d := start(t, bin, args...)
		if got := d.end(t); got != code || !strings.Contains(d.output.String(), want) {
			t.Errorf("demo %v: exit code %d, want %d; want %q in\n%s", args, got, code, want, &d.output)
		}
		d.leavesNothing(t)
	}
	refused("There is no program prime-spark-coordinator beside this one", 3)
	for _, name := range []string{"prime-spark-coordinator", "prime-spark-agent"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\necho no cluster today >&2\nexit 1\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	refused("Port "+port+" of 127.0.0.1 is taken", 1, "--port", port)
	refused("prime-spark-coordinator init did not work: no cluster today", 1)
	refused("The simulated Hailo is not there", 3, "--with-hailo-double")
	refused("--port is 80; give one from 1024", 2, "--port", "80")
	refused("--agents is 0", 2, "--agents", "0")
}

// A demo is one that runs.
type running struct {
	cmd    *exec.Cmd
	bin    string
	tmp    string
	lines  *bufio.Scanner
	output bytes.Buffer
	began  time.Time
}

// start runs the demo with a temporary directory of its own.
func start(t *testing.T, bin string, args ...string) *running {
	t.Helper()
	d := &running{bin: bin, tmp: t.TempDir(), began: time.Now()}
	d.cmd = exec.CommandContext(t.Context(), filepath.Join(bin, "prime-spark"), append([]string{"demo"}, args...)...)
	d.cmd.Env = append(os.Environ(), "TMPDIR="+d.tmp)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { read.Close() })
	d.cmd.Stdout, d.cmd.Stderr = write, write
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	d.lines = bufio.NewScanner(read)
	// A demo that hangs must not hang the test: killed, its output ends.
	late := time.AfterFunc(2*time.Minute, func() { d.cmd.Process.Kill() })
	t.Cleanup(func() { late.Stop() })
	return d
}

// until reads the demo's output up to the line that has want in it.
func (d *running) until(t *testing.T, want string) string {
	t.Helper()
	for d.lines.Scan() {
		d.output.WriteString(d.lines.Text() + "\n")
		if strings.Contains(d.lines.Text(), want) {
			return d.lines.Text()
		}
	}
	t.Fatalf("it ended without %q, after %v:\n%s", want, time.Since(d.began), &d.output)
	return ""
}

func (d *running) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// end waits for the demo's end and returns its exit code, -1 for a signal.
func (d *running) end(t *testing.T) int {
	t.Helper()
	for d.lines.Scan() {
		d.output.WriteString(d.lines.Text() + "\n")
	}
	err := d.cmd.Wait()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return d.cmd.ProcessState.ExitCode()
}

// leavesNothing checks that no process of the programs in bin runs any more, and
// that the temporary directory is empty. After a SIGKILL the kernel and the
// sweeper need a moment for it.
func (d *running) leavesNothing(t *testing.T) {
	t.Helper()
	var left []string
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		left = nil
		for _, pid := range processes(t, d.bin) {
			left = append(left, "process "+strconv.Itoa(pid))
		}
		files, err := os.ReadDir(d.tmp)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			left = append(left, f.Name())
		}
		if len(left) == 0 {
			return
		}
	}
	t.Errorf("left behind: %v", left)
}

// processes returns those whose program is at path, or below it.
func processes(t *testing.T, path string) (pids []int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, exe := range all {
		target, err := os.Readlink(exe)
		if err != nil || target != path && !strings.HasPrefix(target, path+"/") {
			continue // gone meanwhile, or somebody else's
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(exe)))
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}
