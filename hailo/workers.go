package hailo

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"primespark/shared/worker"
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
// writes its log, and what a double of the library is told to do.
func (w Worker) environment(dir string) []string {
	env := append(worker.Environment(dir), "HAILORT_LOGGER_PATH="+dir, "HAILORT_CONSOLE_LOGGER_LEVEL=warning")
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "HAILORT_DOUBLE_") {
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
		return Worker{}, errors.New("the worker program " + WorkerC + " is not here")
	}
	return Worker{}, fmt.Errorf("the Python worker, which HailoRT %v needs, is not here", library.Version)
}

// The names of the workers' files; that in C is its unit's, too.
const (
	WorkerC      = "prime-spark-hailo-worker"
	workerPython = "prime-spark-hailo-worker.py"
)

// FindWorkers finds the worker programs: the one that is named, if one is; beside
// this program, as a build leaves them; or where the package puts them.
func FindWorkers(named string) []Worker {
	if named != "" {
		return []Worker{kind(named)}
	}
	var all []Worker
	for _, name := range []string{WorkerC, workerPython} {
		if path := worker.FindProgram(name); path != "" {
			all = append(all, kind(path))
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
