package pipenet

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

const bufferSize = 64 << 10 // bytes that one direction of a connection holds

// A conn is one end of a connection.
type conn struct {
	net           *Net
	in, out       *flow
	local, remote *net.TCPAddr
	readBy        time.Time // deadlines; none if zero
	writeBy       time.Time
	closed        bool
}

// A flow is one direction of a connection: what was written on one end and not
// yet read on the other. The lock of the Net guards it.
type flow struct {
	net       *Net
	from, to  string
	buf       []byte
	delivered int   // bytes of buf that have crossed the network
	end       error // what comes after buf: io.EOF once closed, ECONNRESET once reset
	ended     error // end, once it has crossed the network
	gone      bool  // nobody reads any more
	changed   event // something above did, or a deadline of either end
}

// pair wants the lock held.
func (n *Net) pair(from, to string, here, there *net.TCPAddr) (near, far *conn) {
	if n.conns == nil {
		n.conns = map[*conn]bool{}
	}
	forth, back := &flow{net: n, from: from, to: to}, &flow{net: n, from: to, to: from}
	near = &conn{net: n, in: back, out: forth, local: here, remote: there}
	far = &conn{net: n, in: forth, out: back, local: there, remote: here}
	n.conns[near], n.conns[far] = true, true
	return near, far
}

// deliver takes over the network what waits, if the way is open.
func (f *flow) deliver() {
	if !f.net.carries(f.from, f.to) {
		return
	}
	f.delivered, f.ended = len(f.buf), f.end
	if f.end == syscall.ECONNRESET {
		f.buf, f.delivered = nil, 0 // a reset overtakes what was not yet read
	}
	f.changed.fire()
}

func (c *conn) Read(b []byte) (int, error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	for {
		switch f := c.in; {
		case c.closed:
			return 0, c.fault("read", net.ErrClosed)
		case past(c.readBy):
			return 0, c.fault("read", os.ErrDeadlineExceeded)
		case f.delivered > 0 || len(b) == 0:
			n := copy(b, f.buf[:f.delivered])
			f.buf, f.delivered = f.buf[n:], f.delivered-n
			f.changed.fire()
			return n, nil
		case f.ended == io.EOF:
			return 0, io.EOF
		case f.ended != nil:
			return 0, c.fault("read", f.ended)
		}
		c.wait(&c.in.changed, c.readBy)
	}
}

func (c *conn) Write(b []byte) (n int, err error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	for {
		switch f := c.out; {
		case c.closed:
			return n, c.fault("write", net.ErrClosed)
		case past(c.writeBy):
			return n, c.fault("write", os.ErrDeadlineExceeded)
		case c.in.ended == syscall.ECONNRESET:
			return n, c.fault("write", syscall.ECONNRESET)
		case c.in.ended != nil: // the other end is closed, and we know it
			return n, c.fault("write", syscall.EPIPE)
		case n == len(b):
			return n, nil
		case f.gone:
			n = len(b) // lost with an end that is closed, of which we do not know yet
		case len(f.buf) < bufferSize:
			m := min(len(b)-n, bufferSize-len(f.buf))
			f.buf = append(f.buf, b[n:n+m]...)
			n += m
			f.deliver()
		default:
			c.wait(&f.changed, c.writeBy)
		}
	}
}

// wait gives the lock up until the event or the deadline. An end of the other
// direction, and a new deadline, fire the event too.
func (c *conn) wait(e *event, by time.Time) {
	changed := e.wait()
	c.net.mu.Unlock()
	defer c.net.mu.Lock()
	if by.IsZero() {
		<-changed
		return
	}
	t := time.NewTimer(time.Until(by))
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	}
}

// Close ends both directions. What was written before still arrives.
func (c *conn) Close() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return c.fault("close", net.ErrClosed)
	}
	c.end(io.EOF)
	return nil
}

// reset ends both directions at once, with what was written before. It wants
// the lock held.
func (c *conn) reset() { c.end(syscall.ECONNRESET) }

func (c *conn) end(how error) {
	if c.closed {
		return
	}
	c.closed = true
	delete(c.net.conns, c)
	c.out.end = how
	c.out.deliver()
	c.in.gone, c.in.buf, c.in.delivered = true, nil, 0
	c.wake()
}

// wake makes all who wait on either direction look again.
func (c *conn) wake() {
	c.in.changed.fire()
	c.out.changed.fire()
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) SetDeadline(t time.Time) error      { return c.setDeadline(t, &c.readBy, &c.writeBy) }
func (c *conn) SetReadDeadline(t time.Time) error  { return c.setDeadline(t, &c.readBy) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(t, &c.writeBy) }

func (c *conn) setDeadline(t time.Time, which ...*time.Time) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return c.fault("set", net.ErrClosed)
	}
	for _, d := range which {
		*d = t
	}
	c.wake()
	return nil
}

func (c *conn) fault(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

func past(deadline time.Time) bool {
	return !deadline.IsZero() && !time.Now().Before(deadline)
}
