package rig

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// dirPrefix begins the name of every rig's directory.
const dirPrefix = "prime-spark-demo-"

// SweepCommand is the hidden command of prime-spark that makes it a sweeper; its
// argument is the directory.
const SweepCommand = "sweep-demo"

// Sweep waits until alive ends, which it does with the process that holds the
// other end of it, however that one ends, and then removes the directory of its rig.
func Sweep(alive io.Reader, dir string) error {
	if err := checkSweep(dir); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, alive); err != nil {
		return fmt.Errorf("wait for the demo's end: %w", err)
	}
	// The daemons were killed at the same moment, and may write a file or two
	// before they know.
	var err error
	for range 50 {
		if err = os.RemoveAll(dir); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// checkSweep makes sure that nothing but a rig's directory is ever removed.
func checkSweep(dir string) error {
	if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir || !strings.HasPrefix(filepath.Base(dir), dirPrefix) {
		return fmt.Errorf("%s is not the directory of a demo", dir)
	}
	info, err := os.Lstat(dir)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a directory", dir)
	}
	return err
}

// A sweeper is a process that waits for the end of this one.
type sweeper struct {
	cmd   *exec.Cmd
	alive *os.File // our end of the pipe; the kernel closes it if nobody else does
}

// startSweeper runs the command line of bin, and not whoever makes the rig: a test
// that started itself would make another rig, and so on.
func startSweeper(bin, dir string) (*sweeper, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the sweeper: %w", err)
	}
	defer read.Close()
	cmd := exec.Command(filepath.Join(bin, commandProgram), SweepCommand, dir)
	cmd.Stdin = read
	// Of its own session, so that what kills this process's group leaves it be.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		write.Close()
		return nil, fmt.Errorf("start the sweeper: %w", err)
	}
	return &sweeper{cmd, write}, nil
}

// dismiss ends the sweeper without a sweep: the rig removes its directory
// itself.
func (s *sweeper) dismiss() {
	// Killed before it notices; both are of no consequence if it is gone already.
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	_ = s.alive.Close()
}
