package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Disk is a small ext4 file system in a file, mounted. Its power can be cut.
type Disk struct {
	Dir string // where it is mounted

	image string
	slow  *slowness
}

// DiskSize is how large a Disk is, in bytes. The image takes what is written to it.
const DiskSize = 256 << 20

// Disk makes a disk of that name.
func (r *Run) Disk(name string) (*Disk, error) {
	d := &Disk{Dir: filepath.Join(r.Dir, "disk", name), image: filepath.Join(r.Dir, name+".img")}
	if err := os.MkdirAll(d.Dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(d.image, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err == nil {
		err = errors.Join(f.Truncate(DiskSize), f.Close())
	}
	if err == nil {
		_, err = tool("", "mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1", d.image)
	}
	if err != nil {
		return nil, fmt.Errorf("make a disk: %w", err)
	}
	return d, d.mount()
}

func (d *Disk) mount() error {
	_, err := tool("", "mount", "-o", "loop,noatime", d.image, d.Dir)
	return err
}

// The ioctls of ext4 and of all file systems (linux/ext4.h, linux/fs.h).
const (
	ioctlShutdown = 0x8004587d // EXT4_IOC_SHUTDOWN
	noLogFlush    = 2          // EXT4_GOING_FLAGS_NOLOGFLUSH
	ioctlFreeze   = 0xc0045877 // FIFREEZE
	ioctlThaw     = 0xc0045878 // FITHAW
)

// Cut is a power cut: what was not flushed to the disk is lost, and nothing works
// on it any more until Restore.
func (d *Disk) Cut() error {
	return d.control(ioctlShutdown, noLogFlush)
}

// Restore brings the power back, once those who used the disk are gone.
func (d *Disk) Restore() error {
	if err := unmount(d.Dir); err != nil {
		return err
	}
	return d.mount()
}

// Freeze makes the disk hang: whoever writes to it waits until Thaw.
func (d *Disk) Freeze() error { return d.control(ioctlFreeze, 0) }

// Thaw ends Freeze.
func (d *Disk) Thaw() error { return thaw(d.Dir) }

func thaw(at string) error { return (&Disk{Dir: at}).control(ioctlThaw, 0) }

func (d *Disk) control(request uint, argument int) error {
	f, err := os.Open(d.Dir)
	if err != nil {
		return err
	}
	err = unix.IoctlSetPointerInt(int(f.Fd()), request, argument)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("ioctl %#x of %s: %w", request, d.Dir, err)
	}
	return nil
}

// ballast is the file that fills a disk.
const ballast = "ballast"

// Fill takes away all room but leave bytes.
func (d *Disk) Fill(leave int64) error {
	var s unix.Statfs_t
	if err := unix.Statfs(d.Dir, &s); err != nil {
		return fmt.Errorf("measure %s: %w", d.Dir, err)
	}
	f, err := os.OpenFile(filepath.Join(d.Dir, ballast), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	// In small steps at the end: the file system needs some of its room for itself.
	left := int64(s.Bavail)*s.Bsize - leave
	at := int64(0)
	for step := left; step >= s.Bsize && left >= s.Bsize; {
		step = min(step, left)
		switch err := unix.Fallocate(int(f.Fd()), 0, at, step); {
		case err == nil:
			at, left = at+step, left-step
		case errors.Is(err, unix.ENOSPC):
			step /= 2
		case errors.Is(err, unix.EINTR):
		default:
			return errors.Join(fmt.Errorf("fill %s: %w", d.Dir, err), f.Close())
		}
	}
	return f.Close()
}

// Empty gives the room back.
func (d *Disk) Empty() error { return os.Remove(filepath.Join(d.Dir, ballast)) }

// slowness is a goroutine that makes a disk slow.
type slowness struct {
	stop chan struct{}
	done sync.WaitGroup
	err  error
}

// Slow makes each write wait, by freezing the disk for most of each interval, as
// an SD card does that collects its garbage. Quick ends it.
func (d *Disk) Slow(frozen, thawed time.Duration) {
	s := &slowness{stop: make(chan struct{})}
	d.slow = s
	s.done.Go(func() { // Quick waits for it
		for {
			if s.err = d.Freeze(); s.err != nil {
				return
			}
			time.Sleep(frozen)
			if s.err = d.Thaw(); s.err != nil {
				return
			}
			select {
			case <-s.stop:
				return
			case <-time.After(thawed):
			}
		}
	})
}

// Quick ends Slow, and says what went wrong meanwhile.
func (d *Disk) Quick() error {
	close(d.slow.stop)
	d.slow.done.Wait()
	return d.slow.err
}
