package doctor

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// MTUs of a host's networks in bytes: what Ethernet and Wi-Fi have, and what IPv6 and
// the mesh's tunnels need at least (RFC 8200, section 5).
const (
	usualMTU = 1500
	leastMTU = 1280
)

// mtu looks at the networks that have a device behind them and are up; tunnels and
// bridges have their own sizes.
func (h Host) mtu(context.Context) []Result {
	var fine []string
	var found []Result
	for _, device := range h.Glob("sys/class/net/*/device") {
		link := path.Dir(device)
		name := path.Base(link)
		size, err := strconv.Atoi(h.Line(path.Join(link, "mtu")))
		if err != nil || h.Line(path.Join(link, "operstate")) != "up" {
			continue
		}
		switch {
		case size < leastMTU:
			found = append(found, Result{
				Severity: Fault, Detail: fmt.Sprintf("%s takes packets of %d bytes, and %d are needed.", name, size, leastMTU),
				Remedy: fmt.Sprintf("sudo ip link set %s mtu %d, and look who sets it: nmcli connection show, or the DHCP server.", name, usualMTU),
			})
		case size > usualMTU:
			found = append(found, Result{
				Severity: Info, Detail: fmt.Sprintf("%s takes packets of %d bytes; a switch that does not loses large ones without a word.", name, size),
				Remedy: fmt.Sprintf("If large answers hang and small ones do not: sudo ip link set %s mtu %d.", name, usualMTU),
			})
		default:
			fine = append(fine, fmt.Sprintf("%s %d", name, size))
		}
	}
	if len(found) == 0 && len(fine) > 0 {
		return One(OK, "Packets in bytes: "+strings.Join(fine, ", "), "")
	}
	return found
}
