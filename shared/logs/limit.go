package logs

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	window  = 10 * time.Second // in which a message may come
	burst   = 20               // so many times
	tracked = 1024             // messages that are counted; beyond, the count starts afresh
)

// A limiter passes on the first lines of a part that have the same level and
// message in each window, and counts the rest; the next line that passes says
// how many were left out before it.
type limiter struct {
	slog.Handler
	part string
	seen *counts
}

// limit wraps h; all loggers made of the result count together.
func limit(h slog.Handler) slog.Handler {
	return limiter{Handler: h, seen: &counts{by: map[message]*count{}}}
}

func (l limiter) Handle(ctx context.Context, r slog.Record) error {
	pass, left := l.seen.pass(message{l.part, r.Level, r.Message}, r.Time)
	if !pass {
		return nil
	}
	if left > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("suppressed", left))
	}
	return l.Handler.Handle(ctx, r)
}

func (l limiter) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		if a.Key == PartKey {
			l.part = a.Value.String()
		}
	}
	l.Handler = l.Handler.WithAttrs(attrs)
	return l
}

func (l limiter) WithGroup(name string) slog.Handler {
	l.Handler = l.Handler.WithGroup(name)
	return l
}

type message struct {
	part  string
	level slog.Level
	text  string
}

type count struct {
	start time.Time // of the window
	n     int       // lines in it
	left  int       // lines left out since one passed
}

type counts struct {
	mu sync.Mutex
	by map[message]*count
}

// pass counts one line and reports whether it may pass, and after how many that
// might not.
func (c *counts) pass(m message, now time.Time) (ok bool, left int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.by[m]
	if n == nil {
		if len(c.by) >= tracked {
			clear(c.by) // messages are constants, so this is a part that builds them
		}
		n = &count{start: now}
		c.by[m] = n
	}
	if now.Sub(n.start) >= window {
		n.start, n.n = now, 0
	}
	n.n++
	if n.n > burst {
		n.left++
		return false, 0
	}
	left, n.left = n.left, 0
	return true, left
}
