package hailo

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A Worker is a program that serves the chip.
type Worker struct {
	Kind string   // "c" or "python"
	Argv []string // to start it, before its flags
}

// command is how the worker is started for a library. That in Python takes the one
// that its own package is bound to.
func (w Worker) command(library string, share bool) []string {
	argv := append([]string(nil), w.Argv...)
	if library != "" && w.Kind != "python" {
		argv = append(argv, "--library", library)
	}
	if share {
		argv = append(argv, "--shared")
	}
	return argv
}

// environment is what a worker inherits: where HailoRT finds its own files and
// writes its log, and nothing that is the agent's; besides the mark by which
// continuous integration finds processes that were left behind, and what a double
// of the library is told to do.
func (w Worker) environment(dir string) []string {
	env := []string{
		"HOME=" + dir, "TMPDIR=" + dir, "LANG=C.UTF-8", "PATH=/usr/bin:/bin",
		"HAILORT_LOGGER_PATH=" + dir, "HAILORT_CONSOLE_LOGGER_LEVEL=warning",
	}
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "PRIME_SPARK_CI_RUN=") || strings.HasPrefix(v, "HAILORT_DOUBLE_") {
			env = append(env, v)
		}
	}
	return env
}

// choose picks the worker for a host: Python if it is asked for, and for what only
// that serves.
func choose(workers []Worker, f Facts, python bool) (Worker, error) {
	chip, _ := f.Chip()
	library, _ := f.Library()
	python = python || chip.SoC() || !f.Simulated && library.Version.Major > 4
	for _, w := range workers {
		if (w.Kind == "python") == python {
			return w, nil
		}
	}
	if len(workers) == 0 {
		return Worker{}, errors.New("the worker program " + workerC + " is not here")
	}
	return Worker{}, fmt.Errorf("the Python worker, which HailoRT %v needs, is not here", library.Version)
}

// libexec is where packages put the workers.
const libexec = "/usr/libexec/prime-spark"

// The names of the workers' files.
const (
	workerC      = "prime-spark-hailo-worker"
	workerPython = "prime-spark-hailo-worker.py"
)

// FindWorkers finds the worker programs: the one that is named, if one is; beside
// this program, as a build leaves them; or where the package puts them.
func FindWorkers(named string) []Worker {
	if named != "" {
		return []Worker{kind(named)}
	}
	var dirs []string
	if own, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Dir(own))
	}
	var all []Worker
	for _, name := range []string{workerC, workerPython} {
		for _, dir := range append(dirs, libexec) {
			path := filepath.Join(dir, name)
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				all = append(all, kind(path))
				break
			}
		}
	}
	return all
}

func kind(path string) Worker {
	if filepath.Ext(path) == ".py" {
		return Worker{"python", []string{"/usr/bin/python3", path}}
	}
	return Worker{"c", []string{path}}
}
