package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/gossip"
	"primespark/shared/identity"
)

// A Membership is a node's identity in its cluster, and its doors.
type Membership struct {
	Role  fleet.Role
	Dir   string // of the identity
	Ports []Port
	// Running reports whether the daemon runs here, which then has the ports.
	Running func(ctx context.Context) bool
	Now     func() time.Time // nil: the clock
}

// A Port is one that the daemon listens on.
type Port struct{ Key, Network, Address string }

// Gossiping are the ports of gossip, with the key they are set by.
func Gossiping(address string) []Port {
	const key = "gossip.listen"
	return []Port{{key, "tcp", address}, {key, "udp", address}}
}

// words are what is said of a role's membership.
var words = map[fleet.Role]struct{ alone, join, rejoin string }{
	fleet.Agent: {
		"This node belongs to no cluster yet and serves its own host only.",
		"prime-spark join-code create --role agent where you work from, then prime-spark-agent join here.",
		"prime-spark join-code create --role agent --rejoin NAME where you work from, then prime-spark-agent join here.",
	},
	fleet.Coordinator: {
		"This host is a coordinator of no cluster yet.",
		"prime-spark-coordinator init founds one. To add to one: prime-spark join-code create --role coordinator where you work from, then prime-spark-coordinator join here.",
		"Check the clock; or run prime-spark revoke NAME, empty its state_dir, and join it as a new coordinator.",
	},
}

// Checks are those of the identity and of the ports.
func (m Membership) Checks() []Check {
	return []Check{{"cluster", "certificate", m.certificate}, {"network", "ports", m.ports}}
}

// soon is from when on a certificate's end is told of: it is renewed after 20 of
// its 30 days, so that one with less left was not.
const soon = 5 * 24 * time.Hour

func (m Membership) certificate(context.Context) []Result {
	now := time.Now
	if m.Now != nil {
		now = m.Now
	}
	id, err := identity.Load(m.Dir)
	say := words[m.Role]
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return One(Info, say.alone, say.join)
	case errors.Is(err, fs.ErrPermission):
		return One(Info, "The identity may not be read by this user.", "Run it with sudo.")
	case err != nil:
		return One(Fault, "The identity cannot be read: "+err.Error()+".", say.rejoin)
	}
	left := id.Expires().Sub(now())
	name := id.ID().Name + " in cluster " + id.ID().Cluster
	end := id.Expires().UTC().Format(time.RFC3339)
	switch {
	case left > 31*24*time.Hour:
		return One(Warning, fmt.Sprintf("The certificate of %s lasts until %s, longer than any is given: the clock is wrong.", name, end), "sudo timedatectl set-ntp true")
	case left <= 0:
		return One(Fault, fmt.Sprintf("The certificate of %s ended at %s.", name, end), say.rejoin)
	case left < soon:
		return One(Warning, fmt.Sprintf("The certificate of %s ends at %s, and was not renewed.", name, end), "Start the daemon, and see that it reaches a coordinator: prime-spark status.")
	}
	return One(OK, fmt.Sprintf("%s, certificate until %s", name, end), "")
}

// ports tries to listen where the daemon will, unless it does.
func (m Membership) ports(ctx context.Context) []Result {
	var all []string
	for _, p := range m.Ports {
		if !slices.Contains(all, p.Address) {
			all = append(all, p.Address)
		}
	}
	if m.Running != nil && m.Running(ctx) {
		return One(OK, fmt.Sprintf("The running %s has %s", m.Role, listed(all)), "")
	}
	var found []Result
	beside := "" // of gossip's port another one is free, which the daemon takes
	for _, p := range m.Ports {
		err := free(ctx, p.Network, p.Address)
		switch {
		case err != nil && p.Key == "gossip.listen" && spare(ctx, p.Address):
			beside = p.Address
		case err != nil:
			found = append(found, Result{
				Severity: Fault, Detail: fmt.Sprintf("Port %s/%s cannot be had: %v.", p.Address, p.Network, err),
				Remedy: "sudo ss -lntup shows who has it; stop that, or set " + p.Key + ".",
			})
		}
	}
	switch {
	case len(found) > 0:
		return found
	case beside != "":
		all = slices.DeleteFunc(all, func(a string) bool { return a == beside })
		return One(OK, fmt.Sprintf("Free: %s, and of gossip one beside %s, which another daemon has", listed(all), beside), "")
	}
	return One(OK, "Free: "+listed(all), "")
}

// listed names some things in a sentence.
func listed(names []string) string {
	if n := len(names) - 1; n > 0 {
		return strings.Join(names[:n], ", ") + " and " + names[n]
	}
	return strings.Join(names, "")
}

// spare looks whether there is a port beside that of an address which the agent takes
// in its place.
func spare(ctx context.Context, address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil || port != strconv.Itoa(gossip.DefaultPort) {
		return false
	}
	for i := range gossip.Spare {
		next := net.JoinHostPort(host, strconv.Itoa(gossip.DefaultPort+1+i))
		if free(ctx, "tcp", next) == nil && free(ctx, "udp", next) == nil {
			return true
		}
	}
	return false
}

func free(ctx context.Context, network, address string) error {
	var l net.ListenConfig
	var err error
	if network == "udp" {
		var c net.PacketConn
		if c, err = l.ListenPacket(ctx, network, address); err == nil {
			return c.Close()
		}
	} else {
		var c net.Listener
		if c, err = l.Listen(ctx, network, address); err == nil {
			return c.Close()
		}
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return errors.New("another program has it")
	}
	return err
}
