package sensors

import (
	"bytes"
	"errors"
	"fmt"

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
