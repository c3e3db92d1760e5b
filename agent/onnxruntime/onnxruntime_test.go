package onnxruntime_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"primespark/agent/onnxruntime"
	"primespark/agent/onnxruntime/orttest"
	"primespark/shared/run/runtest"
	"primespark/shared/worker"
	"primespark/shared/worker/nativetest"
)

func TestFindLibrary(t *testing.T) {
	for name, test := range map[string]struct {
		files []string
		want  string
	}{
		"none":      {nil, ""},
		"Debian's":  {[]string{"usr/lib/aarch64-linux-gnu/libonnxruntime.so.1.21", "usr/lib/aarch64-linux-gnu/libonnxruntime.so.1.9.0", "usr/local/lib/libonnxruntime.so.1.30.0"}, "usr/lib/aarch64-linux-gnu/libonnxruntime.so.1.21"},
		"by hand":   {[]string{"usr/local/lib/libonnxruntime.so", "usr/local/lib/libonnxruntime.so.1.19.2", "usr/local/lib/libonnxruntime.so.1"}, "usr/local/lib/libonnxruntime.so.1.19.2"},
		"unpacked":  {[]string{"opt/onnxruntime-linux-aarch64-1.22.0/lib/libonnxruntime.so.1.22.0"}, "opt/onnxruntime-linux-aarch64-1.22.0/lib/libonnxruntime.so.1.22.0"},
		"elsewhere": {[]string{"home/pi/libonnxruntime.so"}, ""},
	} {
		root := t.TempDir()
		for _, file := range test.files {
			path := filepath.Join(root, file)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		if got := strings.TrimPrefix(onnxruntime.FindLibrary(root), root+"/"); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// start runs a supervisor until the test ends.
func start(t *testing.T, cfg onnxruntime.Config) *onnxruntime.Supervisor {
	t.Helper()
	cfg.Dir, cfg.Recheck = t.TempDir(), 20*time.Millisecond
	s := onnxruntime.New(cfg)
	runtest.Start(t, s)
	return s
}

func until(t *testing.T, s *onnxruntime.Supervisor, state worker.State) worker.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	st, err := s.Status().Until(ctx, func(st worker.Status) bool { return st.State == state })
	if err != nil {
		t.Fatalf("not %s but %+v: %v", state, st, err)
	}
	return st
}

func add(t *testing.T, s *onnxruntime.Supervisor, content []byte) (*worker.Model, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return s.Add(ctx, worker.Spec{Name: "small", File: nativetest.File(t, content)})
}

// TestIdle runs no worker but while there are models.
func TestIdle(t *testing.T) {
	kit := orttest.Double(t)
	s := start(t, onnxruntime.Config{Library: kit.Library, Worker: kit.Worker})
	for range 2 {
		if st := until(t, s, worker.StateIdle); st.Worker.PID != 0 || onnxruntime.Sentence(st) != "ONNX Runtime is there, and no model uses it." {
			t.Errorf("%+v", st)
		}
		m, err := add(t, s, orttest.Small())
		if err != nil {
			t.Fatal(err)
		}
		if st := until(t, s, worker.StateReady); st.Worker.PID == 0 || !st.Worker.Confined || onnxruntime.Sentence(st) != "ONNX Runtime 1.21.0 is ready." {
			t.Errorf("%+v", st)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	if st := until(t, s, worker.StateIdle); st.Restarts != 0 {
		t.Errorf("%d restarts: %s", st.Restarts, st.LastRestart)
	}
	if _, err := add(t, s, []byte("noise")); err == nil {
		t.Error("a broken model was loaded")
	}
	until(t, s, worker.StateIdle)
}

// TestOutOfService names the cause, and what mends it.
func TestOutOfService(t *testing.T) {
	kit := orttest.Double(t)
	script := filepath.Join(t.TempDir(), "worker")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho '[x] [error] no luck today' >&2\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		cfg      onnxruntime.Config
		state    worker.State
		code     worker.Code
		severity worker.Severity
		says     string
	}{
		"not installed": {onnxruntime.Config{Root: t.TempDir(), Worker: kit.Worker}, onnxruntime.StateAbsent, onnxruntime.Absent, worker.Info, "is not installed"},
		"but wanted":    {onnxruntime.Config{Root: t.TempDir(), Worker: kit.Worker, Wanted: true}, onnxruntime.StateAbsent, onnxruntime.Absent, worker.Warning, "is not installed"},
		"no worker":     {onnxruntime.Config{Library: kit.Library}, onnxruntime.StateRuntime, onnxruntime.WorkerMissing, worker.Fault, "prime-spark-ort-worker is not here"},
		"no library":    {onnxruntime.Config{Library: "/nonexistent.so", Worker: kit.Worker}, onnxruntime.StateRuntime, onnxruntime.Unusable, worker.Fault, "that onnxruntime.library names cannot be used: /nonexistent.so"},
		"it exits":      {onnxruntime.Config{Library: kit.Library, Worker: script}, worker.StateDegraded, worker.InferAborted, worker.Warning, "ended with code 3; its last word: no luck today"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, test.cfg)
			if _, err := add(t, s, orttest.Small()); !errors.Is(err, worker.ErrDown) {
				t.Errorf("Add: %v", err)
			}
			st := until(t, s, test.state)
			if c := st.Cause; c == nil || c.Code != test.code || c.Severity != test.severity || !strings.Contains(c.Detail, test.says) || c.Remedy == "" {
				t.Errorf("%+v", st.Cause)
			}
		})
	}
}
