package history

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"

	"primespark/shared/telemetry"
)

// A markKey names one life of a stream.
type markKey struct {
	node   string
	stream telemetry.Stream
	boot   int64
}

// A mark says which sequences of one life of a stream are stored or settled.
type mark struct {
	spans   []span // stored here; sorted, neither overlapping nor adjacent
	told    uint64 // up to where the node was told, by whomever, that all is stored
	touched time.Time
}

// A span is all sequences from one to another, both included.
type span struct{ from, to uint64 }

const (
	spansMost = 64                  // of a mark; a row that would make one more is not taken yet
	peersMost = 4 * spansMost       // the same for rows that another coordinator has taken already
	marksMost = 8192                // of a node; the oldest lives go first
	marksStay = 35 * 24 * time.Hour // longer than any agent keeps what was not acknowledged
)

// add marks a span. It reports whether part of it was not marked before, and
// whether there was room to mark it.
func (m *mark) add(s span, most int) (fresh, fits bool) {
	i, _ := slices.BinarySearchFunc(m.spans, s, func(have, want span) int {
		if have.to+1 < want.from {
			return -1
		}
		return 1
	})
	// From i on spans end at s.from-1 or later.
	if i < len(m.spans) && m.spans[i].from <= s.from && m.spans[i].to >= s.to {
		return false, true
	}
	j := i
	joined := s
	for ; j < len(m.spans) && m.spans[j].from <= s.to+1; j++ {
		joined.from, joined.to = min(joined.from, m.spans[j].from), max(joined.to, m.spans[j].to)
	}
	if j == i && len(m.spans) >= most {
		return true, false
	}
	m.spans = slices.Replace(m.spans, i, j, joined)
	return true, true
}

// settled is the sequence up to which the node need not send anything; 0 if it
// has to from the first on.
func (m *mark) settled() uint64 {
	if m == nil {
		return 0
	}
	to := m.told
	for _, s := range m.spans {
		if s.from > to+1 {
			break
		}
		to = max(to, s.to)
	}
	return to
}

// mark marks a sample and reports whether it is to be stored: false for one that
// is there already, or cannot be taken yet.
func (s *Store) mark(node string, one telemetry.Sample, now time.Time, most int) bool {
	key := markKey{node, one.Stream, one.Boot}
	m := s.marks[key]
	if m == nil {
		s.makeRoom(node)
		m = &mark{}
		s.marks[key] = m
	}
	m.touched = now
	s.touched[key] = true
	part := span{one.Seq, one.Seq}
	if one.Gap != nil {
		part.from = one.Gap.From
		if one.Gap.Reason == Settled {
			if part.from <= m.told+1 {
				m.told = max(m.told, one.Seq)
			}
			return false
		}
	}
	fresh, fits := m.add(part, most)
	return fresh && fits
}

// Settled is the reason of a gap of which nothing is missing: the node was told
// before that these samples are stored, and has dropped them since. A store that
// was lost, is new or was away learns so from where on to wait for the node's
// samples. Those before are other coordinators' to bring.
const Settled = "settled"

// makeRoom drops the oldest life of a node that has had too many.
func (s *Store) makeRoom(node string) {
	s.lives[node]++
	if s.lives[node] <= marksMost {
		return
	}
	var oldest markKey
	for k := range s.marks {
		if k.node == node && (oldest.node == "" || k.boot < oldest.boot) {
			oldest = k
		}
	}
	s.forget(oldest)
}

// forget drops a mark, here at once and in the file when it is next sealed.
func (s *Store) forget(k markKey) {
	delete(s.marks, k)
	s.touched[k] = true
	if s.lives[k.node]--; s.lives[k.node] <= 0 {
		delete(s.lives, k.node)
	}
}

// acks says what of the lives and streams of some samples is settled.
func (s *Store) acks(node string, of []telemetry.Sample) []telemetry.Ack {
	byBoot := map[int64]telemetry.Ack{}
	for _, one := range of {
		a, ok := byBoot[one.Boot]
		if !ok {
			a = telemetry.Ack{Boot: one.Boot, Streams: map[telemetry.Stream]uint64{}}
			byBoot[one.Boot] = a
		}
		if to := s.marks[markKey{node, one.Stream, one.Boot}].settled(); to > 0 {
			a.Streams[one.Stream] = to
		}
	}
	var all []telemetry.Ack
	for _, a := range byBoot {
		if len(a.Streams) > 0 {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, func(a, b telemetry.Ack) int { return int(a.Boot - b.Boot) })
	return all
}

func (k markKey) bytes() []byte {
	b := prefix(k.node, k.stream)
	return binary.BigEndian.AppendUint64(b, uint64(k.boot))
}

// prefix is what the keys of a stream begin with.
func prefix(node string, stream telemetry.Stream) []byte {
	b := append([]byte(node), 0)
	return append(append(b, stream...), 0)
}

// names reads the node and stream that a key begins with, and what follows.
func names(key []byte) (node string, stream telemetry.Stream, rest []byte, err error) {
	node, after, ok1 := strings.Cut(string(key), "\x00")
	name, tail, ok2 := strings.Cut(after, "\x00")
	if !ok1 || !ok2 {
		return "", "", nil, errKey
	}
	return node, telemetry.Stream(name), []byte(tail), nil
}

var errKey = errors.New("a key that is none of ours")

func (m *mark) bytes() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(m.touched.Unix()))
	if m.told > 0 {
		b = binary.BigEndian.AppendUint64(b, m.told)
	}
	for _, s := range m.spans {
		b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, s.from), s.to)
	}
	return b
}

func readMark(key, body []byte) (markKey, *mark, error) {
	node, stream, rest, err := names(key)
	if err != nil || len(rest) != 8 || len(body) < 8 || len(body)%8 != 0 {
		return markKey{}, nil, errKey
	}
	m := &mark{touched: time.Unix(int64(binary.BigEndian.Uint64(body)), 0)}
	body = body[8:]
	if len(body)%16 == 8 {
		m.told, body = binary.BigEndian.Uint64(body), body[8:]
	}
	for ; len(body) > 0; body = body[16:] {
		m.spans = append(m.spans, span{binary.BigEndian.Uint64(body), binary.BigEndian.Uint64(body[8:])})
	}
	return markKey{node, stream, int64(binary.BigEndian.Uint64(rest))}, m, nil
}
