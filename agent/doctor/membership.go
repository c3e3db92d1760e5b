package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"syscall"
	"time"

	"primespark/shared/gossip"
	"primespark/shared/identity"
)

// A Membership is a node's identity in its cluster, and its doors.
type Membership struct {
	Dir    string // of the identity
	Listen string // http.listen
	Gossip string // gossip.listen
	// Running reports whether the agent runs here, which then has the ports.
	Running func(ctx context.Context) bool
	Now     func() time.Time // nil: the clock
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
	const rejoin = "prime-spark join-code create --role agent --rejoin NAME where you work from, then prime-spark-agent join here."
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return one(Info, "This node belongs to no cluster yet and serves its own host only.", "prime-spark join-code create --role agent where you work from, then prime-spark-agent join here.")
	case errors.Is(err, fs.ErrPermission):
		return one(Info, "The identity may not be read by this user.", "Run it with sudo.")
	case err != nil:
		return one(Fault, "The identity cannot be read: "+err.Error()+".", rejoin)
	}
	left := id.Expires().Sub(now())
	name := id.ID().Name + " in cluster " + id.ID().Cluster
	end := id.Expires().UTC().Format(time.RFC3339)
	switch {
	case left > 31*24*time.Hour:
		return one(Warning, fmt.Sprintf("The certificate of %s lasts until %s, longer than any is given: the clock is wrong.", name, end), "sudo timedatectl set-ntp true")
	case left <= 0:
		return one(Fault, fmt.Sprintf("The certificate of %s ended at %s.", name, end), rejoin)
	case left < soon:
		return one(Warning, fmt.Sprintf("The certificate of %s ends at %s, and was not renewed.", name, end), "Start the agent, and see that it reaches a coordinator: prime-spark status.")
	}
	return one(OK, fmt.Sprintf("%s, certificate until %s", name, end), "")
}

// ports tries to listen where the agent will, unless it does.
func (m Membership) ports(ctx context.Context) []Result {
	if m.Running != nil && m.Running(ctx) {
		return one(OK, "The running agent has "+m.Listen+" and "+m.Gossip, "")
	}
	var found []Result
	beside := false // of gossip's port another one is free, which the agent takes
	for _, p := range []struct{ key, network, address string }{
		{"http.listen", "tcp", m.Listen}, {"gossip.listen", "tcp", m.Gossip}, {"gossip.listen", "udp", m.Gossip},
	} {
		err := free(ctx, p.network, p.address)
		if err != nil && p.key == "gossip.listen" && spare(ctx, p.address) {
			beside = true
			continue
		}
		if err != nil {
			found = append(found, Result{
				Severity: Fault, Detail: fmt.Sprintf("Port %s/%s cannot be had: %v.", p.address, p.network, err),
				Remedy: "sudo ss -lntup shows who has it; stop that, or set " + p.key + ".",
			})
		}
	}
	if len(found) == 0 {
		text := m.Listen + " and " + m.Gossip + " are free"
		if beside {
			text = m.Listen + " is free, and of gossip one beside " + m.Gossip + ", which another daemon has"
		}
		return one(OK, text, "")
	}
	return found
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
