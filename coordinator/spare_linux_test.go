package coordinator

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestUntouched: only what is mapped of the program itself, is read-only and was
// never changed may be dropped.
func TestUntouched(t *testing.T) {
	smaps := `00400000-00bd1000 r-xp 00000000 fe:00 4242  /usr/bin/p
Size:               8004 kB
Private_Dirty:         0 kB
Anonymous:             0 kB
AnonHugePages:         0 kB
VmFlags: rd ex mr mw me sd
00bd1000-01500000 r--p 007d1000 fe:00 4242  /usr/bin/p
Anonymous:             4 kB
01500000-01600000 rw-p 01100000 fe:00 4242  /usr/bin/p
Anonymous:             0 kB
01600000-01700000 r--p 00000000 fe:00 4243  /usr/lib/other.so
Anonymous:             0 kB
01700000-01800000 r--p 01200000 fe:00 4242  /usr/bin/p
Anonymous:             0 kB
c000000000-c000400000 rw-p 00000000 00:00 0
Anonymous:          2048 kB
`
	want := []mapping{{0x400000, 0xbd1000}, {0x1700000, 0x1800000}}
	if got := untouched([]byte(smaps), "/usr/bin/p"); !slices.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
	if got := untouched([]byte("x\n\n-- r-xp 0 0 0 /usr/bin/p\nAnonymous: 0 kB\n"), "/usr/bin/p"); len(got) != 0 {
		t.Errorf("of what is no smaps: %x", got)
	}
}

// TestSpare drops this program's own pages, and goes on.
func TestSpare(t *testing.T) {
	spare := sparer()
	for range 3 {
		if err := spare(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCut: the kernel takes what was cut for mappings of one slice each, and what
// is in them stays.
func TestCut(t *testing.T) {
	const size = 10 * slice
	file := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(file, bytes.Repeat([]byte{42}, size), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(b)
	found := func() []mapping {
		maps, err := os.ReadFile("/proc/self/smaps")
		if err != nil {
			t.Fatal(err)
		}
		return untouched(maps, file)
	}
	whole := found()
	if len(whole) != 1 {
		t.Fatalf("mapped as %x", whole)
	}
	if err := errors.Join(cut(whole[0]), advise(whole[0], unix.MADV_DONTNEED)); err != nil {
		t.Fatal(err)
	}
	parts := found()
	for _, m := range parts {
		if m.to-m.from != slice {
			t.Errorf("a part of %d bytes, want %d", m.to-m.from, slice)
		}
	}
	if len(parts) != 10 || bytes.ContainsFunc(b, func(r rune) bool { return r != 42 }) {
		t.Errorf("%d parts, or not what was written", len(parts))
	}
}
