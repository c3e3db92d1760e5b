package coordinator

import (
	"slices"
	"testing"
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
	for range 3 {
		if err := spare(); err != nil {
			t.Fatal(err)
		}
	}
}
