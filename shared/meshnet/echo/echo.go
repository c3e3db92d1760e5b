//go:build linux

// Package echo asks members of the mesh whether packets reach them, by ICMPv6 echo
// (RFC 4443, section 4). The answer comes from the other host's kernel: it tells of
// the path, not of some program at its end.
package echo

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Types of ICMPv6 messages, and the length of an echo's header in bytes.
const (
	echoRequest = 128
	echoReply   = 129
	headerSize  = 8
	tokenSize   = 8
)

// ErrSilent is that nobody answered in time.
var ErrSilent = errors.New("no answer")

// A Socket asks and hears answers. It is safe for concurrent use.
type Socket struct {
	conn *net.IPConn
	id   uint16

	mu      sync.Mutex
	seq     uint16
	waiting map[uint16]question
	heard   sync.WaitGroup
}

type question struct {
	to     netip.Addr
	token  [tokenSize]byte // so that nobody answers who was not asked
	answer chan<- time.Time
}

// Open makes a socket. It takes CAP_NET_RAW.
func Open() (*Socket, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		control := c.Control(func(fd uintptr) {
			var pass unix.ICMPv6Filter
			for i := range pass.Data {
				pass.Data[i] = 0xffffffff // a set bit blocks
			}
			pass.Data[echoReply/32] &^= 1 << (echoReply % 32)
			err = unix.SetsockoptICMPv6Filter(int(fd), unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &pass)
		})
		return errors.Join(control, err)
	}}
	conn, err := lc.ListenPacket(context.Background(), "ip6:ipv6-icmp", "::")
	if err != nil {
		return nil, fmt.Errorf("open a socket for probes: %w; it takes the capability CAP_NET_RAW", err)
	}
	var id [2]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	s := &Socket{conn: conn.(*net.IPConn), id: binary.BigEndian.Uint16(id[:]), waiting: map[uint16]question{}}
	s.heard.Go(s.listen) // Close waits for it
	return s, nil
}

// Close ends all questions without an answer.
func (s *Socket) Close() error {
	err := s.conn.Close()
	s.heard.Wait()
	return err
}

// Ask sends a packet of size bytes, IPv6's header and all, through an interface, and
// waits for the answer, by whichever interface it comes. It returns how long that
// took; ErrSilent if it took longer than limit.
func (s *Socket) Ask(ctx context.Context, link string, to netip.Addr, size int, limit time.Duration) (time.Duration, error) {
	i, err := net.InterfaceByName(link)
	if err != nil {
		return 0, fmt.Errorf("probe by %s: %w", link, err)
	}
	answer := make(chan time.Time, 1)
	q := question{to: to, answer: answer}
	if _, err := rand.Read(q.token[:]); err != nil {
		return 0, err
	}
	s.mu.Lock()
	s.seq++
	seq := s.seq
	s.waiting[seq] = q
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.waiting, seq)
		s.mu.Unlock()
	}()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	sent := time.Now()
	if _, _, err := s.conn.WriteMsgIP(s.request(seq, q.token, size), through(i.Index), &net.IPAddr{IP: to.AsSlice()}); err != nil {
		return 0, fmt.Errorf("probe %s by %s: %w", to, link, err)
	}
	select {
	case at := <-answer:
		return at.Sub(sent), nil
	case <-ctx.Done():
		return 0, ErrSilent
	}
}

// request is an echo request; the kernel fills the checksum in (RFC 3542, section 3.1).
func (s *Socket) request(seq uint16, token [tokenSize]byte, size int) []byte {
	const ipv6Header = 40
	b := make([]byte, max(size-ipv6Header, headerSize+tokenSize))
	b[0] = echoRequest
	binary.BigEndian.PutUint16(b[4:], s.id)
	binary.BigEndian.PutUint16(b[6:], seq)
	copy(b[headerSize:], token[:])
	return b
}

// through is the control message that has a packet leave by one interface (RFC 3542,
// section 6.1), and be refused rather than cut in pieces.
func through(index int) []byte {
	b := make([]byte, unix.CmsgSpace(unix.SizeofInet6Pktinfo)+unix.CmsgSpace(4))
	put := func(b []byte, kind int32, data int) []byte {
		binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(data)))
		binary.NativeEndian.PutUint32(b[8:], unix.IPPROTO_IPV6)
		binary.NativeEndian.PutUint32(b[12:], uint32(kind))
		return b[unix.CmsgLen(0):]
	}
	info := put(b, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
	binary.NativeEndian.PutUint32(info[16:], uint32(index)) // after the source address, which the route tells
	whole := put(b[unix.CmsgSpace(unix.SizeofInet6Pktinfo):], unix.IPV6_DONTFRAG, 4)
	binary.NativeEndian.PutUint32(whole, 1)
	return b
}

func (s *Socket) listen() {
	b := make([]byte, 64)
	for {
		n, from, err := s.conn.ReadFromIP(b)
		now := time.Now()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // the kernel tells of an earlier packet's fate; whoever asked waits in vain
		}
		if a, ok := netip.AddrFromSlice(from.IP); ok {
			s.hear(b[:n], a, now)
		}
	}
}

// hear looks whose question a message answers, if any.
func (s *Socket) hear(b []byte, from netip.Addr, now time.Time) {
	if len(b) < headerSize+tokenSize || b[0] != echoReply || binary.BigEndian.Uint16(b[4:]) != s.id {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, ok := s.waiting[binary.BigEndian.Uint16(b[6:])]
	if !ok || q.to != from.WithZone("") || string(b[headerSize:headerSize+tokenSize]) != string(q.token[:]) {
		return
	}
	select {
	case q.answer <- now:
	default: // it was answered twice
	}
}
