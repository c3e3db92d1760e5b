package liveness

import "time"

// asked is what came of asking a node by gossip since it fell quiet.
type asked struct {
	under    bool          // a question is on its way
	at       time.Duration // when it left, by the clock of time awake
	sent     time.Time     // the same by the wall
	answered bool          // one of the last two
	missed   int           // in a row
}

// Pauses and bounds of asking.
const (
	soon     = 250 * time.Millisecond // between two questions to a node that has just fallen quiet
	again    = 2 * time.Second        // and to one of which that is known
	maxUnder = 64                     // on their way at a time
)

// questions are the nodes to ask now: those that have been quiet for nearly their
// limit. Whoever is heard again is not asked, and what he answered is forgotten.
// It wants mu held.
func (w *Watch) questions() (names []string) {
	under := 0
	for _, a := range w.asked {
		if a.under {
			under++
		}
	}
	for name, h := range w.heard {
		quiet := w.clock.awake - h.at
		if h.at == 0 || h.left || h.session != nil && quiet < w.limit(h)-askEarly {
			if a := w.asked[name]; a != nil && !a.under {
				delete(w.asked, name)
			}
			continue
		}
		a := w.asked[name]
		if a == nil {
			a = &asked{}
			w.asked[name] = a
		}
		pause := time.Duration(0)
		switch {
		case quiet >= patience*w.limit(h) && (a.missed == 0 || a.missed >= enough):
			pause = again
		case a.answered && a.missed == 0, a.missed >= enough:
			pause = soon
		}
		if a.under || under >= maxUnder || w.clock.awake-a.at < pause {
			continue
		}
		a.under, a.at, a.sent = true, w.clock.awake, time.Now()
		under++
		names = append(names, name)
	}
	return names
}

// answered notes the answer to a question, or that there was none. One that this
// process slept over says nothing, and no more does one of before the connection
// ended.
func (w *Watch) answered(name string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.wake()
	a := w.asked[name]
	if a == nil {
		return
	}
	a.under = false
	if h := w.heard[name]; h != nil && h.session == nil && a.at < h.ended {
		return
	}
	slept := time.Since(a.sent) - (w.clock.awake - a.at)
	switch {
	case err == nil:
		a.answered, a.missed = true, 0
	case slept < 2*look+look/2:
		a.missed++
		a.answered = a.answered && a.missed < enough
	}
}
