// Package lab_test is the fault suite: fleets of real processes, to which happens
// what happens to machines. Each suite is a function that returns a violation when
// a promise was broken, and any other error when it could not find out; so the same
// function is run on the real programs, which have to pass, and on sabotaged ones
// (shared/sabotage), which have to be caught.
//
//	make chaos                        everything, about fifteen minutes
//	make chaos CHAOS=short            the part that CI runs
//	make chaos NEMESIS=15m SEED=42    random faults for so long, the same for the same seed
package lab_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"primespark/scripts/lab/machine"
)

func TestMain(m *testing.M) {
	machine.Sweeper()
	code := m.Run()
	if err := endRun(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// theRun is this process's use of the machine; it begins with the first suite.
var theRun = sync.OnceValues(machine.Begin)

// endRun removes everything, if anything was begun.
func endRun() error {
	if os.Getenv(chaosEnv) == "" || len(machine.Missing()) > 0 {
		return nil
	}
	r, err := theRun()
	if err != nil {
		return nil // the suites have said so
	}
	return errors.Join(strays(r.Dir), r.End())
}

// strays reports processes of this run that are still there when all fleets are closed.
func strays(dir string) error {
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err
	}
	var left []error
	for _, file := range lines {
		line, err := os.ReadFile(file)
		if err == nil && bytes.Contains(line, []byte(dir+"/")) { // others come and go
			left = append(left, fmt.Errorf("left running: %s", bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return errors.Join(left...)
}

// chaosEnv says how much to run: short or full. Without it, the suites are skipped.
const chaosEnv = "PRIME_SPARK_CHAOS"

// short reports whether only the bounded part is to run.
func short() bool { return os.Getenv(chaosEnv) != "full" }

// either is the first in the bounded part, and the second else.
func either[T any](inShort, inFull T) T {
	if short() {
		return inShort
	}
	return inFull
}

// begin skips the test, or has it run beside others, with a context that ends in time.
func begin(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	if os.Getenv(chaosEnv) == "" {
		t.Skip("the fault suite is run by make chaos")
	}
	if what := machine.Missing(); len(what) > 0 {
		if os.Getenv("CI") == "true" {
			t.Fatalf("not here: %s", strings.Join(what, ", "))
		}
		t.Skipf("not here: %s", strings.Join(what, ", "))
	}
	t.Parallel() // comes back when it is this one's turn
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// A violation is a promise that was broken.
type violation struct{ what string }

func (v violation) Error() string { return "VIOLATION: " + v.what }

func broken(format string, args ...any) error { return violation{fmt.Sprintf(format, args...)} }

// caught reports whether err holds a violation.
func caught(err error) bool { _, ok := errors.AsType[violation](err); return ok }

// A build is the programs as built with a tag; "" are the real ones.
type build string

// bin returns the directory of the programs, which are built once. The sabotage is
// in the coordinator; the agent is always the real one.
func (b build) bin() (string, error) {
	builds.Lock()
	defer builds.Unlock()
	run, err := theRun()
	if err != nil {
		return "", err
	}
	real := filepath.Join(run.Dir, "bin")
	if builds.dirs[""] == "" {
		if err := compile("", real, "./coordinator/cmd/prime-spark-coordinator", "./agent/cmd/prime-spark-agent"); err != nil {
			return "", err
		}
		builds.dirs[""] = real
	}
	if builds.dirs[b] == "" {
		dir := filepath.Join(run.Dir, "bin-"+string(b))
		if err := compile(b, dir, "./coordinator/cmd/prime-spark-coordinator"); err != nil {
			return "", err
		}
		if err := os.Symlink(filepath.Join(real, "prime-spark-agent"), filepath.Join(dir, "prime-spark-agent")); err != nil {
			return "", err
		}
		builds.dirs[b] = dir
	}
	return builds.dirs[b], nil
}

// compile builds programs as they are released, but for the tag.
func compile(tag build, dir string, programs ...string) error {
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-tags", string(tag), "-o", dir + "/"}
	cmd := exec.Command("go", append(args, programs...)...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s with tags %q: %w: %s", strings.Join(programs, " "), tag, err, out)
	}
	return nil
}

var builds = struct {
	sync.Mutex
	dirs map[build]string
}{dirs: map[build]string{}}

// within tries f each 50 ms until it returns nil. After limit, its last error is
// that of the whole; a violation ends it at once.
func within(ctx context.Context, limit time.Duration, what string, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	begun := time.Now()
	for {
		try, end := context.WithTimeout(ctx, 2*time.Second)
		err := f(try)
		end()
		if err == nil || caught(err) {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%s: not within %v: %w", what, time.Since(begun).Round(time.Millisecond), err)
		}
	}
}

// promised is within, whose limit is a promise.
func promised(ctx context.Context, limit time.Duration, what string, f func(context.Context) error) error {
	err := within(ctx, limit, what, f)
	if err != nil && !caught(err) && ctx.Err() == nil {
		return broken("%v", err)
	}
	return err
}
