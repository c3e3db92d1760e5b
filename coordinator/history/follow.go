package history

import (
	"context"
	"maps"
	"slices"
	"strings"

	"go.etcd.io/bbolt"
)

// keyPeer begins the keys of the meta bucket that say how far the log of another
// coordinator was read; its id follows.
const keyPeer = "peer/"

// Follow stores rows of another coordinator's log, named by its id, which was
// read up to a number; and remembers that.
func (s *Store) Follow(ctx context.Context, peer string, rows []Row, upTo uint64) error {
	_, err := s.do(ctx, &request{rows: rows, peer: peer, at: upTo})
	return err
}

// Followed is how far the log of that id was read. After a crash it may be less
// than it was: then rows are read again that are there already.
func (s *Store) Followed(peer string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.followed[peer]
}

// Logs is how far the logs of others were read, by their ids. All of them up to
// there is in this one.
func (s *Store) Logs() map[string]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.followed)
}

func (s *Store) loadFollowed(tx *bbolt.Tx) error {
	meta := tx.Bucket([]byte(bucketMeta))
	return meta.ForEach(func(k, _ []byte) error {
		if peer, ok := strings.CutPrefix(string(k), keyPeer); ok {
			s.followed[peer] = getNumber(meta, k)
		}
		return nil
	})
}

// writeFollowed writes how far the logs of others were read, with what comes now.
func (s *Store) writeFollowed(tx *bbolt.Tx, now []*request) error {
	all := maps.Clone(s.followed)
	for _, r := range now {
		if r.peer != "" {
			all[r.peer] = r.at
		}
	}
	meta := tx.Bucket([]byte(bucketMeta))
	for _, peer := range slices.Sorted(maps.Keys(all)) {
		key := []byte(keyPeer + peer)
		if getNumber(meta, key) == all[peer] {
			continue
		}
		if err := putNumber(meta, key, all[peer]); err != nil {
			return err
		}
	}
	return nil
}
