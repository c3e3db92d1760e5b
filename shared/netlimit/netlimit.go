// Package netlimit bounds the connections that a listener holds, all together and
// from one host, so that a client that opens them without end costs its own calls and
// not the others'.
package netlimit

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Limits are how many connections may be open at a time.
type Limits struct {
	All  int
	Host int // from one IPv4 address or one IPv6 /64; loopback has only All
}

// silence is the time between two words about refused connections.
const silence = time.Minute

// Listen bounds l. A connection too many is closed at once, before a byte is read
// or a handshake is paid for.
func Listen(l net.Listener, limits Limits, log *slog.Logger) net.Listener {
	return &listener{Listener: l, limits: limits, log: log, hosts: map[netip.Prefix]int{}}
}

type listener struct {
	net.Listener
	limits Limits
	log    *slog.Logger

	mu      sync.Mutex
	all     int
	hosts   map[netip.Prefix]int
	refused int       // since said
	said    time.Time // when it was last told of
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host := of(c.RemoteAddr())
		if l.enter(host) {
			return &conn{Conn: c, leave: sync.OnceFunc(func() { l.leave(host) })}, nil
		}
		l.tell(c.RemoteAddr())
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			l.log.Debug("close a connection too many", "err", err)
		}
	}
}

// enter counts a connection, if there is room for it.
func (l *listener) enter(host netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= l.limits.All || host.IsValid() && l.hosts[host] >= l.limits.Host {
		return false
	}
	l.all++
	if host.IsValid() {
		l.hosts[host]++
	}
	return true
}

func (l *listener) leave(host netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if !host.IsValid() {
		return
	}
	if l.hosts[host]--; l.hosts[host] == 0 {
		delete(l.hosts, host)
	}
}

// tell says that connections are refused, now and then.
func (l *listener) tell(from net.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused++
	if now := time.Now(); l.said.IsZero() || now.Sub(l.said) >= silence {
		l.log.Warn("too many connections, new ones are closed", "listener", l.Addr().String(), "from", from.String(), "closed", l.refused, "open", l.all,
			"remedy", "see what that host does; a client should keep its connections and use them again")
		l.said, l.refused = now, 0
	}
}

// of is what a client's host is counted by; nothing for loopback and for what is no
// IP address.
func of(a net.Addr) netip.Prefix {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{}
	}
	ip := at.Addr().Unmap().WithZone("")
	if ip.IsLoopback() {
		return netip.Prefix{}
	}
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// A conn is counted until it is closed.
type conn struct {
	net.Conn
	leave func()
}

func (c *conn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// NetConn is the connection beneath, for those who ask for its socket.
func (c *conn) NetConn() net.Conn { return c.Conn }
