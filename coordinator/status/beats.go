package status

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// The heartbeat bars of an agent: so many, each of so long, the newest last.
const (
	beatsKept = 30
	beatsEach = time.Minute
	beatWidth = 4 // of a bar with its gap, in units of the drawing
)

// Beats is how an agent was in the last half hour, a letter for each minute and the
// newest last: the worst of that minute. The empty string knows nothing.
type Beats string

// The letters of Beats, from the best to the worst.
const (
	beatNone = '.' // this coordinator did not look, or the agent was not there yet
	beatOff  = 'l' // it had said goodbye
	beatOK   = 'o'
	beatWarn = 'w'
	beatBad  = 'x'
)

// beatTones are the letters and their classes in the stylesheet; in this order a
// letter that comes later outweighs one that comes before it.
var beatTones = []struct {
	letter byte
	tone   string
}{{beatNone, "off"}, {beatOff, "left"}, {beatOK, "ok"}, {beatWarn, "warn"}, {beatBad, "bad"}}

// A Bar is a run of equal minutes.
type Bar struct {
	Tone     string
	X, Width int
}

// Bars are the runs, of which the stylesheet makes bars.
func (b Beats) Bars() (all []Bar) {
	for i := 0; i < len(b); {
		end := i
		for end < len(b) && b[end] == b[i] {
			end++
		}
		for _, t := range beatTones {
			if t.letter == b[i] {
				all = append(all, Bar{t.tone, i * beatWidth, (end-i)*beatWidth - 1})
			}
		}
		i = end
	}
	return all
}

// Words is what the bars say to those who do not see them.
func (b Beats) Words() string {
	count := func(letter byte) int { return strings.Count(string(b), string(letter)) }
	seen := len(b) - count(beatNone)
	if seen == 0 {
		return "nothing is known of the last half hour"
	}
	var parts []string
	for _, p := range []struct {
		letter byte
		word   string
	}{{beatBad, "down"}, {beatWarn, "not well"}, {beatOff, "switched off"}} {
		if n := count(p.letter); n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", p.word, n))
		}
	}
	if len(parts) == 0 {
		return fmt.Sprintf("well in all of the last %d min", seen)
	}
	return fmt.Sprintf("of the last %d min: %s", seen, strings.Join(parts, ", "))
}

// A Pulse remembers how agents were. It is kept in memory only, by each coordinator
// for itself, from its start on. The zero value is ready; it is safe to share.
type Pulse struct {
	mu   sync.Mutex
	tape tape
}

// Note takes how the agents of a view are at its time, and fills in its Beats.
func (p *Pulse) Note(v *View) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tape.length, p.tape.each, p.tape.blank = beatsKept, beatsEach, beatNone
	p.tape.turn(v.At)
	here := make(map[string][]byte, len(v.Nodes))
	v.Beats = make(map[string]Beats, len(v.Nodes))
	for i := range v.Nodes {
		row := Row{NodeBody: v.Nodes[i], now: v.At}
		if !row.shown() {
			continue
		}
		letters := p.tape.of(row.Name)
		last := &letters[beatsKept-1]
		*last = worse(*last, row.beat())
		here[row.Name] = letters
		v.Beats[row.Name] = Beats(letters)
	}
	p.tape.nodes = here // those that were removed are forgotten
}

func worse(a, b byte) byte {
	for _, t := range beatTones {
		if t.letter == a {
			return b
		}
		if t.letter == b {
			return a
		}
	}
	return b
}

// beat is the letter of how the agent is now.
func (r Row) beat() byte {
	switch r.Tone() {
	case "ok":
		return beatOK
	case "warn":
		return beatWarn
	case "bad":
		return beatBad
	}
	if r.Liveness == "" {
		return beatNone
	}
	return beatOff
}
