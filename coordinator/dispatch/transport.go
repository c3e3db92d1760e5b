package dispatch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Times by which an agent shows that it is there. An agent on a LAN answers a
// connection in a millisecond; over a mesh with a relay, in 200 ms.
const (
	connectTimeout   = 700 * time.Millisecond
	handshakeTimeout = 1500 * time.Millisecond
	unackedTimeout   = 2 * time.Second // TCP_USER_TIMEOUT, tcp(7)
)

// Dial connects to an agent over the network. A connection whose peer has lost
// power fails 2 s after the last sign of it, instead of the kernel's 15 min: by
// unacknowledged data, or by keep-alive probes while an answer is awaited.
func Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 2},
		Control: func(_, _ string, c syscall.RawConn) error {
			var failed error
			err := c.Control(func(fd uintptr) {
				failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unackedTimeout.Milliseconds()))
			})
			if err != nil {
				return err
			}
			return failed
		},
	}
	return d.DialContext(ctx, network, addr)
}

// An agentAddress is the key in a request's context of where its agent is. The
// URL names the agent itself, so that a kept connection is one to that agent
// and to no other that has its address by now.
type agentAddress struct{}

// NewTransport returns the transport to the agents: connections are kept and
// shared between requests, and one that cannot be made is given up soon. Dial is
// Dial, or that of a test. client is the client side of mutual TLS with the agent
// of a name, and with no other: where an agent is, gossip says, and whoever has
// joined may gossip. CloseIdleConnections ends it.
func NewTransport(dial func(ctx context.Context, network, addr string) (net.Conn, error), client func(agent string) *tls.Config) *http.Transport {
	connect := func(ctx context.Context, network, addr string) (net.Conn, error) {
		if at, ok := ctx.Value(agentAddress{}).(string); ok {
			addr = at
		}
		ctx, cancel := context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		return dial(ctx, network, addr)
	}
	return &http.Transport{
		DialContext: connect,
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			agent, _, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			c, err := connect(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
			defer cancel()
			secure := tls.Client(c, client(agent))
			if err := secure.HandshakeContext(ctx); err != nil {
				return nil, errors.Join(fmt.Errorf("handshake with agent %s: %w", agent, err), c.Close())
			}
			return secure, nil
		},
		MaxIdleConns:           512,
		MaxIdleConnsPerHost:    16, // an agent answers a few requests at a time
		IdleConnTimeout:        60 * time.Second,
		ExpectContinueTimeout:  time.Second,
		DisableCompression:     true, // answers are passed on as they come
		WriteBufferSize:        64 << 10,
		ReadBufferSize:         16 << 10,
		MaxResponseHeaderBytes: 64 << 10,
	}
}
