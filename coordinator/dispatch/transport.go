package dispatch

import (
	"context"
	"crypto/tls"
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

// NewTransport returns the transport to the agents: connections are kept and
// shared between requests, and one that cannot be made is given up soon. Dial is
// Dial, or that of a test; identity is the client side of mutual TLS.
// CloseIdleConnections ends it.
func NewTransport(dial func(ctx context.Context, network, addr string) (net.Conn, error), identity *tls.Config) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, connectTimeout)
			defer cancel()
			return dial(ctx, network, addr)
		},
		TLSClientConfig:        identity,
		TLSHandshakeTimeout:    handshakeTimeout,
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
