package helper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"primespark/shared/meshnet"
)

// maxCallers is how many daemons may be connected at once.
const maxCallers = 8

// Listen makes the socket that daemons call, for the user and the group of this
// process. One that an earlier process left is replaced.
func Listen(path string) (net.Listener, error) {
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("another prime-spark-mesh serves %s; stop it, or give another --socket", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove the old socket: %w", err)
	}
	old := syscall.Umask(0o117) // so that the socket is never open to others, not even at first
	l, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("listen for the daemons: %w", err)
	}
	return l, nil
}

// Serve talks to the daemons that call, until ctx ends.
func (h *Helper) Serve(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { _ = l.Close() })() // Accept says so
	var calls sync.WaitGroup
	defer calls.Wait()
	slots := make(chan struct{}, maxCallers)
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("listen for the daemons: %w", err)
		}
		select {
		case slots <- struct{}{}:
		default:
			h.cfg.Log.Warn("too many daemons call at once; one was turned away", "most", maxCallers)
			_ = c.Close()
			continue
		}
		calls.Go(func() {
			defer func() { <-slots }()
			if err := h.talk(ctx, c); err != nil && ctx.Err() == nil {
				h.cfg.Log.Warn("a daemon's call ended", "err", err)
			}
		})
	}
}

// talk tells one daemon the facts, and follows what it wants.
func (h *Helper) talk(ctx context.Context, c net.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })() // ends both directions
	defer h.release(c)
	ended := make(chan error, 1)
	go func() { // talk waits for it
		defer cancel()
		in := meshnet.NewReader(c)
		for {
			f, err := in.Read()
			if err != nil {
				ended <- err
				return
			}
			if f.Wanted == nil {
				continue
			}
			if f.Wanted.Leave {
				h.Want(ctx, *f.Wanted)
				continue
			}
			if err := h.claim(c, f.Wanted.Self); err != nil {
				ended <- err
				return
			}
			h.Want(ctx, *f.Wanted)
		}
	}()
	tell := func() error {
		for {
			facts, changed := h.facts.Load()
			if !facts.At.IsZero() {
				if err := c.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
					return err
				}
				if err := meshnet.Write(c, meshnet.Frame{Facts: &facts}); err != nil {
					return fmt.Errorf("tell the facts: %w", err)
				}
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return nil
			}
		}
	}
	err := tell()
	cancel()
	_ = c.Close() // ends the reader
	heard := <-ended
	if err == nil && !errors.Is(heard, io.EOF) && !errors.Is(heard, net.ErrClosed) {
		err = heard
	}
	return err
}

// claim makes a daemon the one whose wishes count, if no other member's does: a host
// has one place in the mesh.
func (h *Helper) claim(c net.Conn, self string) error {
	h.owned.Lock()
	defer h.owned.Unlock()
	if h.owned.by != nil && h.owned.by != c && h.owned.self != self {
		return fmt.Errorf("%s wants this host's place in the mesh, which %s has; set mesh.enabled: false in the configuration of one of them", self, h.owned.self)
	}
	h.owned.by, h.owned.self = c, self
	return nil
}

func (h *Helper) release(c net.Conn) {
	h.owned.Lock()
	defer h.owned.Unlock()
	if h.owned.by == c {
		h.owned.by = nil
	}
}
