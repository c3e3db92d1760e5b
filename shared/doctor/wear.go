package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"primespark/shared/conf"
)

// Limits of wear: a disk's maker promises 100 % of its writes.
const (
	wornPercent  = 80
	spentPercent = 100
)

const newDisk = "Back up what is on it, and replace it while it works."

// wear tells how much of their lives the disks have behind them, as far as they say:
// an NVMe does in its log of health, eMMC in two registers, an SD card not at all. Of
// that it says what was written since its file system was made.
func (h Host) wear(context.Context) []Result {
	found := append(h.nvmes(), h.cards()...)
	return append(found, h.fileSystems()...)
}

func (h Host) nvmes() (found []Result) {
	ask := h.Smart
	if ask == nil {
		ask = smart
	}
	for _, at := range h.Glob("sys/class/nvme/nvme*") {
		name := path.Base(at)
		page, err := ask(filepath.Join("/dev", name))
		if err != nil || len(page) < 6 {
			remedy := "sudo apt install nvme-cli; sudo nvme smart-log /dev/" + name
			if errors.Is(err, fs.ErrPermission) {
				remedy = "Run it with sudo."
			}
			found = append(found, One(Info, name+" does not tell of its wear.", remedy)...)
			continue
		}
		// The health log's first bytes (NVM Express Base Specification 2.0, figure 207).
		warning, spare, least, used := page[0], page[3], page[4], page[5]
		text := fmt.Sprintf("%s has used %d %% of its life, %d %% of its spare blocks are left", name, used, spare)
		switch {
		case warning&^2 != 0 || spare < least || used >= spentPercent: // bit 1 is the temperature
			found = append(found, One(Fault, text+".", newDisk)...)
		case used >= wornPercent:
			found = append(found, One(Warning, text+".", newDisk)...)
		default:
			found = append(found, One(OK, text, "")...)
		}
	}
	return found
}

// nvmeAdmin is struct nvme_admin_cmd (linux/nvme_ioctl.h).
type nvmeAdmin struct {
	opcode, flags        uint8
	_                    uint16
	namespace, _, _      uint32
	_, address           uint64
	_, length            uint32
	cdw10, _, _, _, _, _ uint32
	timeout, outcome     uint32
}

// The command that gets a log page, and its sizes in bytes.
const (
	nvmeAdminCommand = 0xc0484e41 // NVME_IOCTL_ADMIN_CMD
	getLogPage       = 0x02
	healthLog        = 0x02
	healthSize       = 512
	allNamespaces    = 0xffffffff
)

// smart reads the health log of an NVMe, which takes root.
func smart(device string) (page []byte, err error) {
	f, err := os.Open(device)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	page = make([]byte, healthSize)
	c := nvmeAdmin{
		opcode: getLogPage, namespace: allNamespaces, address: uint64(uintptr(unsafe.Pointer(&page[0]))), length: healthSize,
		cdw10: (healthSize/4-1)<<16 | healthLog, timeout: 2000,
	}
	if _, _, no := unix.Syscall(unix.SYS_IOCTL, f.Fd(), nvmeAdminCommand, uintptr(unsafe.Pointer(&c))); no != 0 {
		return nil, no
	}
	return page, nil
}

// cards are the eMMCs: their registers count in tenths of a life, 1 to 10, and 11 is
// beyond it (JEDEC JESD84-B51, DEVICE_LIFE_TIME_EST_TYP).
func (h Host) cards() (found []Result) {
	for _, file := range h.Glob("sys/block/mmcblk*/device/life_time") {
		worst := uint64(0)
		for word := range strings.FieldsSeq(h.Line(file)) {
			n, err := strconv.ParseUint(word, 0, 8)
			if err != nil {
				worst = 0
				break
			}
			worst = max(worst, n)
		}
		name := path.Base(path.Dir(path.Dir(file)))
		text := fmt.Sprintf("%s has used %d %% of its life at most", name, worst*10)
		switch {
		case worst == 0 || worst > 11: // an SD card, or one that does not tell
		case worst == 11:
			found = append(found, One(Fault, name+" is beyond the life that its maker promises.", newDisk)...)
		case worst*10 > wornPercent:
			found = append(found, One(Warning, text+".", newDisk)...)
		default:
			found = append(found, One(OK, text, "")...)
		}
	}
	return found
}

// fileSystems tells of faults that ext4 met on its disks, which outlive a reboot, and
// what was written to them.
func (h Host) fileSystems() (found []Result) {
	for _, at := range h.Glob("sys/fs/ext4/*/errors_count") {
		name := path.Base(path.Dir(at))
		if n, err := strconv.ParseUint(h.Line(at), 10, 64); err == nil && n > 0 {
			found = append(found, One(Fault, fmt.Sprintf("The file system on %s met %d errors.", name, n),
				"sudo dmesg | grep -i ext4 tells which. Back up, boot once with fsck.mode=force (in cmdline.txt, on a Pi), and if they come back, replace the disk.")...)
			continue
		}
		if kb, err := strconv.ParseUint(h.Line(path.Join(path.Dir(at), "lifetime_write_kbytes")), 10, 53); err == nil && strings.HasPrefix(name, "mmcblk") {
			found = append(found, One(OK, fmt.Sprintf("%v were written to %s since it was formatted", conf.Size(kb<<10>>20<<20), name), "")...)
		}
	}
	return found
}
