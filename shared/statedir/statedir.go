// Package statedir keeps a daemon's state directory the property of one user.
//
// A package makes the directory for the daemon's own user, and an operator works
// on it as root: sudo prime-spark-agent join. What root writes there, the daemon
// could not read.
package statedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"primespark/shared/problem"
)

// Give gives all that is in dir to the owner of dir, when root has written there
// for another user; otherwise it does nothing. No symbolic link is followed, and
// nothing outside of dir is touched.
func Give(dir string) error {
	uid, gid, ok := owner(dir)
	if !ok || os.Geteuid() != 0 || uid == 0 {
		return nil
	}
	return give(dir, uid, gid)
}

func give(dir string, uid, gid int) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("give %s to its owner: %w", dir, err)
	}
	err = fs.WalkDir(root.FS(), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return root.Lchown(path, uid, gid)
	})
	if err = errors.Join(err, root.Close()); err != nil {
		return fmt.Errorf("give %s to its owner: %w", dir, err)
	}
	return nil
}

// Refuse says why a daemon that runs as root should not use dir: it belongs to
// another user, who could not read what root writes. nil if it may.
func Refuse(dir, unit string) error {
	uid, _, ok := owner(dir)
	if !ok {
		return nil
	}
	return refuse(dir, unit, os.Geteuid(), uid)
}

func refuse(dir, unit string, me, uid int) error {
	if me != 0 || uid == 0 {
		return nil
	}
	name := strconv.Itoa(uid)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	return problem.New(problem.Conflict, fmt.Sprintf("Start it as that user: systemctl start %s, or sudo -u %s.", unit, name),
		"The state in %s belongs to %s, and this is root.", dir, name)
}

// owner is whose dir is; not ok if there is none yet.
func owner(dir string) (uid, gid int, ok bool) {
	info, err := os.Stat(dir)
	if err != nil {
		return 0, 0, false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(stat.Uid), int(stat.Gid), true
}
