package consensus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/sabotage"
)

// The protocols on the raft port, told apart by ALPN within the handshake.
const (
	protoRaft    = "ps-raft"    // raft's own, msgpack
	protoControl = "ps-control" // ours, HTTP/1.1
)

// Greeting is a protocol of the raft port, for who only wants to see that it answers.
const Greeting = protoControl

// Bounds of the raft port.
const (
	handshakeTimeout = 5 * time.Second
	maxConns         = 128 // in both directions and of both protocols; a group of five uses about 40
)

// A dialFunc opens a connection as net.Dialer.DialContext does.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// A port is the raft port of this coordinator: one listener for both protocols,
// and the way out to the others. Nobody gets through who is not a coordinator
// of this cluster and, by admit, a member of the group: whoever could speak
// raft here could rewrite the agreed state (CVE-2021-37218 was that).
type port struct {
	listener net.Listener
	dial     dialFunc
	identity *identity.Identity
	admit    identity.Accept // both ways
	log      *slog.Logger
	refusals refusals

	raft, control *sub
	slots         chan struct{} // one for each connection

	mu     sync.Mutex
	conns  map[*peerConn]bool
	closed bool
	done   sync.WaitGroup // the handshakes of those who came
}

func newPort(l net.Listener, dial dialFunc, id *identity.Identity, admit identity.Accept, log *slog.Logger) *port {
	p := &port{
		listener: l, dial: dial, identity: id, log: log,
		slots: make(chan struct{}, maxConns), conns: map[*peerConn]bool{},
	}
	p.admit = func(peer identity.ID) error {
		if sabotage.NoRoleCheck {
			return nil
		}
		if err := identity.Roles(fleet.Coordinator)(peer); err != nil {
			return err
		}
		return admit(peer)
	}
	p.raft, p.control = newSub(p), newSub(p)
	return p
}

// accept takes connections until the port is closed.
func (p *port) accept() {
	cfg := p.identity.ServerTLSFor(tls.RequireAndVerifyClientCert, p.admit)
	cfg.NextProtos = []string{protoRaft, protoControl}
	cfg.SessionTicketsDisabled = true // each handshake is checked anew
	for {
		c, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			p.log.Warn("cannot accept on the raft port, trying again", "err", err)
			time.Sleep(100 * time.Millisecond) // out of file descriptors, most likely
			continue
		}
		select {
		case p.slots <- struct{}{}:
		default:
			p.log.Warn("raft port is full, connection refused", "limit", maxConns, "remote", c.RemoteAddr().String())
			c.Close() // it is not ours yet: nobody is to be told
			continue
		}
		pc := &peerConn{port: p}
		server := tls.Server(c, cfg)
		pc.Conn = server
		if !p.track(pc, func() { p.greet(pc, server) }) {
			pc.Close()
			return
		}
	}
}

// greet does the handshake and passes the connection on.
func (p *port) greet(pc *peerConn, c *tls.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	defer cancel()
	if err := c.HandshakeContext(ctx); err != nil {
		if p.refusals.news(reason(c.RemoteAddr(), err), time.Now()) {
			p.log.Warn("connection to the raft port refused", "remote", c.RemoteAddr().String(), "err", err, "again_min", refusalRest.Minutes())
		}
		pc.Close()
		return
	}
	state := c.ConnectionState()
	id, err := identity.Peer(&state)
	to := map[string]*sub{protoRaft: p.raft, protoControl: p.control}[state.NegotiatedProtocol]
	if err != nil || to == nil {
		p.log.Warn("connection to the raft port refused", "remote", c.RemoteAddr().String(), "protocol", state.NegotiatedProtocol, "err", err)
		pc.Close()
		return
	}
	p.mu.Lock()
	pc.peer = id
	p.mu.Unlock()
	if !to.put(pc) {
		pc.Close()
	}
}

