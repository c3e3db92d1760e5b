package worker

import (
	"os"
	"path/filepath"
)

// libexec is where packages put the workers.
const libexec = "/usr/libexec/prime-spark"

// FindProgram finds a worker's file: beside this program, as a build leaves it, or
// where the package puts it. It is empty if there is none.
func FindProgram(name string) string {
	var dirs []string
	if own, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Dir(own))
	}
	for _, dir := range append(dirs, libexec) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// Environment is what a worker inherits: a home and a place for its files, and nothing
// that is the agent's, besides the mark by which continuous integration finds
// processes that were left behind.
func Environment(dir string) []string {
	env := []string{"HOME=" + dir, "TMPDIR=" + dir, "LANG=C.UTF-8", "PATH=/usr/bin:/bin"}
	if run := os.Getenv(ofCI); run != "" {
		env = append(env, ofCI+"="+run)
	}
	return env
}

const ofCI = "PRIME_SPARK_CI_RUN"
