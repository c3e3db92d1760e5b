// Package machine is what the fault suite does to the machine that it runs on:
// network namespaces with a bridge between them, small disks that lose power,
// fill up or hang.
//
// Everything that it makes has a name that begins with Prefix and the process
// that made it, and lies below that run's directory. A sweeper, which is a process
// of its own, removes what is left when the run ends, however it ends; and each run
// removes what is left of others whose sweeper was killed, too. All of it takes
// root.
package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Prefix begins the names of namespaces, bridges and directories.
const Prefix = "pslab-"

// Missing lists what is needed and not there; empty if all is.
func Missing() (what []string) {
	if os.Geteuid() != 0 {
		what = append(what, "root")
	}
	for _, program := range []string{"ip", "nft", "mkfs.ext4", "mount", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			what = append(what, program+" (apt-get install iproute2 nftables e2fsprogs mount util-linux)")
		}
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		what = append(what, "loop devices")
	}
	return what
}

// A Run is one process that uses the machine.
type Run struct {
	Dir string // for its files; removed at the end

	id      string
	sweeper *exec.Cmd
	alive   *os.File // our end of the sweeper's pipe; the kernel closes it if nobody else does

	mu   sync.Mutex
	nets int
}

// sweepWord is the first argument of a process that is a sweeper.
const sweepWord = "pslab-sweep"

// Begin removes what dead runs have left, and starts a run. The program has to
// call Sweeper first thing in main.
func Begin() (*Run, error) {
	if err := sweepDead(); err != nil {
		return nil, err
	}
	r := &Run{id: strconv.FormatInt(int64(os.Getpid()), 36)}
	r.Dir = dirOf(r.id)
	// One that is there already is somebody else's: Mkdir refuses it.
	if err := os.Mkdir(r.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the run's directory: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the sweeper: %w", err)
	}
	defer read.Close()
	r.alive = write
	r.sweeper = exec.Command(self, sweepWord, r.id)
	r.sweeper.Stdin, r.sweeper.Stderr = read, os.Stderr
	// Of its own session, so that what kills this process's group leaves it be.
	r.sweeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := r.sweeper.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the sweeper: %w", err), write.Close(), os.RemoveAll(r.Dir))
	}
	return r, nil
}

// End has the sweeper remove everything, and says what could not be.
func (r *Run) End() error {
	if err := r.alive.Close(); err != nil {
		return err
	}
	if err := r.sweeper.Wait(); err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	return nil
}

// Sweeper is the whole life of a process that was started to be a sweeper, and
// returns at once in any other.
func Sweeper() {
	if len(os.Args) != 3 || os.Args[1] != sweepWord {
		return
	}
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the run has ended; whatever ends it will do
	if err := sweep(os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "clean up:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func dirOf(id string) string { return filepath.Join(os.TempDir(), Prefix+id) }

// tool runs a program and returns its output; what it has to say of a failure is
// in the error.
func tool(stdin, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}
