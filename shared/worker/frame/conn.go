package frame

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// A Conn is one end of the socket between agent and worker. One goroutine may
// send while another receives; several may send.
type Conn struct {
	c     *net.UnixConn
	files bool   // whether files may come with a message
	in    []byte // of the receiver
	oob   []byte

	mu  sync.Mutex
	out []byte // of the sender
}

// Pair makes the socket: a Conn for the agent, and the file that a worker is to
// inherit as descriptor 3, which the caller closes once the worker runs.
func Pair() (*Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "worker"), os.NewFile(uintptr(fds[1]), "agent")
	// The worker's end blocks, as programs in C and Python expect it to.
	if err := unix.SetNonblock(fds[1], false); err != nil {
		return nil, nil, errors.Join(err, ours.Close(), theirs.Close())
	}
	c, err := open(ours, false)
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return c, theirs, nil
}

// Accept makes the worker's Conn of the file that it inherited, which it closes.
// Messages may come with a file.
func Accept(f *os.File) (*Conn, error) { return open(f, true) }

func open(f *os.File, files bool) (*Conn, error) {
	defer f.Close() // FileConn has a descriptor of its own
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("socket of the worker: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("socket of the worker is a %T", c), c.Close())
	}
	return newConn(u, files), nil
}

func newConn(c *net.UnixConn, files bool) *Conn {
	return &Conn{
		c: c, files: files,
		in:  make([]byte, HeaderSize+MaxPayload+1), // one more, to see what is too long
		oob: make([]byte, unix.CmsgSpace(4)),
	}
}

// Close ends the conversation; a Receive under way returns.
func (c *Conn) Close() error { return c.c.Close() }

// Send sends m, and file with it if that is not nil; file stays the caller's.
func (c *Conn) Send(m Message, file *os.File) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	packet, err := m.appendTo(c.out[:0])
	if err != nil {
		return err
	}
	c.out = packet
	if file == nil {
		_, err = c.c.Write(packet)
		return err
	}
	_, _, err = c.c.WriteMsgUnix(packet, unix.UnixRights(int(file.Fd())), nil)
	return err
}

// Receive waits for a message. Its payload is good until the next Receive. The
// error is io.EOF when the other side is gone; after any error the conversation
// is over.
func (c *Conn) Receive() (Message, error) {
	n, err := c.c.Read(c.in)
	if err != nil {
		return Message{}, err
	}
	return Decode(c.in[:n])
}

// ReceiveFile is Receive with the file that came along, nil if none did. It is
// the worker's, who closes it.
func (c *Conn) ReceiveFile() (Message, *os.File, error) {
	if !c.files {
		return Message{}, nil, errors.New("files come to workers only")
	}
	n, oobn, _, _, err := c.c.ReadMsgUnix(c.in, c.oob)
	if err != nil {
		return Message{}, nil, err
	}
	file, err := inherited(c.oob[:oobn])
	if err != nil {
		return Message{}, nil, err
	}
	m, err := Decode(c.in[:n])
	if err != nil && file != nil {
		return Message{}, nil, errors.Join(err, file.Close())
	}
	return m, file, err
}

// inherited returns the file in a control message. In the room for one there is,
// for its alignment, room for two, which nobody sends.
func inherited(oob []byte) (*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	control, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("control message: %w", err)
	}
	if len(control) != 1 {
		return nil, fmt.Errorf("%d control messages, want one", len(control))
	}
	fds, err := unix.ParseUnixRights(&control[0])
	if err != nil {
		return nil, fmt.Errorf("control message: %w", err)
	}
	if len(fds) != 1 {
		for _, fd := range fds {
			_ = unix.Close(fd) // the conversation is over anyway
		}
		return nil, fmt.Errorf("%d files came along, want one", len(fds))
	}
	return os.NewFile(uintptr(fds[0]), "sent"), nil
}
