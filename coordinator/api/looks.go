package api

import (
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"primespark/coordinator/status"
)

// Looks are the pages that were handed out a moment ago. The stream that such a page
// opens goes on from it, and need not send all of it again: of a thousand agents that is
// most of a MiB. The zero value is ready; it is safe to share.
type looks struct {
	mu    sync.Mutex
	pages []*status.Sheet // the newest last
}

// Bounds of what is kept. A stream without its page sends all.
const (
	looksMost  = 8
	looksNodes = 1000             // on all of them, some 2 KB each; the newest is kept whatever it has
	lookKept   = 20 * time.Second // a browser asks within one or two
)

// hand gives a sheet a name and keeps it.
func (l *looks) hand(s *status.Sheet) {
	s.ID = rand.Text()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pages = append(l.pages, s)
	first, nodes := len(l.pages)-1, len(s.View.Nodes)
	for first > 0 && len(l.pages)-first < looksMost && nodes+len(l.pages[first-1].View.Nodes) <= looksNodes {
		first--
		nodes += len(l.pages[first].View.Nodes)
	}
	l.pages = slices.Delete(l.pages, 0, first)
}

// take returns the sheet of a name, nil if there is none. It is kept no longer, since
// the page is another one as soon as something was sent to it.
func (l *looks) take(id string) *status.Sheet {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, s := range l.pages {
		if s.ID == id {
			l.pages = slices.Delete(l.pages, i, i+1)
			return s
		}
	}
	return nil
}

// forget drops those that no stream came for.
func (l *looks) forget(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pages = slices.DeleteFunc(l.pages, func(s *status.Sheet) bool { return now.Sub(s.View.At) > lookKept })
}
