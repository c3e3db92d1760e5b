package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"

	"primespark/shared/problem"
)

// claim makes the state directory, and takes it for this process until release:
// two agents of one identity would speak in each other's name. The lock is on the
// directory itself, so that a disk that has become read-only does not keep a node
// from serving, and goes with the process however that ends.
func claim(dir string, log *slog.Logger) (release func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, noState(dir, err)
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, noState(dir, err)
	}
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil, &problem.Error{
			Code: problem.Conflict, Err: errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close()),
			Detail: "Another agent runs with the state directory " + dir + ".",
			Remedy: "Stop that one, or give this one a state_dir, and a node, of its own.",
		}
	case err != nil: // some network file systems have no such lock
		log.Warn("state directory not locked", "dir", dir, "err", err, "remedy", "take care that one agent alone uses it")
	}
	return f.Close, nil
}

func noState(dir string, err error) error {
	return &problem.Error{
		Code: problem.Invalid, Err: err, Detail: "The state directory " + dir + " cannot be made or read.",
		Remedy: "Set state_dir to a directory where this user may write.",
	}
}
