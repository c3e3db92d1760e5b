package hailo

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// A library that is started with HAILO_MONITOR=1 writes once a second how busy the
// chip is (HailoRT 4.23.0, monitor_handler.cpp and scheduler_mon.proto): a message
// ProtoMon into the file PIDxxxxxx, which it puts there as a whole, and the same
// number as text into another, which nobody here reads. It removes both if it
// ends in good order.
const (
	monitorDir = "tmp/hmon_files"
	numberDir  = "tmp/nnc_utilization"
	// unitDir is the first of them for a worker in its unit, which has a /tmp of its own.
	unitDir = "run/prime-spark-worker/hmon_files"
)

// Bounds of what is read.
const (
	maxMonitor   = 64 << 10
	monitorStale = 5 * time.Second
	// monitorDead is the age at which a file is one of a library that was killed.
	monitorDead = time.Minute
)

var ofMonitor = regexp.MustCompile(`^([0-9]+|nnc_utilization)[A-Za-z0-9]{6}(\.tmp)?$`)

// monitor makes ready for a library that is to monitor. The library opens what it
// writes by names in /tmp, and follows links there: whoever made its directories
// before us could have it write over our files. So they must be ours.
func (h Host) monitor() error {
	for _, dir := range []string{monitorDir, numberDir} {
		path := h.path(dir)
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		info, err := os.Lstat(path)
		switch {
		case err != nil:
			return err
		case !info.IsDir() || !ours(info) || info.Mode().Perm()&0o022 != 0:
			return fmt.Errorf("%s belongs to another user, or others may write to it; remove it", path)
		}
		if err := sweep(path); err != nil {
			return err
		}
	}
	return nil
}

// sweep removes what libraries left behind in dir that were killed.
func sweep(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, file := range files {
		info, err := file.Info()
		if err != nil || !ofMonitor.MatchString(file.Name()) || time.Since(info.ModTime()) < monitorDead {
			continue // gone meanwhile, of somebody else, or alive
		}
		if err := os.Remove(filepath.Join(dir, file.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func ours(info os.FileInfo) bool { return of(info, os.Geteuid()) }

// of reports whether a file is a user's.
func of(info os.FileInfo, user int) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == user
}

// monitors are the directories that a library may write to, with who owns what it writes.
// Others cannot make anything where the worker's unit has its own: it is root's.
func (h Host) monitors() map[string]int {
	dirs := map[string]int{monitorDir: os.Geteuid()}
	if info, err := os.Lstat(h.path(unitDir)); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && info.IsDir() {
			dirs[unitDir] = int(st.Uid)
		}
	}
	return dirs
}

// utilization is how busy the library in process pid said the chip is, from 0 to 1;
// nil if it did not lately.
func (h Host) utilization(pid int) *float64 {
	for dir, owner := range h.monitors() {
		for _, path := range h.glob(dir + "/" + strconv.Itoa(pid) + "??????") {
			data, err := readMonitor(h.path(path), owner)
			if err != nil {
				continue // as good as none: one of before, or not the library's
			}
			if busy, err := decodeMonitor(data, pid); err == nil {
				return &busy
			}
		}
	}
	return nil
}

// readMonitor reads one file, if it may be what the library wrote lately.
func readMonitor(path string, owner int) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	switch age := time.Since(info.ModTime()); {
	case !info.Mode().IsRegular() || !of(info, owner):
		return nil, fmt.Errorf("%s is not a file of the worker's", path)
	case info.Size() > maxMonitor:
		return nil, fmt.Errorf("%s has %d bytes, more than %d", path, info.Size(), maxMonitor)
	case age.Abs() > monitorStale:
		return nil, fmt.Errorf("%s is %v old", path, age)
	}
	return io.ReadAll(io.LimitReader(file, maxMonitor))
}

var errMonitor = errors.New("it does not tell how busy the chip is")

// The fields of ProtoMon and ProtoMonDeviceInfo, which have been so since 4.13.
const (
	monitorPID        = 1
	monitorDevice     = 4
	deviceUtilization = 2
)

// decodeMonitor takes the utilization of the busiest device, from 0 to 1, out of the
// message of process pid. That of an idle one is not in it, as protobuf leaves zeros out.
func decodeMonitor(message []byte, pid int) (busy float64, err error) {
	named, devices := false, 0
	err = eachField(message, func(n protowire.Number, kind protowire.Type, value []byte) error {
		if kind != protowire.BytesType {
			return nil
		}
		inner, _ := protowire.ConsumeBytes(value)
		switch n {
		case monitorPID:
			named = string(inner) == strconv.Itoa(pid)
		case monitorDevice:
			devices++
			percent := 0.0
			err := eachField(inner, func(n protowire.Number, kind protowire.Type, value []byte) error {
				if n == deviceUtilization && kind == protowire.Fixed64Type {
					bits, _ := protowire.ConsumeFixed64(value)
					percent = math.Float64frombits(bits)
				}
				return nil
			})
			if err != nil {
				return err
			}
			if !(percent >= 0) || math.IsInf(percent, 0) {
				return errMonitor
			}
			busy = max(busy, min(percent/100, 1)) // its clocks let it be a little more
		}
		return nil
	})
	if err == nil && (!named || devices == 0) {
		err = errMonitor
	}
	if err != nil {
		return 0, err
	}
	return busy, nil
}

// eachField calls fn for each field of a message, and stops at the first error.
// A value is whole, so that taking it apart as its kind cannot fail.
func eachField(message []byte, fn func(n protowire.Number, kind protowire.Type, value []byte) error) error {
	for len(message) > 0 {
		n, kind, tag := protowire.ConsumeTag(message)
		if tag < 0 {
			return protowire.ParseError(tag)
		}
		size := protowire.ConsumeFieldValue(n, kind, message[tag:])
		if size < 0 {
			return protowire.ParseError(size)
		}
		if err := fn(n, kind, message[tag:tag+size]); err != nil {
			return err
		}
		message = message[tag+size:]
	}
	return nil
}
