package outbox

import "primespark/shared/telemetry"

// behind is how many samples may wait until new ones are sent beside the old.
const behind = 500

// A Courier says what to send next on one connection. It begins with the first
// sample that is not acknowledged. With a long backlog, what is measured now does
// not wait for all of it: new samples get up to half of each helping, and the
// receiver puts them in order. It belongs to one goroutine.
type Courier struct {
	box     *Box
	backlog uint64 // number of the last old sample that was given
	until   uint64 // and of the last one that is old
	live    uint64 // number of the last new sample that was given
}

// InOrder returns a Courier that gives all samples as they came, the oldest first,
// for a receiver whose acknowledgement says only that it has got them.
func (b *Box) InOrder() *Courier { return &Courier{box: b, live: b.First() - 1} }

// Courier returns one that begins anew.
func (b *Box) Courier() *Courier {
	first := b.First()
	last, _ := b.Last()
	c := &Courier{box: b, live: first - 1}
	if last > first+behind {
		c.backlog, c.until, c.live = first-1, last, last
	}
	return c
}

// Next returns at most so many samples that were not given yet; none if there are
// none. Those of one stream come in order, the old ones and the new ones.
func (c *Courier) Next(most int) ([]Entry, error) {
	share := most
	if c.backlog < c.until {
		share = most / 2
	}
	all, err := c.box.Read(c.live, share)
	if err != nil {
		return nil, err
	}
	if len(all) > 0 {
		c.live = all[len(all)-1].N
	}
	for c.backlog < c.until && len(all) < most {
		old, err := c.box.Read(c.backlog, most-len(all))
		if err != nil {
			return nil, err
		}
		given := 0
		for _, e := range old {
			if e.N > c.until {
				break
			}
			c.backlog = e.N
			given++
			if !c.box.Acknowledged(e.Sample) {
				all = append(all, e)
			}
		}
		if given == 0 {
			c.backlog = c.until
		}
	}
	return all, nil
}

// Left reports whether one of the oldest samples was given and is not acknowledged.
func (c *Courier) Left() (bool, error) {
	oldest, err := c.box.Read(c.box.First()-1, commitMost)
	for _, e := range oldest {
		if e.N <= c.live && !c.box.Acknowledged(e.Sample) {
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
