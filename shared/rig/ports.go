package rig

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"

	"primespark/shared/problem"
)

// Ports are taken from below the range in which Linux chooses them for outgoing
// connections (32768 and up), so that none is lost between the moment it is
// found free and the start of the daemon, or while a daemon is being restarted.
const (
	lowest  = 20000
	highest = 32000
)

// A port is held open, TCP and UDP, until its daemon starts.
type port struct {
	tcp net.Listener
	udp net.PacketConn
}

// hold takes a port of 127.0.0.1, for both protocols.
func hold(number int) (port, error) {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(number))
	tcp, err := net.Listen("tcp", address)
	if err != nil {
		return port{}, err
	}
	udp, err := net.ListenPacket("udp", address)
	if err != nil {
		return port{}, errors.Join(err, tcp.Close())
	}
	return port{tcp, udp}, nil
}

// reserve finds a free port for each of the addresses and fills them in.
func (n *Node) reserve(addresses ...*string) error {
	for _, a := range addresses {
		var p port
		var err error
		for range 100 {
			if p, err = hold(lowest + rand.IntN(highest-lowest)); err == nil {
				break
			}
		}
		if err != nil {
			return &problem.Error{
				Code: problem.Unexpected, Err: err,
				Detail: fmt.Sprintf("No free port was found on 127.0.0.1 from %d to %d.", lowest, highest),
				Remedy: "Stop some of what listens there; ss -ltn shows it.",
			}
		}
		n.ports = append(n.ports, p)
		*a = p.tcp.Addr().String()
	}
	return nil
}

// reservePage takes the port that the user chose for the node's plain HTTP.
func (n *Node) reservePage(number int) error {
	p, err := hold(number)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return &problem.Error{
			Code: problem.Conflict, Err: err,
			Detail: fmt.Sprintf("Port %d of 127.0.0.1 is taken, perhaps by another demo.", number),
			Remedy: "Give another with --port, or leave it out for any that is free.",
		}
	case err != nil:
		return &problem.Error{
			Code: problem.Invalid, Err: err,
			Detail: fmt.Sprintf("Port %d of 127.0.0.1 cannot be used.", number), Remedy: "Give one from 1024 to 65535 with --port, or leave it out.",
		}
	}
	n.ports = append(n.ports, p)
	n.Loopback = p.tcp.Addr().String()
	return nil
}

// release lets go of the node's ports, for its daemon to take.
func (n *Node) release() {
	for _, p := range n.ports {
		// Nothing was sent through them, so nothing can be lost by closing.
		_ = p.tcp.Close()
		_ = p.udp.Close()
	}
	n.ports = nil
}
