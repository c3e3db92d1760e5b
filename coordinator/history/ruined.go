package history

import (
	"fmt"
	"sync"
)

// ruins are the records that were found damaged since the file was opened, which then
// was whole: a card that breaks. They are left out, each is told of once, and the rest
// goes on. The next start puts the file aside and fills a new one from the other
// coordinators.
type ruins struct {
	mu   sync.Mutex
	told map[string]bool
}

// ruinsMost bounds what is remembered; beyond it each look counts anew.
const ruinsMost = 10_000

// leaveOut notes that a record of a bucket is left out.
func (s *Store) leaveOut(bucket string, key []byte, err error) {
	what := fmt.Sprintf("%s/%x", bucket, key)
	s.ruins.mu.Lock()
	known := s.ruins.told[what]
	if !known && len(s.ruins.told) < ruinsMost {
		if s.ruins.told == nil {
			s.ruins.told = map[string]bool{}
		}
		s.ruins.told[what] = true
	}
	s.ruins.mu.Unlock()
	if known {
		return
	}
	s.metrics.ruined.Inc()
	s.cfg.Log.Error("a record of the history is damaged and left out", "record", what, "err", err,
		"remedy", "look after the disk, then start the coordinator anew: it fills up from the others")
}
