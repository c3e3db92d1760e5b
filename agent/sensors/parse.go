package sensors

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"primespark/shared/procfile"
)

// times are what all cores did since boot, in ticks.
type times struct{ busy, total float64 }

// parseTimes reads the first line of /proc/stat (proc_stat(5)).
func parseTimes(stat []byte) (times, error) {
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	name, rest := procfile.Word(line)
	var n [8]uint64 // user nice system idle iowait irq softirq steal; guest time is in user time already
	found, err := procfile.Numbers(rest, n[:])
	switch {
	case err != nil:
		return times{}, err
	case string(name) != "cpu" || found < 7:
		return times{}, fmt.Errorf("%q is no line of all cores", clip(line))
	}
	var t times
	for i, ticks := range n {
		t.total += float64(ticks)
		if i != 3 && i != 4 { // to wait for the disk is no work
			t.busy += float64(ticks)
		}
	}
	return t, nil
}

// parseLoad reads the first number of /proc/loadavg: that of a minute.
func parseLoad(text []byte) (float64, error) {
	first, _ := procfile.Word(text)
	x, err := strconv.ParseFloat(string(first), 64)
	if err != nil {
		return 0, fmt.Errorf("read load: %w", err)
	}
	return x, nil
}

// memory is in bytes.
type memory struct{ total, available, swapTotal, swapFree uint64 }

// parseMemory reads /proc/meminfo (proc_meminfo(5)).
func parseMemory(info []byte) (memory, error) {
	var m memory
	for key, rest := range procfile.Keyed(info) {
		var into *uint64
		switch string(key) {
		case "MemTotal":
			into = &m.total
		case "MemAvailable":
			into = &m.available
		case "SwapTotal":
			into = &m.swapTotal
		case "SwapFree":
			into = &m.swapFree
		default:
			continue
		}
		var kib [1]uint64
		if _, err := procfile.Numbers(rest, kib[:]); err != nil {
			return memory{}, fmt.Errorf("%s: %w", key, err)
		}
		*into = kib[0] << 10
	}
	if m.total == 0 || m.available > m.total {
		return memory{}, fmt.Errorf("%d of %d bytes available", m.available, m.total)
	}
	return m, nil
}

// traffic is what went over network interfaces since they are there.
type traffic struct{ received, sent, errors uint64 } // bytes, bytes, packets

// The columns of /proc/net/dev (proc_pid_net(5)).
const (
	receivedBytes  = 0
	receivedErrors = 2
	sentBytes      = 8
	sentErrors     = 10
)

var errShort = errors.New("a line has too few columns")

// parseTraffic reads /proc/net/dev and calls each with every interface but loopback. The
// name is good during the call.
func parseTraffic(dev []byte, each func(name []byte, t traffic)) error {
	for name, rest := range procfile.Keyed(dev) {
		if string(name) == "lo" {
			continue
		}
		var n [sentErrors + 1]uint64
		found, err := procfile.Numbers(rest, n[:])
		if err == nil && found < len(n) {
			err = errShort
		}
		if err != nil {
			return fmt.Errorf("%q: %w", clip(name), err)
		}
		each(name, traffic{n[receivedBytes], n[sentBytes], n[receivedErrors] + n[sentErrors]})
	}
	return nil
}

// clip is as much of a line as a message can bear.
func clip(line []byte) []byte { return line[:min(len(line), 80)] }
