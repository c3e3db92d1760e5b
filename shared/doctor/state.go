package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"primespark/shared/conf"
)

// A State is the directory that a node's state lies in.
type State struct{ Dir string }

// Checks are those of the disk under the state.
func (s State) Checks() []Check {
	return []Check{{"disk", "room", s.room}, {"disk", "write latency", s.latency}}
}

// lowRoom is the room below which logs, models and samples soon have none.
const lowRoom = 512 << 20

func (s State) room(context.Context) []Result {
	var st unix.Statfs_t
	err := unix.Statfs(s.Dir, &st)
	switch free := int64(st.Bavail) * st.Bsize; {
	case errors.Is(err, fs.ErrNotExist):
		return One(Info, "There is no "+s.Dir+" yet; the daemon makes it when it starts.", "")
	case err != nil:
		return One(Fault, fmt.Sprintf("%s cannot be looked at: %v.", s.Dir, err), "Give the daemon's user the directory, or set state_dir.")
	case free < lowRoom:
		return One(Warning, fmt.Sprintf("%s has room for %v more.", s.Dir, conf.Size(free>>20<<20)), "sudo apt clean; sudo journalctl --vacuum-size=100M; or set state_dir to a larger disk.")
	default:
		return One(OK, fmt.Sprintf("%s has room for %v more", s.Dir, conf.Size(free>>20<<20)), "")
	}
}

// Limits of a write that lasts: good SD cards take 5 to 20 ms, worn or fake ones
// a hundred times that.
const (
	slowWrite = 50 * time.Millisecond
	writes    = 16
)

// latency makes small writes last, as every sample and decision does.
func (s State) latency(ctx context.Context) []Result {
	if _, err := os.Stat(s.Dir); errors.Is(err, fs.ErrNotExist) {
		return nil // room has said so
	}
	f, err := os.CreateTemp(s.Dir, ".doctor-*")
	if err != nil {
		return One(Fault, fmt.Sprintf("Nothing can be written to %s: %v.", s.Dir, err), "Run this with sudo, or give your user the directory; if the disk is read-only, sudo dmesg says why.")
	}
	defer func() { _ = errors.Join(f.Close(), os.Remove(f.Name())) }() // it holds nothing
	var took []time.Duration
	block := make([]byte, 4096)
	for range writes {
		begin := time.Now()
		if _, err = f.WriteAt(block, 0); err == nil {
			err = f.Sync()
		}
		if err != nil || ctx.Err() != nil {
			break
		}
		took = append(took, time.Since(begin))
	}
	if err != nil {
		return One(Fault, fmt.Sprintf("A write to %s did not last: %v.", s.Dir, err), "The disk is full or broken: df -h, then sudo dmesg.")
	}
	if len(took) == 0 {
		return One(Fault, "A write to "+s.Dir+" did not last in time.", "The card or disk hangs: sudo dmesg.")
	}
	slices.Sort(took)
	text := fmt.Sprintf("%v in the middle, %v at worst", took[len(took)/2].Round(100*time.Microsecond), took[len(took)-1].Round(100*time.Microsecond))
	if took[len(took)/2] > slowWrite {
		return One(Warning, "A small write takes long to last: "+text+".", "Use an SSD, or a card of class A2; old cards get slow.")
	}
	return One(OK, "A small write lasts after "+text, "")
}
