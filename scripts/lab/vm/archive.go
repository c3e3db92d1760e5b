package vm

import (
	"bytes"
	"fmt"
)

// An archive is a file system for the kernel's start (cpio, format newc; Linux,
// Documentation/driver-api/early-userspace/buffer-format.rst). It is not packed: an emulated
// processor unpacks slower than it reads.
type archive struct {
	b     bytes.Buffer
	inode int
}

// Modes of what is in it.
const (
	modeDir     = 0o040755
	modeProgram = 0o100755
)

func (a *archive) dir(name string)                  { a.entry(name, modeDir, nil) }
func (a *archive) program(name string, data []byte) { a.entry(name, modeProgram, data) }

func (a *archive) entry(name string, mode int, data []byte) {
	a.inode++
	fmt.Fprintf(&a.b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		a.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
	a.b.WriteString(name + "\x00")
	a.pad()
	a.b.Write(data)
	a.pad()
}

// pad fills up to a multiple of four bytes.
func (a *archive) pad() { a.b.Write(make([]byte, (4-a.b.Len()%4)%4)) }

// bytes ends the archive.
func (a *archive) bytes() []byte {
	a.entry("TRAILER!!!", 0, nil)
	return a.b.Bytes()
}