// open connects to a coordinator that accept accepts, by one of the protocols.
func (p *port) open(ctx context.Context, address, protocol string, accept identity.Accept) (net.Conn, error) {
	select {
	case p.slots <- struct{}{}:
	default:
		return nil, fmt.Errorf("connect to %s: %d raft connections are open already", address, maxConns)
	}
	pc := &peerConn{port: p}
	c, err := p.dial(ctx, "tcp", address)
	if err != nil {
		<-p.slots
		return nil, err
	}
	var peer identity.ID
	cfg := p.identity.ClientTLSFor(func(id identity.ID) error {
		peer = id
		if err := identity.Roles(fleet.Coordinator)(id); err != nil {
			return err
		}
		return accept(id)
	})
	cfg.NextProtos = []string{protocol}
	client := tls.Client(c, cfg)
	pc.Conn = client
	if err := client.HandshakeContext(ctx); err != nil {
		pc.Close()
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	if got := client.ConnectionState().NegotiatedProtocol; got != protocol {
		pc.Close()
		return nil, fmt.Errorf("connect to %s: it does not speak %s", address, protocol)
	}
	pc.peer = peer
	if !p.track(pc, nil) {
		pc.Close()
		return nil, net.ErrClosed
	}
	return pc, nil
}

// track remembers a connection so that it can be closed from here, and starts
// what is to be done with it, if anything; false when the port is closed already.
// Both under the lock: close does not wait before, and nothing begins after.
func (p *port) track(pc *peerConn, then func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.conns[pc] = true
	if then != nil {
		p.done.Go(then)
	}
	return true
}

// sweep closes the connections of peers that would not be admitted any more.
func (p *port) sweep() {
	p.mu.Lock()
	var out []*peerConn
	for pc := range p.conns {
		if pc.peer.Name != "" && p.admit(pc.peer) != nil {
			out = append(out, pc)
		}
	}
	p.mu.Unlock()
	for _, pc := range out {
		p.log.Info("connection closed, its peer is no member any more", "peer", pc.peer.Name)
		pc.Close()
	}
}

// close ends everything on the port and waits for it.
func (p *port) close() {
	p.mu.Lock()
	p.closed = true
	all := make([]*peerConn, 0, len(p.conns))
	for pc := range p.conns {
		all = append(all, pc)
	}
	p.mu.Unlock()
	p.listener.Close() // its only error is that it was closed
	for _, pc := range all {
		pc.Close()
	}
	p.raft.shut()
	p.control.shut()
	p.done.Wait()
}

// A peerConn is a connection whose other end is known.
type peerConn struct {
	net.Conn
	port *port
	peer identity.ID
	once sync.Once
	err  error
}

func (c *peerConn) Close() error {
	c.once.Do(func() {
		c.port.mu.Lock()
		delete(c.port.conns, c)
		c.port.mu.Unlock()
		// The transport under TLS, not TLS: its farewell would wait for a dead peer.
		if t, ok := c.Conn.(*tls.Conn); ok {
			c.err = t.NetConn().Close()
		}
		<-c.port.slots
	})
	return c.err
}

// A sub is the part of the port that speaks one protocol.
type sub struct {
	port  *port
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newSub(p *port) *sub {
	return &sub{port: p, conns: make(chan net.Conn), done: make(chan struct{})}
}

func (s *sub) put(c net.Conn) bool {
	select {
	case s.conns <- c:
		return true
	case <-s.done:
		return false
	}
}

func (s *sub) shut() { s.once.Do(func() { close(s.done) }) }

// Accept waits for the next connection; net.ErrClosed once shut.
func (s *sub) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.done:
		return nil, net.ErrClosed
	}
}

// Close stops Accept.
func (s *sub) Close() error { s.shut(); return nil }

// Addr is that of the port.
func (s *sub) Addr() net.Addr { return s.port.listener.Addr() }

// A layer is what raft's transport stands on.
type layer struct {
	*sub
	advertise string
	who       func(raft.ServerAddress) identity.Accept // who may answer at an address
}

// Addr is where the others reach this coordinator.
func (l layer) Addr() net.Addr { return address(l.advertise) }

// Dial connects to a member by the address that it has in the configuration.
func (l layer) Dial(a raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return l.port.open(ctx, string(a), protoRaft, l.who(a))
}

// An address is a host:port that need not be one of this machine.
type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }
