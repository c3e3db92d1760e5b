package broker

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	connsMost = 2 * clientsMost  // connections, those that have not said who they are included
	toConnect = 10 * time.Second // from the connection to the CONNECT packet, TLS included
)

// A gate bounds what the library does not: connections that say nothing. A
// client that has connected gets a deadline by its own keep-alive.
type gate struct {
	net.Listener
	open atomic.Int64
}

func newGate(l net.Listener) *gate { return &gate{Listener: l} }

func (g *gate) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if g.open.Add(1) > connsMost {
			g.open.Add(-1)
			c.Close() // there is nobody to tell of an error
			continue
		}
		if err := c.SetDeadline(time.Now().Add(toConnect)); err != nil {
			g.open.Add(-1)
			c.Close() // it went away already
			continue
		}
		return &counted{Conn: c, gate: g}, nil
	}
}

type counted struct {
	net.Conn
	gate *gate
	once sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() { c.gate.open.Add(-1) })
	return c.Conn.Close()
}

// quieted passes the library's log on: its errors as they are, all else, which
// is the coming and going of clients, at debug. Packets are left out, for they
// may hold passwords.
type quieted struct{ to slog.Handler }

func (q quieted) Enabled(ctx context.Context, level slog.Level) bool {
	return q.to.Enabled(ctx, lowered(level))
}

func (q quieted) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, lowered(r.Level), "mqtt library", r.PC)
	out.AddAttrs(slog.String("says", r.Message))
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "pk" && a.Key != "packet" {
			out.AddAttrs(a)
		}
		return true
	})
	return q.to.Handle(ctx, out)
}

func (q quieted) WithAttrs(attrs []slog.Attr) slog.Handler { return quieted{q.to.WithAttrs(attrs)} }
func (q quieted) WithGroup(name string) slog.Handler       { return quieted{q.to.WithGroup(name)} }

func lowered(l slog.Level) slog.Level {
	if l >= slog.LevelError {
		return l
	}
	return slog.LevelDebug
}
