package coordinator

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// spare gives memory back that this process can do without: what the garbage
// collector keeps in stock, and those pages of the program that were read from
// its file. The kernel maps these again, from its cache as a rule, when they are
// used; most belong to what only a start needs, or another role.
func spare() error {
	debug.FreeOSMemory()
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return fmt.Errorf("read how this process uses memory: %w", err)
	}
	for _, m := range untouched(maps, self) {
		err = errors.Join(err, drop(m))
	}
	return err
}

// A mapping is a range of addresses.
type mapping struct{ from, to uintptr }

// untouched finds the parts of the file self in smaps (proc_pid_smaps(5)) that
// cannot be written to, and of which no page has been: dropping such a page is
// no loss, while one that the loader has changed would come back as it was.
func untouched(smaps []byte, self string) (found []mapping) {
	var m mapping
	var ours bool
	lines := bufio.NewScanner(bytes.NewReader(smaps))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) >= 6 && strings.Contains(fields[0], "-"):
			from, to, _ := strings.Cut(fields[0], "-")
			a, bad := strconv.ParseUint(from, 16, 64)
			b, worse := strconv.ParseUint(to, 16, 64)
			m = mapping{uintptr(a), uintptr(b)}
			ours = bad == nil && worse == nil && a < b && fields[1][0] == 'r' && fields[1][1] == '-' && fields[5] == self
		case len(fields) == 3 && fields[0] == "Anonymous:": // the last of the figures that matter
			if ours && fields[1] == "0" {
				found = append(found, m)
			}
			ours = false
		}
	}
	return found
}

func drop(m mapping) error {
	if _, _, errno := unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED); errno != 0 {
		return fmt.Errorf("give pages of the program back: %w", errno)
	}
	return nil
}
