package frame

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
)

// ErrGone means that the worker's socket is closed: the process ended, or is
// being ended.
var ErrGone = errors.New("worker is gone")

// A Client asks a worker, many things at a time. Run has to run for that.
type Client struct {
	conn *Conn

	mu    sync.Mutex
	seq   uint32
	waits map[uint32]chan Message
	err   error // why Run ended
}

// NewClient returns a client over conn, which Run closes.
func NewClient(conn *Conn) *Client {
	return &Client{conn: conn, waits: map[uint32]chan Message{}}
}

// Run hands out replies until the socket ends or ctx does, and returns why, never
// nil. Whoever still waits for a reply then gets ErrGone.
func (c *Client) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = c.conn.Close() }) // what a late Close says is of no use
	defer stop()
	err := c.deliver()
	_ = c.conn.Close() // it may be closed already
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = fmt.Errorf("%w: %w", ErrGone, err)
	for _, w := range c.waits {
		close(w)
	}
	clear(c.waits)
	return c.err
}

func (c *Client) deliver() error {
	for {
		m, err := c.conn.Receive()
		if err != nil {
			return err
		}
		if !m.Reply {
			return fmt.Errorf("worker asks %v; only agents ask", m.Type)
		}
		if len(m.Payload) > 0 {
			m.Payload = append([]byte(nil), m.Payload...)
		}
		c.mu.Lock()
		w, ok := c.waits[m.Seq]
		delete(c.waits, m.Seq)
		c.mu.Unlock()
		if ok { // else nobody waits for it any more
			w <- m
		}
	}
}

// Call sends a request, with a file if that is not nil, and waits for its reply.
// A reply with a status is an error, a *Failure. When ctx ends first, the request
// is still the worker's: what it may write to is not free before Run returned.
func (c *Client) Call(ctx context.Context, m Message, file *os.File) (Message, error) {
	wait := make(chan Message, 1)
	if err := c.register(&m, wait); err != nil {
		return Message{}, err
	}
	if err := c.conn.Send(m, file); err != nil {
		c.forget(m.Seq)
		return Message{}, fmt.Errorf("%v request: %w: %w", m.Type, ErrGone, err)
	}
	select {
	case reply, ok := <-wait:
		switch {
		case !ok:
			return Message{}, fmt.Errorf("%v request: %w", m.Type, c.gone())
		case reply.Type != m.Type:
			return Message{}, fmt.Errorf("%v request: answered with %v", m.Type, reply.Type)
		}
		return reply, reply.Err()
	case <-ctx.Done():
		c.forget(m.Seq)
		return Message{}, fmt.Errorf("%v request: %w", m.Type, ctx.Err())
	}
}

// Begin sends a request and returns where its reply will come; the channel is
// closed without one when the worker is gone. Whoever begins waits for either.
func (c *Client) Begin(m Message) (<-chan Message, error) {
	wait := make(chan Message, 1)
	if err := c.register(&m, wait); err != nil {
		return nil, err
	}
	if err := c.conn.Send(m, nil); err != nil {
		c.forget(m.Seq)
		return nil, fmt.Errorf("%v request: %w: %w", m.Type, ErrGone, err)
	}
	return wait, nil
}

// Ask is Call for a request without a payload, with body filled from the reply.
func (c *Client) Ask(ctx context.Context, t Type, body any) error {
	reply, err := c.Call(ctx, Message{Header: Header{Type: t}}, nil)
	if err != nil || body == nil {
		return err
	}
	return reply.Body(body)
}

// Hello asks who the worker is, and refuses one of another version.
func (c *Client) Hello(ctx context.Context) (HelloReply, error) {
	reply, err := c.Call(ctx, Message{Header: Header{Type: Hello, A: Version}}, nil)
	if err != nil {
		return HelloReply{}, err
	}
	if reply.A != Version {
		return HelloReply{}, fmt.Errorf("worker speaks version %d of the protocol, this agent %d; install both from one package", reply.A, Version)
	}
	var h HelloReply
	err = reply.Body(&h)
	return h, err
}

// Load has the worker load the model in file.
func (c *Client) Load(ctx context.Context, r LoadRequest, file *os.File) (model uint32, loaded LoadReply, err error) {
	lines, err := r.Lines()
	if err != nil {
		return 0, LoadReply{}, err
	}
	reply, err := c.Call(ctx, Message{Header: Header{Type: Load}, Payload: lines}, file)
	if err != nil {
		return 0, LoadReply{}, err
	}
	err = reply.Body(&loaded)
	return reply.Model, loaded, err
}

// Map gives the worker the arena of a model.
func (c *Client) Map(ctx context.Context, model uint32, a *Arena) error {
	_, err := c.Call(ctx, Message{Header: Header{Type: Map, Model: model, A: uint64(len(a.Bytes()))}}, a.File())
	return err
}

// Infer runs a model on what is at in, and returns when its outputs are at out;
// see Plan.Slot. The slot is free again only when err is nil or a *Failure.
func (c *Client) Infer(ctx context.Context, model uint32, in, out int64) (Timing, error) {
	reply, err := c.Call(ctx, Message{Header: Header{Type: Infer, Model: model, A: uint64(in), B: uint64(out)}}, nil)
	return Timing{Engine: int64(reply.A), Queue: int64(reply.B)}, err
}

// Timing is where the time of an inference went, in nanoseconds.
type Timing struct {
	Engine int64 // within the engine's library
	Queue  int64 // in the worker, before it
}

func (c *Client) register(m *Message, wait chan Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return fmt.Errorf("%v request: %w", m.Type, c.err)
	}
	c.seq++
	m.Seq = c.seq
	c.waits[m.Seq] = wait
	return nil
}

func (c *Client) forget(seq uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waits, seq)
}

func (c *Client) gone() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
