package hostmetrics

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func (c *Collector) cpu(send emit) error {
	s, err := c.fs.Stat()
	if err != nil {
		return err
	}
	for i, t := range s.CPU {
		n := strconv.FormatInt(i, 10)
		// Guest time is in user time already.
		for mode, seconds := range map[string]float64{
			"user": t.User, "nice": t.Nice, "system": t.System, "idle": t.Idle, "iowait": t.Iowait,
			"irq": t.IRQ, "softirq": t.SoftIRQ, "steal": t.Steal,
		} {
			send(cpuSeconds, seconds, n, mode)
		}
	}
	send(bootTime, float64(s.BootTime))
	return nil
}

func (c *Collector) load(send emit) error {
	l, err := c.fs.LoadAvg()
	if err != nil {
		return err
	}
	send(loads["1m"], l.Load1)
	send(loads["5m"], l.Load5)
	send(loads["15m"], l.Load15)
	return nil
}

func (c *Collector) memory(send emit) error {
	m, err := c.fs.Meminfo()
	if err != nil {
		return err
	}
	for d, bytes := range map[*desc]*uint64{
		memoryTotal: m.MemTotalBytes, memoryAvailable: m.MemAvailableBytes, memoryCached: m.CachedBytes,
		swapTotal: m.SwapTotalBytes, swapFree: m.SwapFreeBytes,
	} {
		if bytes != nil {
			send(d, float64(*bytes))
		}
	}
	return nil
}

func (c *Collector) disk(send emit) error {
	disks, err := c.disks.whole()
	if err != nil {
		return err
	}
	for _, d := range disks {
		send(diskRead, float64(d.ReadSectors)*sector, d.DeviceName)
		send(diskWritten, float64(d.WriteSectors)*sector, d.DeviceName)
		send(diskReads, float64(d.ReadIOs), d.DeviceName)
		send(diskWrites, float64(d.WriteIOs), d.DeviceName)
		send(diskIO, float64(d.IOsTotalTicks)/1000, d.DeviceName)
		send(diskReadTime, float64(d.ReadTicks)/1000, d.DeviceName)
		send(diskWriteTime, float64(d.WriteTicks)/1000, d.DeviceName)
	}
	return nil
}

// interfacesMost bounds the interfaces that are told of: a host of containers
// makes new names without end.
const interfacesMost = 64

func (c *Collector) network(send emit) error {
	all, err := c.fs.NetDev()
	if err != nil {
		return err
	}
	told := 0
	for _, i := range sorted(all) {
		l := all[i]
		if l.Name == "lo" || strings.HasPrefix(l.Name, "veth") || told == interfacesMost {
			continue
		}
		told++
		send(netReceived, float64(l.RxBytes), l.Name)
		send(netSent, float64(l.TxBytes), l.Name)
		send(netInPackets, float64(l.RxPackets), l.Name)
		send(netOutPacket, float64(l.TxPackets), l.Name)
		send(netInErrors, float64(l.RxErrors), l.Name)
		send(netOutErrors, float64(l.TxErrors), l.Name)
		send(netInDrops, float64(l.RxDropped), l.Name)
		send(netOutDrops, float64(l.TxDropped), l.Name)
	}
	return nil
}

func (c *Collector) time(send emit) error {
	send(now, float64(time.Now().UnixMilli())/1000)
	var t unix.Timex // all modes 0: only read
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return err
	}
	const timeError = 5 // TIME_ERROR (adjtimex(2)): the clock is not synchronized
	send(synced, is(state != timeError))
	send(clockOff, float64(t.Esterror)/1e6)
	return nil
}

func (c *Collector) info(send emit) error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err
	}
	model, err := os.ReadFile(filepath.Join(c.sys, "firmware/devicetree/base/model"))
	if errors.Is(err, os.ErrNotExist) {
		model, err = nil, nil // no board with a device tree
	}
	send(hostInfo, 1, unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Machine[:]), clean(string(model)))
	return err
}

func is(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// clean keeps what a label can bear: valid text without control characters.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}
