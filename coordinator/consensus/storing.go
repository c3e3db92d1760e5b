package consensus

import (
	"fmt"

	"github.com/hashicorp/raft"
)

// soonBytes is how much may wait to be written before StoreSoon adds to it.
const soonBytes = 256 << 10

// StoreLog stores one entry.
func (s *store) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs stores entries that follow on the last one, all or none.
func (s *store) StoreLogs(logs []*raft.Log) error {
	all, err := s.records(logs)
	if err == nil && s.before != nil {
		err = s.before()
	}
	if err != nil {
		return err
	}
	return s.store(all...)
}

// StoreSoon takes entries that follow on the last one, all or none, and may return
// before they are on the disk. They are when Flush has returned nil, or any other
// change. Where much waits already, or the disk refused it the last time, that is
// written first: a disk that fails is told to whoever stores next.
func (s *store) StoreSoon(logs []*raft.Log) error {
	all, err := s.records(logs)
	if err != nil {
		return err
	}
	s.mu.RLock()
	first := s.refused || len(s.queue) >= soonBytes
	s.mu.RUnlock()
	if first {
		if err := s.Flush(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range all {
		s.take(c)
		s.queue = appendChange(s.queue, c)
	}
	s.taken++
	return nil
}

// Taken is how often StoreSoon has taken entries, for FlushTo.
func (s *store) Taken() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.taken
}

// FlushTo returns when all is on the disk that StoreSoon had taken when Taken
// returned so much. Other than Flush it does not wait for what came later, nor write
// what somebody else is writing.
func (s *store) FlushTo(taken uint64) error {
	kept := func() bool {
		s.mu.RLock()
		defer s.mu.RUnlock()
		return s.kept >= taken
	}
	if kept() {
		return nil
	}
	s.write.Lock() // whoever writes now may be writing it
	done := kept()
	s.write.Unlock()
	if done {
		return nil
	}
	return s.Flush()
}

// records encodes entries, if they follow on the last one.
func (s *store) records(logs []*raft.Log) ([]change, error) {
	s.mu.RLock()
	last := s.last
	s.mu.RUnlock()
	all := make([]change, len(logs))
	for i, l := range logs {
		if last != 0 && l.Index != last+1 {
			return nil, fmt.Errorf("store log entry %d: the last one is %d", l.Index, last)
		}
		last = l.Index
		all[i] = change{index: l.Index, record: encodeLog(logKey(l.Index), l)}
	}
	return all, nil
}

// take adds a change to what is known, which mu is held for.
func (s *store) take(c change) {
	s.recent.add(c)
	if c.key == nil {
		s.grow(c.index)
	}
}

func (s *store) grow(index uint64) {
	if s.last = index; s.first == 0 {
		s.first = index
	}
}

// replay takes the changes of a batch of the journal.
func (s *store) replay(payload []byte) error {
	for len(payload) > 0 {
		c, rest, err := readChange(payload)
		if err != nil {
			return err
		}
		if c.key == nil && s.last != 0 && c.index != s.last+1 {
			return fmt.Errorf("log entry %d: the one before it is %d", c.index, s.last)
		}
		s.take(c)
		payload = rest
	}
	return nil
}

// Flush returns when all that was stored is on the disk.
func (s *store) Flush() (err error) {
	if s.before != nil {
		err = s.before()
	}
	if err == nil {
		err = s.store()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = err != nil
	return err
}

// store writes changes, and what waits before them, to the disk.
func (s *store) store(changes ...change) error {
	s.write.Lock()
	defer s.write.Unlock()
	if s.broken != nil {
		return s.broken
	}
	s.mu.RLock()
	waiting, taken := s.queue, s.taken
	s.mu.RUnlock()
	payload := waiting[:len(waiting):len(waiting)]
	for _, c := range changes {
		payload = appendChange(payload, c)
	}
	if len(payload) == 0 {
		return nil
	}
	if !s.journal.fits(len(payload)) {
		return s.settle(changes, nil)
	}
	if err := s.journal.append(payload); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue, s.kept = s.queue[len(waiting):], taken
	for _, c := range changes {
		s.take(c)
	}
	return nil
}
