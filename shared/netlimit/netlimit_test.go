package netlimit_test

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"testing"

	"primespark/shared/netlimit"
)

// A crowd is a listener whose clients come from where they like.
type crowd struct{ conns chan net.Conn }

func (c crowd) Accept() (net.Conn, error) {
	if conn, ok := <-c.conns; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}
func (c crowd) Close() error { close(c.conns); return nil }
func (crowd) Addr() net.Addr { return &net.TCPAddr{Port: 7480} }

type client struct {
	net.Conn
	from net.Addr
}

func (c client) RemoteAddr() net.Addr { return c.from }

type name string

func (name) Network() string  { return "pipe" }
func (n name) String() string { return string(n) }

func TestListen(t *testing.T) {
	var log bytes.Buffer
	inner := crowd{make(chan net.Conn)}
	l := netlimit.Listen(inner, netlimit.Limits{All: 6, Host: 2}, slog.New(slog.NewTextHandler(&log, nil)))
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	connect := func(from string) (server net.Conn) {
		t.Helper()
		near, far := net.Pipe()
		t.Cleanup(func() { near.Close() })
		addr := net.Addr(name(from))
		if tcp, err := net.ResolveTCPAddr("tcp", from); err == nil {
			addr = tcp
		}
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			_, _ = near.Read(make([]byte, 1)) // it ends when the other side closes
		}()
		inner.conns <- client{far, addr}
		select {
		case c := <-accepted:
			return c
		case <-closed:
			return nil
		}
	}
	var first net.Conn
	for i, step := range []struct {
		from string
		in   bool
	}{
		{"10.0.0.1:1000", true},
		{"10.0.0.1:1001", true},
		{"10.0.0.1:1002", false}, // a third of one host
		{"[::ffff:10.0.0.1]:1003", false},
		{"[2001:db8::1]:1", true},
		{"[2001:db8::2]:1", true},
		{"[2001:db8::3]:1", false}, // the same network of 64 bits
		{"127.0.0.1:1", true},
		{"[::1]:1", true},
		{"127.0.0.1:2", false}, // the seventh of all
	} {
		c := connect(step.from)
		if (c != nil) != step.in {
			t.Errorf("%d, %s: let in %v", i, step.from, c != nil)
		}
		if first == nil {
			first = c
		}
	}
	for range 2 { // closing twice counts once
		if err := first.Close(); err != nil {
			t.Error(err)
		}
	}
	if connect("10.0.0.1:2000") == nil {
		t.Error("there is room again")
	}
	if connect("c1") != nil || connect("10.0.0.9:1") != nil {
		t.Error("it is full again")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	for range accepted {
	}
	if got := log.String(); strings.Count(got, "too many connections") != 1 || !strings.Contains(got, "from=10.0.0.1:1002") {
		t.Errorf("the log: %s", got)
	}
}
