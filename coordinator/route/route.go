// Package route decides which agent answers a request, and says why. It is pure:
// what is known goes in, an order comes out; no clock, no lock, no call.
//
// The score of an agent is the time its answer is expected to take: its latency
// with the model, once for each request before ours and once for ours, and several
// times that while its battery feeds it. The agent with the least is asked first; of
// several that are about as good, one that is drawn. What this coordinator has sent it
// knows to the moment. What others have sent it learns late, and coordinators that
// all went by the newest word of an agent would flood it together: so that counts as
// a mean of some seconds (package dispatch).
// The other agents follow by score, for when the first is busy or gone.
package route

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"primespark/shared/fleet"
	"primespark/shared/wire"
)

// Approved is the state of an agent that may be given work.
const Approved = "approved"

// assumed is the latency, in ms, of a model that no agent has run yet.
const assumed = 50

// A Request is what a choice is made of.
type Request struct {
	View   fleet.View
	States map[string]string // the decided state of each agent, by name
	Model  string
	// Sent counts the requests that this coordinator has under way at an agent,
	// which its gossip may not show yet.
	Sent map[string]int
	// Others is how many requests of others each agent has, as a mean; where it names
	// none, what the agent tells beyond Sent.
	Others map[string]float64
	// Suspects are agents that a request has just failed at, with the reason.
	Suspects map[string]string
	// Draw returns a number from 0 to n-1 at random.
	Draw func(n int) int
}

// A Choice is the order in which to ask, and who is not asked.
type Choice struct {
	Candidates []Candidate
	Rejected   []wire.Rejected // by name
}

// A Candidate is an agent that can answer, with the terms of its score.
type Candidate struct {
	Node     string
	API      string  // host:port
	Score    float64 // ms until the answer, as far as one can tell
	InFlight int     // requests that the agent says it is answering
	Queue    int     // requests that the agent says are waiting
	Sent     int     // requests that this coordinator has under way there
	Others   float64 // requests that somebody else has sent to it, as a mean
	Millis   float64 // of one inference
	Cold     bool    // it has the model on its disk, and loads it when it is asked
	Assumed  bool    // Millis is that of the fastest agent: this one has not run the model yet
	Supply   supply  // of power, which makes the score larger where it is short
	Equals   int     // agents about as good, of which it was drawn, for the first candidate
}

// Explain is the candidate as clients see it, with its reason in words.
func (c Candidate) Explain() wire.Candidate {
	reason := fmt.Sprintf("%s before this one, %.1f ms each", tenths(c.before()), c.Millis)
	if c.Assumed {
		reason += " (assumed, it has not run the model yet)"
	}
	if c.Cold {
		reason += "; it has to load the model first"
	}
	if words := c.Supply.words(); words != "" {
		reason += "; " + words
	}
	if c.Equals > 1 {
		reason += fmt.Sprintf("; drawn of %d that are about as good", c.Equals)
	}
	terms := map[string]float64{"in_flight": float64(c.InFlight), "queue": float64(c.Queue), "sent": float64(c.Sent), "others": c.Others, "latency_ms": c.Millis}
	c.Supply.terms(terms)
	return wire.Candidate{Node: c.Node, Score: c.Score, Reason: reason, Terms: terms}
}

// before is how many requests are ahead of ours: those that this coordinator has
// sent, which it knows to the moment, and those of others.
func (c Candidate) before() float64 { return float64(c.Sent) + c.Others }

// tenths writes a number with at most one decimal.
func tenths(v float64) string { return strconv.FormatFloat(math.Round(10*v)/10, 'f', -1, 64) }

// others is how many requests at an agent are not this coordinator's. What the agent
// tells of its load holds both.
func others(n fleet.Node, r Request) float64 {
	if known, ok := r.Others[n.Name]; ok {
		return known
	}
	return float64(max(0, n.Vital.InFlight+n.Vital.Queue-r.Sent[n.Name]))
}

