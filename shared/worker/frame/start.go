package frame

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// Bounds of a Start.
const (
	maxArgs = 16
	maxArg  = 4096 // bytes; a path
)

// Dial asks systemd for a worker at a socket that it listens at, and makes the Conn for
// the agent.
func Dial(ctx context.Context, path string) (*Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unixpacket", path)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("socket of the worker is a %T", c), c.Close())
	}
	return newConn(u, false), nil
}

// Start gives a worker that systemd started its arguments, and what to have as standard
// error, which stays the caller's. It is the first request to such a one, and returns
// the number of its process.
func (c *Client) Start(ctx context.Context, args []string, stderr *os.File) (pid int, err error) {
	if len(args) > maxArgs {
		return 0, fmt.Errorf("%d arguments for a worker, at most %d", len(args), maxArgs)
	}
	var lines strings.Builder
	for _, arg := range args {
		if len(arg) > maxArg || strings.ContainsAny(arg, "\n\x00") {
			return 0, fmt.Errorf("the argument %.80q of a worker has a line break or more than %d bytes", arg, maxArg)
		}
		fmt.Fprintf(&lines, "arg %s\n", arg)
	}
	reply, err := c.Call(ctx, Message{Header: Header{Type: Start}, Payload: []byte(lines.String())}, stderr)
	if err != nil {
		return 0, err
	}
	if reply.A < 2 || reply.A > 1<<22 {
		return 0, fmt.Errorf("a worker has the process number %d", reply.A)
	}
	return int(reply.A), nil
}
