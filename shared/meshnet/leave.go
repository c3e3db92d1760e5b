package meshnet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"time"
)

// leaveTime is how long a helper may take to say that a place is empty.
const leaveTime = 20 * time.Second

// Leave has the helper at a socket take a node's part of the mesh off this host, and
// returns when it is gone. "" is Socket. Where no helper is there is nothing to
// leave, and where another node has the place it keeps it.
func Leave(ctx context.Context, socket, self string) error {
	if socket == "" {
		socket = Socket
	}
	ctx, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("call the helper of the mesh: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // Read and Write say so
	if err := Write(conn, Frame{Wanted: &Wanted{Self: self, Leave: true}}); err != nil {
		return fmt.Errorf("leave the mesh: %w", err)
	}
	for in := NewReader(conn); ; {
		f, err := in.Read()
		if err != nil {
			return fmt.Errorf("leave the mesh: %w", errors.Join(ctx.Err(), err))
		}
		if f.Facts != nil && f.Facts.Self != self && !slices.Contains(f.Facts.Guests, self) {
			return nil
		}
	}
}