// Choose returns the candidates for r, the first to be asked first.
func Choose(r Request) Choice {
	var c Choice
	seen := map[string]bool{}
	for _, n := range r.View {
		if n.Role != fleet.Agent {
			continue
		}
		seen[n.Name] = true
		serving, reason := able(n, r)
		if reason != "" {
			c.Rejected = append(c.Rejected, wire.Rejected{Node: n.Name, Reason: reason})
			continue
		}
		c.Candidates = append(c.Candidates, Candidate{
			Node: n.Name, API: n.API, Millis: serving.Millis, Cold: serving.Cold,
			InFlight: n.Vital.InFlight, Queue: n.Vital.Queue, Sent: r.Sent[n.Name], Others: others(n, r), Supply: supplyOf(n.Vital.Power),
		})
	}
	for name := range r.States {
		if !seen[name] {
			c.Rejected = append(c.Rejected, wire.Rejected{Node: name, Reason: "has not been seen since this coordinator started"})
		}
	}
	slices.SortFunc(c.Rejected, func(a, b wire.Rejected) int { return strings.Compare(a.Node, b.Node) })
	score(c.Candidates)
	warm := len(slices.DeleteFunc(slices.Clone(c.Candidates), func(c Candidate) bool { return c.Cold }))
	slices.SortStableFunc(c.Candidates, func(a, b Candidate) int { return cmp.Compare(rank(a), rank(b)) })
	order(c.Candidates[:warm], r.Draw) // those that have to load it come after all others
	order(c.Candidates[warm:], r.Draw)
	return c
}

func rank(c Candidate) int {
	if c.Cold {
		return 1
	}
	return 0
}

// able returns how n serves the model, or why it cannot.
func able(n fleet.Node, r Request) (fleet.Serving, string) {
	state, known := r.States[n.Name]
	switch {
	case !known:
		return fleet.Serving{}, "is not a member of this cluster"
	case state != Approved:
		return fleet.Serving{}, "is " + state
	case n.Liveness == fleet.LinkDown:
		return fleet.Serving{}, "cannot be reached from here, though others see it"
	case n.Liveness == fleet.Left:
		return fleet.Serving{}, "has left"
	case n.Liveness != fleet.Alive:
		return fleet.Serving{}, "is " + string(n.Liveness)
	case r.Suspects[n.Name] != "":
		return fleet.Serving{}, "did not answer just now: " + r.Suspects[n.Name]
	case n.Vital.Power.Low():
		return fleet.Serving{}, "has little power left (" + strings.ReplaceAll(string(n.Vital.Power.State), "_", " ") + ") and serves its own host only"
	case !n.Vital.Ready && len(n.Vital.Reasons) > 0:
		return fleet.Serving{}, "is not ready: " + strings.Join(n.Vital.Reasons, ", ")
	case !n.Vital.Ready:
		return fleet.Serving{}, "is not ready"
	case n.API == "":
		return fleet.Serving{}, "has told no API address"
	}
	for _, s := range n.Vital.Models {
		if s.Name == r.Model {
			return s, ""
		}
	}
	return fleet.Serving{}, "does not have the model " + r.Model + " loaded"
}

// score fills in the latency of agents that have not run the model yet, so that
// they are tried, and computes the scores.
func score(all []Candidate) {
	fastest := 0.0
	for _, c := range all {
		if c.Millis > 0 && (fastest == 0 || c.Millis < fastest) {
			fastest = c.Millis
		}
	}
	if fastest == 0 {
		fastest = assumed
	}
	for i := range all {
		c := &all[i]
		if c.Millis <= 0 {
			c.Millis, c.Assumed = fastest, true
		}
		c.Score = (c.before() + 1) * c.Millis * c.Supply.factor
	}
}

// asGood is how much more than the least a score may be to be about as good: latencies
// of boards that are alike differ by a few hundredths.
const asGood = 1.15

// order sorts by score, and puts one of those that are about as good as the best
// first, so that an idle fleet shares the work.
func order(all []Candidate, draw func(int) int) {
	slices.SortStableFunc(all, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(a.Score, b.Score), strings.Compare(a.Node, b.Node))
	})
	equals := 0
	for equals < len(all) && all[equals].Score <= asGood*all[0].Score {
		equals++
	}
	if equals < 2 {
		return
	}
	drawn := draw(equals)
	c := all[drawn]
	c.Equals = equals
	copy(all[1:drawn+1], all[:drawn])
	all[0] = c
}
