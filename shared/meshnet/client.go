package meshnet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"primespark/shared/run"
	"primespark/shared/watch"
)

// reconnect is how long a daemon waits before it calls the helper again.
const reconnect = time.Second

// A Client is a daemon's line to the helper. Without a helper a node is not in the
// mesh, and does all else.
type Client struct {
	path   string
	log    *slog.Logger
	wanted *watch.Value[*Wanted]
	facts  *watch.Value[Facts]
	fault  *watch.Value[error]
}

// NewClient makes the line to the helper at a path; "" is Socket.
func NewClient(path string, log *slog.Logger) *Client {
	if path == "" {
		path = Socket
	}
	return &Client{path: path, log: log, wanted: watch.New[*Wanted](nil), facts: watch.New(Facts{}), fault: watch.New[error](nil)}
}

// Want tells the helper, now or as soon as it is there.
func (c *Client) Want(w Wanted) { c.wanted.Store(&w) }

// Facts are the newest ones, with a zero time if the helper has never told any, and
// a channel that is closed when there are newer ones.
func (c *Client) Facts() (Facts, <-chan struct{}) { return c.facts.Load() }

// Fault is why there are no facts now; nil while the helper answers.
func (c *Client) Fault() error { return c.fault.Get() }

// Run keeps the line up until ctx ends.
func (c *Client) Run(ctx context.Context) error {
	down := false
	for {
		err := c.call(ctx)
		if ctx.Err() != nil {
			return nil
		}
		err = fmt.Errorf("the helper of the mesh: %w", err)
		if c.fault.Store(err); !down {
			c.log.Warn("no line to the helper of the mesh", "err", err, "remedy", "install prime-spark-mesh, and see systemctl status prime-spark-mesh; or set mesh.enabled: false")
			down = true
		}
		if c.facts.Get().At.After(time.Now().Add(-2 * reconnect)) {
			down = false // it was there until now: the next failure is another one
		}
		if !run.Sleep(ctx, run.Jitter(reconnect)) {
			return nil
		}
	}
}

// String names the part in logs.
func (c *Client) String() string { return "line to the helper of the mesh" }

// call talks to the helper until one of them stops.
func (c *Client) call(ctx context.Context) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.path)
	if err != nil {
		return err
	}
	defer conn.Close()
	ended := make(chan error, 1) // call waits for the reader by it
	go func() { ended <- c.listen(conn) }()
	hangUp := func(err error) error {
		_ = conn.Close() // ends the reader
		return errors.Join(err, <-ended)
	}
	for {
		wanted, changed := c.wanted.Load()
		if wanted != nil {
			if err := conn.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
				return hangUp(err)
			}
			if err := Write(conn, Frame{Wanted: wanted}); err != nil {
				return hangUp(err)
			}
		}
		select {
		case <-changed:
		case err := <-ended:
			return err
		case <-ctx.Done():
			return hangUp(nil)
		}
	}
}

func (c *Client) listen(conn net.Conn) error {
	in := NewReader(conn)
	for {
		f, err := in.Read()
		if err != nil {
			return err
		}
		if f.Facts != nil {
			c.facts.Store(*f.Facts)
			c.fault.Store(nil)
		}
	}
}
