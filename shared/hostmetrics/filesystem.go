package hostmetrics

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// mount is a line of /proc/self/mounts.
type mount struct{ device, point, kind string }

// Bounds of what is read of /proc/self/mounts.
const (
	mountsMost = 32
	mountsSize = 1 << 20
)

// filesystems tells of those that lie on a disk of this host. One on a network
// is left out: to ask how full it is can hang for as long as its server does.
func (c *Collector) filesystems(send emit) error {
	f, err := os.Open(filepath.Join(c.proc, "self/mounts"))
	if err != nil {
		return err
	}
	defer f.Close()
	mounts, err := local(io.LimitReader(f, mountsSize))
	if err != nil {
		return err
	}
	var failed error
	for _, m := range mounts {
		var s unix.Statfs_t
		if err := unix.Statfs(m.point, &s); err != nil {
			if err != unix.EACCES && err != unix.ENOENT { // not for us to see, as another user's mount
				failed = err
			}
			continue
		}
		l := []string{m.device, m.point, m.kind}
		send(fsSize, float64(s.Blocks)*float64(s.Frsize), l...)
		send(fsAvailable, float64(s.Bavail)*float64(s.Frsize), l...)
		send(fsFiles, float64(s.Files), l...)
		send(fsFilesFree, float64(s.Ffree), l...)
		send(fsReadOnly, is(s.Flags&unix.ST_RDONLY != 0), l...)
	}
	return failed
}

// onDisk are the kinds of file systems that a Pi or a small server has on its
// own disks; overlay is what a container sees of them.
var onDisk = map[string]bool{
	"ext2": true, "ext3": true, "ext4": true, "xfs": true, "btrfs": true, "f2fs": true, "zfs": true,
	"vfat": true, "exfat": true, "ntfs3": true, "bcachefs": true, "overlay": true,
}

// local returns the file systems on disks of this host, each device once, under
// the mount that came first.
func local(r io.Reader) ([]mount, error) {
	var found []mount
	seen := map[string]bool{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 4 {
			continue
		}
		m := mount{clean(unescape(f[0])), clean(unescape(f[1])), f[2]}
		if !onDisk[m.kind] || seen[m.device] && m.kind != "overlay" || seen[m.point] || len(found) == mountsMost {
			continue
		}
		seen[m.device], seen[m.point] = true, true
		found = append(found, m)
	}
	return found, lines.Err()
}

// unescape undoes what the kernel does to a path with spaces (getmntent(3)).
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace
