package systest

import "sync"

// A Disk is what a coordinator's watchdog takes for its disk: it has room and
// answers at once, unless told otherwise. The log lies on the host's own.
type Disk struct {
	mu   sync.Mutex
	hung chan struct{} // closes when it answers again; nil while it does
	full bool
}

// Sync hangs while the disk does.
func (d *Disk) Sync() error {
	d.mu.Lock()
	hung := d.hung
	d.mu.Unlock()
	if hung != nil {
		<-hung
	}
	return nil
}

// Space tells of a disk of 16 GiB that is half full, or full but for 1 MiB.
func (d *Disk) Space() (free, size uint64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full {
		return 1 << 20, 16 << 30, nil
	}
	return 8 << 30, 16 << 30, nil
}

// HangDisk has a coordinator's disk answer nobody until the returned function is
// called.
func (f *Fleet) HangDisk(name string) (release func()) {
	d := &f.nodes[name].disk
	hung := make(chan struct{})
	d.mu.Lock()
	d.hung = hung
	d.mu.Unlock()
	return sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.hung = nil
		close(hung)
	})
}

// FillDisk fills a coordinator's disk, or makes room on it.
func (f *Fleet) FillDisk(name string, full bool) {
	d := &f.nodes[name].disk
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = full
}
