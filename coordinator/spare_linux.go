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
	"sync"

	"golang.org/x/sys/unix"
)

// sparer returns what gives memory back that this process can do without: what
// the garbage collector keeps in stock, and those pages of the program that were
// read from its file. The kernel maps these again, from its cache as a rule, when
// they are used; most belong to what only a start needs, or another role.
func sparer() func() error {
	own := sync.OnceValues(program) // what is cut would make a long list the next time
	return func() error {
		debug.FreeOSMemory()
		parts, err := own()
		for _, m := range parts {
			err = errors.Join(err, advise(m, unix.MADV_DONTNEED))
		}
		return err
	}
}

// program finds the parts of this program that can be read again, and has the
// kernel map little more of them than what is used.
func program() ([]mapping, error) {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return nil, fmt.Errorf("read how this process uses memory: %w", err)
	}
	parts := untouched(maps, self)
	for _, m := range parts {
		err = errors.Join(err, cut(m))
	}
	return parts, err
}

// A mapping is a range of addresses.
type mapping struct{ from, to uintptr }

// slice is as much of the program as the kernel maps for one page that is used: the
// page of a Raspberry Pi 5. Smaller ones cost the kernel more than they save.
const slice = 16 << 10

// cut has the kernel take a mapping for many small ones. With each page that is
// used it maps its neighbours up to 64 KiB that are in its cache ("fault around",
// do_fault_around in its mm/memory.c), yet none beyond the mapping's end; most of
// them nobody asks for. Every other slice differs from the next in what nothing
// depends on: whether a core dump has it, where read-only parts of a file are not
// by default (core(5)).
func cut(m mapping) (err error) {
	for at := m.from; at < m.to; at += 2 * slice {
		err = errors.Join(err, advise(mapping{at, min(at+slice, m.to)}, unix.MADV_DONTDUMP))
	}
	return err
}

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

func advise(m mapping, what uintptr) error {
	if _, _, errno := unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, what); errno != 0 {
		return fmt.Errorf("give pages of the program back: %w", errno)
	}
	return nil
}
