package gossip

import (
	"errors"
	"fmt"
	"log"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// Bounds of the sockets.
const (
	largestPacket = 64 << 10               // bytes of UDP
	receiveRoom   = 2 << 20                // bytes that the kernel may keep for us; it gives what it may
	acceptPause   = 100 * time.Millisecond // after an error, as that of too many open files
)

// sockets are memberlist's transport: UDP and TCP at one port. memberlist's own takes
// 64 KiB of new memory for every packet.
type sockets struct {
	packets chan *memberlist.Packet
	streams chan net.Conn
	log     *log.Logger
	udp     *net.UDPConn
	tcp     *net.TCPListener
	closed  chan struct{}
	close   func() error // of everything, once
	readers sync.WaitGroup
}

var _ memberlist.NodeAwareTransport = (*sockets)(nil)

// openSockets listens at an address; port 0 is any that is free for TCP.
func openSockets(ip net.IP, port int, log *log.Logger) (*sockets, error) {
	tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: ip, Port: port})
	if err != nil {
		return nil, err
	}
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: ip, Port: tcp.Addr().(*net.TCPAddr).Port})
	if err != nil {
		return nil, errors.Join(err, tcp.Close())
	}
	if err := udp.SetReadBuffer(receiveRoom); err != nil {
		return nil, errors.Join(fmt.Errorf("make room for packets: %w", err), udp.Close(), tcp.Close())
	}
	s := &sockets{
		packets: make(chan *memberlist.Packet), streams: make(chan net.Conn), log: log, udp: udp, tcp: tcp, closed: make(chan struct{}),
	}
	s.close = sync.OnceValue(func() error {
		close(s.closed)
		err := errors.Join(s.tcp.Close(), s.udp.Close())
		s.readers.Wait()
		return err
	})
	s.readers.Go(s.receive)
	s.readers.Go(s.accept)
	return s, nil
}

// port is that of both sockets.
func (s *sockets) port() int { return s.tcp.Addr().(*net.TCPAddr).Port }

// FinalAdvertiseAddr is the address that the others are told, which is always given.
func (s *sockets) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	at := net.ParseIP(ip)
	if at == nil {
		return nil, 0, fmt.Errorf("gossip advertises %q, which is no IP address", ip)
	}
	if four := at.To4(); four != nil {
		at = four
	}
	return at, port, nil
}

// PacketCh gives what came by UDP.
func (s *sockets) PacketCh() <-chan *memberlist.Packet { return s.packets }

// StreamCh gives the connections that others opened.
func (s *sockets) StreamCh() <-chan net.Conn { return s.streams }

// WriteTo sends a packet to an ip:port.
func (s *sockets) WriteTo(b []byte, addr string) (time.Time, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return time.Time{}, fmt.Errorf("send a packet: %w", err)
	}
	_, err = s.udp.WriteToUDPAddrPort(b, to)
	return time.Now(), err
}

// WriteToAddress is WriteTo; the name is not needed.
func (s *sockets) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	return s.WriteTo(b, to.Addr)
}

// DialTimeout connects to an ip:port.
func (s *sockets) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return (&net.Dialer{Timeout: timeout}).Dial("tcp", addr)
}

// DialAddressTimeout is DialTimeout; the name is not needed.
func (s *sockets) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return s.DialTimeout(to.Addr, timeout)
}

// Shutdown closes the sockets and waits for their readers. It may be called again.
func (s *sockets) Shutdown() error { return s.close() }

// receive takes packets until the socket is closed.
func (s *sockets) receive() {
	room := make([]byte, largestPacket)
	for {
		n, from, err := s.udp.ReadFromUDPAddrPort(room)
		at := time.Now()
		if err != nil {
			if !s.after(err) {
				return
			}
			continue
		}
		if n == 0 {
			continue // memberlist wants a byte
		}
		p := &memberlist.Packet{
			Buf: append([]byte(nil), room[:n]...), Timestamp: at, // memberlist keeps it
			From: net.UDPAddrFromAddrPort(netip.AddrPortFrom(from.Addr().Unmap(), from.Port())),
		}
		select {
		case s.packets <- p:
		case <-s.closed:
			return
		}
	}
}

// accept takes connections until the socket is closed.
func (s *sockets) accept() {
	for {
		conn, err := s.tcp.AcceptTCP()
		if err != nil {
			if !s.after(err) {
				return
			}
			continue
		}
		select {
		case s.streams <- conn:
		case <-s.closed:
			_ = conn.Close() // of somebody who will ask again
			return
		}
	}
}

// after waits a moment after an error; false if the sockets are closed.
func (s *sockets) after(err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	s.log.Printf("socket: %v", err)
	select {
	case <-time.After(acceptPause):
		return true
	case <-s.closed:
		return false
	}
}
