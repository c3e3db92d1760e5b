package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// sweepDead removes what is left of runs whose process is gone.
func sweepDead() error {
	var errs []error
	seen := map[string]bool{}
	for _, name := range slices.Concat(names(os.TempDir()), names("/run/netns"), names("/sys/class/net")) {
		id, _, _ := strings.Cut(strings.TrimPrefix(name, Prefix), ".")
		pid, err := strconv.ParseInt(id, 36, 32)
		if err != nil || pid <= 0 || seen[id] {
			continue
		}
		seen[id] = true
		if !running(int(pid)) {
			errs = append(errs, sweep(id))
		}
	}
	return errors.Join(errs...)
}

// names are those in dir that begin with Prefix.
func names(dir string) (all []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // no directory, nothing in it
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), Prefix) {
			all = append(all, e.Name())
		}
	}
	return all
}

// running tells whether a process with that number is a test; numbers are used again.
func running(pid int) bool {
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return err == nil && strings.Contains(string(comm), ".test")
}

// sweep removes everything of one run. Its daemons are gone: the kernel killed
// them together with it.
func sweep(id string) error {
	var errs []error
	for _, at := range mounts(dirOf(id) + "/") {
		errs = append(errs, unmount(at))
	}
	for _, ns := range names("/run/netns") {
		if strings.HasPrefix(ns, Prefix+id+".") {
			_, err := tool("", "ip", "netns", "delete", ns)
			errs = append(errs, err)
		}
	}
	for _, dev := range names("/sys/class/net") {
		if strings.HasPrefix(dev, Prefix+id+".") {
			// Of a pair, one end goes with the other.
			if _, err := tool("", "ip", "link", "delete", dev); err != nil && exists(filepath.Join("/sys/class/net", dev)) {
				errs = append(errs, err)
			}
		}
	}
	if errors.Join(errs...) == nil { // never delete through a mount that is still there
		errs = append(errs, os.RemoveAll(dirOf(id)))
	}
	return errors.Join(errs...)
}

func exists(path string) bool { _, err := os.Lstat(path); return err == nil }

// mounts are the mount points below a directory, the last one first (proc(5), mountinfo).
func mounts(below string) (all []string) {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], below) {
			all = append(all, f[4])
		}
	}
	slices.Reverse(all)
	return all
}

// unmount takes a mount away, thawed if need be, as soon as nobody uses it. Its
// loop device goes with it.
func unmount(at string) error {
	_ = thaw(at) // the usual error is that it is not frozen
	var err error
	for range 100 {
		if err = unix.Unmount(at, 0); err == nil || !errors.Is(err, unix.EBUSY) {
			break
		}
		time.Sleep(50 * time.Millisecond) // whoever was killed may not be gone yet
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", at, err)
	}
	return nil
}
