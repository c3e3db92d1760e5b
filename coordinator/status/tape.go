package status

import (
	"bytes"
	"time"
)

// A tape has a letter for each stretch of time of each agent, the newest last. The
// zero value of slot and nodes is an empty one.
type tape struct {
	length int
	each   time.Duration
	blank  byte  // of a stretch of which nothing is known
	slot   int64 // the newest stretch, since 1970
	nodes  map[string][]byte
}

// turn moves all on to a time. A clock that was put back makes the newest stretch last
// longer.
func (t *tape) turn(now time.Time) {
	slot := now.UnixNano() / int64(t.each)
	by := slot - t.slot
	if by <= 0 {
		return
	}
	t.slot = slot
	for _, letters := range t.nodes {
		n := int(min(by, int64(t.length)))
		copy(letters, letters[n:])
		copy(letters[t.length-n:], t.blanks(n))
	}
}

func (t *tape) blanks(n int) []byte { return bytes.Repeat([]byte{t.blank}, n) }

// of is what there is of an agent, to be written to.
func (t *tape) of(name string) []byte {
	if letters := t.nodes[name]; letters != nil {
		return letters
	}
	return t.blanks(t.length)
}
