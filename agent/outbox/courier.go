package outbox

import (
	"math"
	"time"

	"primespark/shared/telemetry"
)

// Urgent reports whether samples of a stream leave the node while the others are held
// back, which is while its power is short: how that fares is what everybody wants to
// know then.
func Urgent(s telemetry.Stream) bool { return s == telemetry.Battery || s == telemetry.Power }

// heldPace is the time between two helpings while samples are held back: a radio that
// is woken every few seconds saves nothing.
const heldPace = time.Minute

// behind is how many samples may wait until new ones are sent beside the old.
const behind = 500

// A Courier says what to send next on one connection. It begins with the first
// sample that is not acknowledged. With a long backlog, what is measured now does
// not wait for all of it: new samples get up to half of each helping, and the
// receiver puts them in order. While the box holds samples back it gives the urgent
// ones alone, once a minute, and afterwards those that had to wait. It belongs to one
// goroutine.
type Courier struct {
	box     *Box
	ordered bool      // all in order, old and new
	held    bool      // it has passed by samples that are held back
	gave    time.Time // the last helping of urgent ones
	backlog uint64    // number of the last old sample that was given
	until   uint64    // and of the last one that is old
	live    uint64    // number of the last new sample that was given
}

// InOrder returns a Courier that gives all samples as they came, the oldest first,
// for a receiver whose acknowledgement says only that it has got them.
func (b *Box) InOrder() *Courier { return b.courier(true) }

// Courier returns one that begins anew.
func (b *Box) Courier() *Courier { return b.courier(false) }

func (b *Box) courier(ordered bool) *Courier {
	first := b.First()
	last, _ := b.Last()
	c := &Courier{box: b, ordered: ordered, live: first - 1}
	if last > first+behind && !ordered {
		c.backlog, c.until, c.live = first-1, last, last
	}
	return c
}

// Held tells whether all but the urgent samples are held back, and closes changed when
// that is over, or begins.
func (b *Box) Held() (held bool, changed <-chan struct{}) { return b.cfg.Hold.Load() }

// Next returns at most so many samples that were not given yet; none if there are
// none, or none that may go now. Those of one stream come in order, the old ones and
// the new ones.
func (c *Courier) Next(most int) ([]Entry, error) {
	held, _ := c.box.Held()
	if held != c.held { // either way it begins with the oldest that is not acknowledged
		*c = *c.box.courier(c.ordered)
		c.held = held
	}
	if held && !c.gave.IsZero() && time.Since(c.gave) < heldPace {
		return nil, nil
	}
	share := most
	if c.backlog < c.until {
		share = most / 2
	}
	all, err := c.gather(&c.live, math.MaxUint64, share)
	if err != nil {
		return nil, err
	}
	if c.backlog < c.until {
		old, err := c.gather(&c.backlog, c.until, most-len(all))
		if err != nil {
			return nil, err
		}
		if all = append(all, old...); len(all) < most {
			c.backlog = c.until
		}
	}
	if held && len(all) < share {
		c.gave = time.Now()
	}
	return all, nil
}

// gather reads on after a number, and up to another one, until it has so many samples
// that may go, or there are no more.
func (c *Courier) gather(at *uint64, until uint64, most int) (all []Entry, err error) {
	for {
		some, err := c.box.Read(*at, commitMost)
		if err != nil || len(some) == 0 {
			return all, err
		}
		for _, e := range some {
			if e.N > until || len(all) == most {
				return all, nil
			}
			*at = e.N
			if c.goes(e) {
				all = append(all, e)
			}
		}
	}
}

// goes reports whether a sample may be given.
func (c *Courier) goes(e Entry) bool {
	return !c.box.Acknowledged(e.Sample) && (!c.held || Urgent(e.Stream))
}

// Left reports whether one of the oldest samples was given and is not acknowledged.
func (c *Courier) Left() (bool, error) {
	oldest, err := c.box.Read(c.box.First()-1, commitMost)
	for _, e := range oldest {
		if e.N <= c.live && c.goes(e) {
			return true, err
		}
	}
	return false, err
}

// Arrived reports whether all of a letter was acknowledged.
func (b *Box) Arrived(l Letter) bool {
	return b.Acknowledged(telemetry.Sample{Boot: l.Boot, Stream: l.Stream, Seq: l.Last})
}

// A Letter is samples of one stream of one process, after what the receiver has to
// know before them.
type Letter struct {
	Boot    int64
	Stream  telemetry.Stream
	Last    uint64 // sequence of the last one
	Samples []telemetry.Sample
}

// Letters sorts samples by stream, each in order.
func (b *Box) Letters(all []Entry) []Letter {
	index := map[life]int{}
	var letters []Letter
	for _, e := range all {
		k := life{e.Boot, e.Stream}
		i, ok := index[k]
		if !ok {
			i = len(letters)
			index[k] = i
			letters = append(letters, Letter{Boot: e.Boot, Stream: e.Stream, Samples: b.Lead(e.Boot, e.Stream)})
		}
		letters[i].Samples = append(letters[i].Samples, e.Sample)
		letters[i].Last = max(letters[i].Last, e.Seq)
	}
	return letters
}
