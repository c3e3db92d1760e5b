package frame

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Align is what each tensor's offset in an arena is a multiple of, in bytes: a
// line of the processor's cache.
const Align = 64

// Granule is what an arena's size is a multiple of, in bytes; whole pages, also
// on a kernel with pages of 64 KiB.
const Granule = 64 << 10

// SideBytes is the room that the inputs, or the outputs, of one inference take.
func SideBytes(side []Tensor) int64 {
	var n int64
	for _, t := range side {
		n += alignUp(int64(t.Bytes), Align)
	}
	return n
}

// Offsets are where the tensors of one side begin, relative to the side.
func Offsets(side []Tensor) []int64 {
	at := make([]int64, len(side))
	for i := range side {
		at[i] = SideBytes(side[:i])
	}
	return at
}

func alignUp(n, to int64) int64 { return (n + to - 1) / to * to }

// An Arena is the memory that a model's tensors are in, shared with the worker.
// Methods other than Close may be used by several goroutines; who writes where is
// for their user to know.
type Arena struct {
	file *os.File
	mem  []byte
}

// NewArena makes an arena of at least size bytes, all zero.
func NewArena(size int64) (*Arena, error) {
	if size < 1 || size > MaxArena {
		return nil, fmt.Errorf("arena of %d bytes: want 1 to %d", size, int64(MaxArena))
	}
	size = alignUp(size, Granule)
	file, err := memfd(size)
	if err != nil {
		return nil, fmt.Errorf("arena of %d bytes: %w", size, err)
	}
	mem, err := unix.Mmap(int(file.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("map an arena of %d bytes: %w", size, err), file.Close())
	}
	return &Arena{file, mem}, nil
}

func memfd(size int64) (*os.File, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("prime-spark-arena", flags|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3, which may insist on the flag
		fd, err = unix.MemfdCreate("prime-spark-arena", flags)
	}
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	file := os.NewFile(uintptr(fd), "arena")
	if err := file.Truncate(size); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		return nil, errors.Join(fmt.Errorf("seal: %w", err), file.Close())
	}
	return file, nil
}

// Bytes is the arena's memory. It is gone after Close: to touch it then is a
// fault that ends the process.
func (a *Arena) Bytes() []byte { return a.mem }

// File is what Map sends to the worker. It belongs to the arena.
func (a *Arena) File() *os.File { return a.file }

// Close gives the memory back; the worker may still have it mapped. A second
// Close does nothing.
func (a *Arena) Close() error {
	if a.mem == nil {
		return nil
	}
	err := errors.Join(unix.Munmap(a.mem), a.file.Close())
	a.mem = nil
	return err
}

// A Plan divides the arena of a model into slots, one for each inference that
// may be under way.
type Plan struct {
	In, Out []int64 // where each tensor begins, relative to the slot's side
	Size    int64   // of the arena
	inBytes int64
	stride  int64
}

// PlanSlots divides an arena for depth inferences of a model at a time. It fails
// if they do not fit into MaxArena.
func PlanSlots(model LoadReply, depth int) (Plan, error) {
	if depth < 1 || depth > MaxDepth {
		return Plan{}, fmt.Errorf("depth %d: want 1 to %d", depth, MaxDepth)
	}
	p := Plan{In: Offsets(model.Inputs), Out: Offsets(model.Outputs), inBytes: SideBytes(model.Inputs)}
	p.stride = p.inBytes + SideBytes(model.Outputs)
	p.Size = alignUp(p.stride*int64(depth), Granule)
	if p.Size > MaxArena {
		return Plan{}, fmt.Errorf("%d inferences at a time take %d bytes of shared memory, more than %d; give a smaller depth", depth, p.Size, int64(MaxArena))
	}
	return p, nil
}

// Slot returns where the inputs and the outputs of slot i are: a and b of Infer.
func (p Plan) Slot(i int) (in, out int64) {
	in = int64(i) * p.stride
	return in, in + p.inBytes
}
