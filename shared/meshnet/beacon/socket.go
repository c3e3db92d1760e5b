//go:build linux

package beacon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Socket sends and hears beacons in all networks of this host.
type Socket struct {
	conn *net.UDPConn
	raw  syscall.RawConn
	stem string
}

// Open makes a socket. Interfaces whose names begin with stem are the mesh itself,
// which has no need of beacons. Several sockets of a host may be open at once.
func Open(stem string) (*Socket, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		control := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
		return errors.Join(control, err)
	}}
	// At the group's address, so that nothing else is heard than what is sent there.
	pc, err := lc.ListenPacket(context.Background(), "udp4", netip.AddrPortFrom(Group, Port).String())
	if err != nil {
		return nil, fmt.Errorf("listen for beacons of the mesh: %w", err)
	}
	conn, ok := pc.(*net.UDPConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("listen for beacons of the mesh: it is a %T", pc), pc.Close())
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for beacons of the mesh: %w", err), conn.Close())
	}
	return &Socket{conn, raw, stem}, nil
}

// Close ends Hear.
func (s *Socket) Close() error { return s.conn.Close() }

// Say sends a beacon into each network of this host, and has it hear what is sent
// there. A network that cannot be sent to now keeps no other from it.
func (s *Socket) Say(h Hello) error {
	all, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("list network interfaces: %w", err)
	}
	var faults []error
	for _, i := range all {
		const wanted = net.FlagUp | net.FlagMulticast
		if i.Flags&(wanted|net.FlagLoopback|net.FlagPointToPoint) != wanted || strings.HasPrefix(i.Name, s.stem) || !hasIPv4(i) {
			continue
		}
		if err := s.join(i.Index); err != nil {
			faults = append(faults, fmt.Errorf("send a beacon by %s: %w", i.Name, err))
			continue
		}
		if _, err := s.conn.WriteToUDPAddrPort(h.Encode(), netip.AddrPortFrom(Group, Port)); err != nil {
			faults = append(faults, fmt.Errorf("send a beacon by %s: %w", i.Name, err))
		}
	}
	return errors.Join(faults...)
}

// join has the socket hear what is sent to the group in a network, and send there next.
func (s *Socket) join(index int) error {
	var err error
	control := s.raw.Control(func(fd uintptr) {
		by := unix.IPMreqn{Multiaddr: Group.As4(), Ifindex: int32(index)}
		err = unix.SetsockoptIPMreqn(int(fd), unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &by)
		if errors.Is(err, unix.EADDRINUSE) { // it has joined already
			err = nil
		}
		if err == nil {
			err = unix.SetsockoptIPMreqn(int(fd), unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(index)})
		}
	})
	return errors.Join(control, err)
}

func hasIPv4(i net.Interface) bool {
	all, err := i.Addrs()
	if err != nil {
		return false // it went away meanwhile
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			return true
		}
	}
	return false
}

// Hear calls heard with each beacon and where its sender's WireGuard listens, its own
// ones among them, until ctx ends.
func (s *Socket) Hear(ctx context.Context, heard func(h Hello, at netip.AddrPort)) error {
	defer context.AfterFunc(ctx, func() { _ = s.conn.Close() })() // Read says so
	b := make([]byte, 512)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(b)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("hear beacons of the mesh: %w", err)
		}
		h, err := Decode(b[:n])
		if err != nil {
			continue // anybody may send anything there
		}
		heard(h, netip.AddrPortFrom(from.Addr().Unmap(), h.Port))
	}
}
