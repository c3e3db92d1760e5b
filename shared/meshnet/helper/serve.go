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
	"sync/atomic"
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
	var self atomic.Pointer[string] // whose daemon it is
	go func() {                     // talk waits for it
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
			if !f.Wanted.Leave {
				if err := h.claim(c, *f.Wanted); err != nil {
					ended <- err
					return
				}
			}
			self.Store(&f.Wanted.Self)
			h.Want(ctx, *f.Wanted)
		}
	}()
	tell := func() error {
		for {
			facts, changed := h.facts.Load()
			if who := self.Load(); who != nil {
				facts = facts.For(*who)
			}
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

// claim gives a daemon's member a place on this host, beside another one of the same
// cluster. A third one, or one of another cluster, is turned away while the daemons of
// the others are connected.
func (h *Helper) claim(c net.Conn, w meshnet.Wanted) error {
	h.owners.Lock()
	defer h.owners.Unlock()
	others := 0
	for self, o := range h.owners.by {
		switch {
		case self == w.Self:
			continue
		case w.Map.Cluster != "" && o.cluster != "" && o.cluster != w.Map.Cluster:
			return fmt.Errorf("%s of the cluster %s wants a place in the mesh on this host, where %s is of the cluster %s; set mesh.enabled: false in the configuration of one of them", w.Self, w.Map.Cluster, self, o.cluster)
		}
		others++
	}
	if others >= meshnet.MaxMembers {
		return fmt.Errorf("%s wants a place in the mesh on this host, where %d members have one already; set mesh.enabled: false in the configuration of one of them", w.Self, others)
	}
	h.owners.by[w.Self] = owner{c, w.Map.Cluster}
	return nil
}

func (h *Helper) release(c net.Conn) {
	h.owners.Lock()
	defer h.owners.Unlock()
	for self, o := range h.owners.by {
		if o.conn == c {
			delete(h.owners.by, self)
		}
	}
}

// owned reports whether a member's daemon is connected.
func (h *Helper) owned(self string) bool {
	h.owners.Lock()
	defer h.owners.Unlock()
	_, ok := h.owners.by[self]
	return ok
}
