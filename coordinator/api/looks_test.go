package api

import (
	"testing"

	"primespark/coordinator/status"
	"primespark/shared/wire"
)

func TestLooksOfLargeFleetsAreFewer(t *testing.T) {
	for name, test := range map[string]struct{ nodes, want int }{
		"a few":            {10, looksMost},
		"a thousand":       {1000, 1},
		"more than all":    {looksNodes + 1, 1},
		"as many as there": {looksNodes, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var l looks
			var last *status.Sheet
			for range looksMost + 2 {
				last = status.NewSheet(status.View{Nodes: make([]wire.NodeBody, test.nodes)})
				l.hand(last)
			}
			if n := len(l.pages); n != test.want {
				t.Errorf("%d pages are kept, want %d", n, test.want)
			}
			if l.take(last.ID) != last {
				t.Error("the newest page is not kept")
			}
		})
	}
}
