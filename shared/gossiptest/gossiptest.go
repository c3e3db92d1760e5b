// Package gossiptest is a network for memberlist that loses packets. It lies on
// top of pipenet, whose cuts hold for packets and streams alike, so that a whole
// fleet with its gossip is cut by one word; and it works under testing/synctest.
package gossiptest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"primespark/shared/pipenet"
)

// A Net carries the packets between the hosts of one pipenet.Net.
type Net struct {
	mu    sync.Mutex
	loss  float64
	dice  *rand.Rand
	ports map[string]*Transport // by "ip:port"
}

// New returns a network that loses each packet with a probability from 0 to 1,
// by dice that fall the same way for the same seed.
func New(loss float64, seed uint64) *Net {
	return &Net{loss: loss, dice: rand.New(rand.NewPCG(seed, seed)), ports: map[string]*Transport{}}
}

// A Transport is one end of it: memberlist.Transport.
type Transport struct {
	net     *Net
	host    *pipenet.Host
	streams net.Listener
	addr    *net.TCPAddr
	packets chan *memberlist.Packet
	conns   chan net.Conn
	closed  chan struct{}
	accept  sync.WaitGroup
	once    sync.Once
}

var _ memberlist.Transport = (*Transport)(nil)

// Transport opens addr, such as ":7482", on host. It closes by Shutdown, which
// memberlist calls, and when the host is killed.
func (n *Net) Transport(host *pipenet.Host, addr string) (*Transport, error) {
	l, err := host.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("open gossip port: %w", err)
	}
	t := &Transport{
		net: n, host: host, streams: l, addr: l.Addr().(*net.TCPAddr),
		packets: make(chan *memberlist.Packet, 256), conns: make(chan net.Conn), closed: make(chan struct{}),
	}
	n.mu.Lock()
	n.ports[t.Addr()] = t
	n.mu.Unlock()
	t.accept.Go(t.listen)
	return t, nil
}

// listen hands streams on until the listener closes.
func (t *Transport) listen() {
	defer t.close()
	for {
		c, err := t.streams.Accept()
		if err != nil {
			return // closed, here or by the death of the host
		}
		select {
		case t.conns <- c:
		case <-t.closed:
			c.Close()
		}
	}
}

// Send puts a packet on the network as it is, as anybody can who knows an
// address. It reports whether it arrived.
func (n *Net) Send(from *pipenet.Host, to string, packet []byte) bool {
	n.mu.Lock()
	t, lost := n.ports[to], n.dice.Float64() < n.loss
	n.mu.Unlock()
	if t == nil || lost || !from.Net().Carries(from.Name(), t.host.Name()) {
		return false
	}
	p := &memberlist.Packet{Buf: append([]byte(nil), packet...), From: &net.UDPAddr{IP: from.IP(), Port: t.addr.Port}, Timestamp: time.Now()}
	select {
	case t.packets <- p:
		return true
	default: // a full buffer loses packets too
		return false
	}
}

// FinalAdvertiseAddr gives the address of the host, unless one is configured.
func (t *Transport) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	if ip == "" {
		return t.addr.IP, t.addr.Port, nil
	}
	given := net.ParseIP(ip)
	if given == nil {
		return nil, 0, fmt.Errorf("advertise %q: no IP address", ip)
	}
	return given, port, nil
}

// WriteTo sends a packet. That it is lost is nothing the sender hears of.
func (t *Transport) WriteTo(b []byte, addr string) (time.Time, error) {
	select {
	case <-t.closed:
		return time.Time{}, net.ErrClosed
	default:
		t.net.Send(t.host, addr, b)
		return time.Now(), nil
	}
}

// DialTimeout opens a stream.
func (t *Transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	select {
	case <-t.closed:
		return nil, net.ErrClosed
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return t.host.Dial(ctx, "tcp", addr)
}

// PacketCh gives the packets that arrive.
func (t *Transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh gives the streams that others open.
func (t *Transport) StreamCh() <-chan net.Conn { return t.conns }

// Addr is the host:port at which it listens.
func (t *Transport) Addr() string {
	return net.JoinHostPort(t.addr.IP.String(), strconv.Itoa(t.addr.Port))
}

// Shutdown closes it and waits until it is closed. Again does no harm.
func (t *Transport) Shutdown() error {
	t.close()
	t.accept.Wait()
	return nil
}

func (t *Transport) close() {
	t.once.Do(func() {
		close(t.closed)
		t.streams.Close() // closed already if the host was killed
		t.net.mu.Lock()
		defer t.net.mu.Unlock()
		if t.net.ports[t.Addr()] == t {
			delete(t.net.ports, t.Addr())
		}
	})
}
