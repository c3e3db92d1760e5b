package pipenet

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"time"
)

const (
	backlog        = 128               // connections that wait to be accepted
	firstEphemeral = 32768             // as Linux has it
	lastEphemeral  = 60999             //
	dialPatience   = 127 * time.Second // Linux gives up after six retries of the SYN
)

// Listen opens a port of the host, as net.ListenConfig.Listen does: ":7480",
// "127.0.0.1:7490" for this host only, or with the host's own name or address;
// port 0 is any free one. It fails with syscall.EADDRINUSE and EADDRNOTAVAIL.
func (h *Host) Listen(ctx context.Context, network, addr string) (net.Listener, error) {
	fail := func(err error) (net.Listener, error) {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: text{network, addr}, Err: err}
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	host, port, err := split(network, addr)
	if err != nil {
		return fail(err)
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if !wildcard(host) && !loopback(host) && h.net.find(host) != h {
		return fail(syscall.EADDRNOTAVAIL)
	}
	if port == 0 {
		port = h.ephemeral()
	}
	if h.listeners[port] != nil {
		return fail(syscall.EADDRINUSE)
	}
	l := &listener{host: h, local: loopback(host), queue: make(chan *conn, backlog), done: make(chan struct{})}
	l.addr = &net.TCPAddr{IP: h.ip, Port: port}
	if l.local {
		l.addr.IP = net.IPv4(127, 0, 0, 1)
	}
	h.listeners[port] = l
	return l, nil
}

// Dial connects to "host:port", as net.Dialer.DialContext does; no host, or
// localhost, is this one. It is refused (syscall.ECONNREFUSED) where nobody
// listens, and hangs until ctx ends, or for 127 s, where the way is cut.
func (h *Host) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: text{network, addr}, Err: err}
	}
	host, port, err := split(network, addr)
	if err != nil {
		return fail(err)
	}
	patience := time.NewTimer(dialPatience)
	defer patience.Stop()
	for {
		if err := ctx.Err(); err != nil {
			return fail(err)
		}
		c, changed, err := h.connect(host, port)
		if err != nil {
			return fail(err)
		}
		if c != nil {
			return c, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
		case <-patience.C:
			return fail(syscall.ETIMEDOUT)
		}
	}
}

// connect tries once. Without a connection and an error the network said
// nothing, and the caller waits for it to change.
func (h *Host) connect(host string, port int) (net.Conn, <-chan struct{}, error) {
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	to := h
	if !wildcard(host) && !loopback(host) {
		if to = n.find(host); to == nil {
			return nil, nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
	}
	if !n.carries(h.name, to.name) || !n.carries(to.name, h.name) {
		return nil, n.changed.wait(), nil
	}
	l := to.listeners[port]
	if l == nil || l.local && to != h {
		return nil, nil, syscall.ECONNREFUSED
	}
	if len(l.queue) == cap(l.queue) {
		return nil, n.changed.wait(), nil // a full backlog drops the SYN
	}
	here := &net.TCPAddr{IP: h.ip, Port: h.ephemeral()}
	if l.local {
		here.IP = l.addr.IP
	}
	near, far := n.pair(h.name, to.name, here, l.addr)
	l.queue <- far
	return near, nil, nil
}

// ephemeral gives the next port that nobody listens on. As a connection is not
// found by its port, two of them may have the same one after 28,000 dials.
func (h *Host) ephemeral() int {
	for {
		if h.port++; h.port > lastEphemeral {
			h.port = firstEphemeral
		}
		if h.listeners[h.port] == nil {
			return h.port
		}
	}
}

type listener struct {
	host   *Host
	addr   *net.TCPAddr
	local  bool // on loopback
	queue  chan *conn
	done   chan struct{}
	closed bool
}

func (l *listener) Accept() (net.Conn, error) {
	closed := &net.OpError{Op: "accept", Net: "tcp", Addr: l.addr, Err: net.ErrClosed}
	select {
	case <-l.done:
		return nil, closed
	default:
	}
	select {
	case c := <-l.queue:
		l.host.net.mu.Lock()
		defer l.host.net.mu.Unlock()
		l.host.net.changed.fire() // there is room in the backlog
		return c, nil
	case <-l.done:
		return nil, closed
	}
}

func (l *listener) Close() error {
	l.host.net.mu.Lock()
	defer l.host.net.mu.Unlock()
	if l.closed {
		return &net.OpError{Op: "close", Net: "tcp", Addr: l.addr, Err: net.ErrClosed}
	}
	l.close()
	return nil
}

// close wants the lock held. What nobody accepted is reset, as a kernel does.
func (l *listener) close() {
	l.closed = true
	close(l.done)
	delete(l.host.listeners, l.addr.Port)
	l.host.net.changed.fire() // those who wait for the backlog are refused now
	for {
		select {
		case c := <-l.queue:
			c.reset()
		default:
			return
		}
	}
}

func (l *listener) Addr() net.Addr { return l.addr }

// split takes "host:port" apart.
func split(network, addr string) (host string, port int, err error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return "", 0, net.UnknownNetworkError(network)
	}
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(service)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("port %q: give a number from 0 to 65535", service)
	}
	return host, port, nil
}

func wildcard(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// text is an address as it was asked for.
type text struct{ network, addr string }

func (t text) Network() string { return t.network }
func (t text) String() string  { return t.addr }
