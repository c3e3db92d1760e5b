// Package choice decides which paths a node's packets take: which hub (Chooser), and
// which direct paths (Direct). It is pure: it has no clock, sends nothing, and is
// told what the probes found.
package choice

import (
	"cmp"
	"hash/fnv"
	"slices"
	"time"
)

// Timing is how often paths are probed and what follows from it.
type Timing struct {
	Every   time.Duration // between two probes of a hub
	Timeout time.Duration // of a probe, at least; four times the usual round trip if that is longer
	Misses  int           // in a row, and the hub is down
	Through time.Duration // between two probes through the hubs to a third member
	Zombie  int           // of those in a row, and the hub does not forward
	Stable  time.Duration // that a better hub is up before it is gone back to
	Spread  time.Duration // over which the nodes spread that, so that they do not all come at once
	Begin   time.Duration // after the first answer of any hub, in which a better one takes over at once
	Leave   time.Duration // over which the nodes spread leaving a hub that is about to stop
}

// DefaultTiming makes an outage of at most about two seconds of a hub that is gone,
// and of eight of one that is there and does not forward.
var DefaultTiming = Timing{
	Every: 500 * time.Millisecond, Timeout: 400 * time.Millisecond, Misses: 3,
	Through: 2500 * time.Millisecond, Zombie: 2,
	Stable: time.Minute, Spread: 20 * time.Second, Begin: 3 * time.Second, Leave: 2 * time.Second,
}

// A Hub is what the choice needs to know of one from the map.
type Hub struct {
	Name     string
	Priority int // the greater is preferred
	Draining bool
}

// A Chooser chooses the hub that a node's packets go through. It has no clock and
// acts on nothing: it is told what the probes found, and asked. Handshakes do not
// count: a tunnel whose other end is gone has a good one for minutes.
type Chooser struct {
	timing Timing
	self   string // spreads the nodes over hubs of one priority
	jitter func(below time.Duration) time.Duration
	paths  map[string]*Path
	active string
	begun  time.Time // when there was one for the first time
}

// NewChooser makes the chooser of a node.
func NewChooser(self string, t Timing, jitter func(below time.Duration) time.Duration) *Chooser {
	return &Chooser{timing: t, self: self, jitter: jitter, paths: map[string]*Path{}}
}

// A Path is what the probes found of one hub, or of one direct path.
type Path struct {
	Hub     Hub
	answers window
	misses  int           // in a row
	sent    time.Time     // when the last probe that was answered had been sent
	failed  time.Time     // when the first one of the misses had been sent
	up      bool          // it has answered, and not missed too many since
	since   time.Time     // of up or not up
	zombie  int           // rounds in a row that it did not forward while another one did
	passed  time.Time     // when the last round was begun that it forwarded in
	good    time.Time     // since when it could be the active one; zero: it cannot
	patient time.Duration // how long it has to be good
	leave   time.Time     // when it is this node's turn to leave it; zero: it is not draining
}

// Set tells which hubs there are now.
func (c *Chooser) Set(hubs []Hub) {
	for name := range c.paths {
		if !slices.ContainsFunc(hubs, func(h Hub) bool { return h.Name == name }) {
			delete(c.paths, name)
		}
	}
	for _, h := range hubs {
		if c.paths[h.Name] == nil {
			c.paths[h.Name] = &Path{}
		}
		c.paths[h.Name].Hub = h
		if !h.Draining {
			c.paths[h.Name].leave = time.Time{}
		}
	}
	if c.paths[c.active] == nil {
		c.active = ""
	}
}

// Path returns what is known of a hub; nil if there is none of that name.
func (c *Chooser) Path(hub string) *Path { return c.paths[hub] }

// Answer notes how a probe of a hub ended that was sent then. rtt counts if it was
// answered.
func (c *Chooser) Answer(hub string, sent time.Time, rtt time.Duration, ok bool) {
	if p := c.paths[hub]; p != nil {
		p.answer(sent, rtt, ok, c.timing.Misses)
	}
}

// Wait is how long an answer of a hub is waited for.
func (c *Chooser) Wait(hub string) time.Duration {
	if p := c.paths[hub]; p != nil {
		return max(c.timing.Timeout, 4*p.RTT())
	}
	return c.timing.Timeout
}

// Through notes how one round of probes to one third member ended: who got an
// answer by which hub; it was begun then. elsewhere says that the member answered on a direct path. A
// member that answers nobody is itself to blame, and nothing follows.
func (c *Chooser) Through(answered map[string]bool, elsewhere bool, begun time.Time) {
	any := elsewhere
	for _, ok := range answered {
		any = any || ok
	}
	if !any {
		return
	}
	for hub, ok := range answered {
		p := c.paths[hub]
		switch {
		case p == nil:
		case ok:
			p.zombie, p.passed = 0, begun
		case p.up:
			p.zombie++
		}
	}
}

// The classes of hubs, the best first.
const (
	fit = iota
	draining
	notForwarding
	down
)

func (c *Chooser) class(p *Path) int {
	switch {
	case p == nil || !p.up:
		return down
	case p.zombie >= c.timing.Zombie:
		return notForwarding
	case p.Hub.Draining:
		return draining
	}
	return fit
}

// Choose returns the hub that counts from now on, "" as long as none has ever
// answered, and why it is another one than before; "" if it is not.
func (c *Chooser) Choose(now time.Time) (active, why string) {
	for _, p := range c.paths {
		switch {
		case c.class(p) != fit:
			p.good = time.Time{}
		case p.good.IsZero():
			p.good, p.patient = now, c.timing.Stable+c.jitter(c.timing.Spread)
		}
	}
	best := c.best()
	if best == nil || best.Hub.Name == c.active {
		return c.active, ""
	}
	why = c.reason(best, c.paths[c.active], now)
	if why != "" {
		c.active = best.Hub.Name
	}
	return c.active, why
}

// reason says why best takes over from old now; "" if it does not.
func (c *Chooser) reason(best, old *Path, now time.Time) string {
	is, was := c.class(best), c.class(old)
	switch {
	case is == down:
		return "" // none answers: it is us, and changing helps nobody
	case old == nil:
		c.begun = now
		return "the first to answer"
	case was == down:
		if !best.sent.After(old.failed) || now.Sub(best.since) < 2*c.timing.Every {
			return "" // it may be us, or have been us a moment ago
		}
		return "the other hub does not answer"
	case was == notForwarding && is < was:
		return "the other hub does not forward"
	case was == draining && is < was:
		if old.leave.IsZero() {
			old.leave = now.Add(c.jitter(c.timing.Leave))
		}
		if now.Before(old.leave) {
			return ""
		}
		return "the other hub is about to stop"
	case is == fit && was == fit && now.Sub(c.begun) < c.timing.Begin:
		return "preferred, and just a little later to answer"
	case is == was && is == fit && now.Sub(best.good) >= best.patient:
		return "preferred, and stable again"
	}
	return ""
}

// best is the hub to be at, if there were no reason to stay; nil without hubs.
func (c *Chooser) best() (best *Path) {
	names := make([]string, 0, len(c.paths))
	for name := range c.paths {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		p := c.paths[name]
		if best == nil || c.class(p) < c.class(best) || c.class(p) == c.class(best) && c.better(p, best) {
			best = p
		}
	}
	return best
}

// better compares hubs of one class: by priority, then by round trip if it is much
// shorter, then so that the nodes spread over them.
func (c *Chooser) better(a, b *Path) bool {
	if a.Hub.Priority != b.Hub.Priority {
		return a.Hub.Priority > b.Hub.Priority
	}
	if much(a.RTT(), b.RTT()) || much(b.RTT(), a.RTT()) {
		return much(a.RTT(), b.RTT())
	}
	return cmp.Compare(c.rank(a.Hub.Name), c.rank(b.Hub.Name)) < 0
}

// much reports whether a round trip is so much shorter than another one that it is
// worth a change: by a third, and by 10 ms.
func much(a, b time.Duration) bool { return a > 0 && a < b*2/3 && b-a > 10*time.Millisecond }

func (c *Chooser) rank(hub string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(c.self + "\x00" + hub)) // never fails
	return h.Sum64()
}

// Forwards reports whether a hub answers, and has passed on what was sent through it
// to a third member since then. Where no member has answered anybody in the time of
// three rounds, there is none that could tell, and nothing is held against the hub.
func (c *Chooser) Forwards(hub string, since, now time.Time) bool {
	p := c.paths[hub]
	if p == nil || !p.up || p.zombie > 0 {
		return false
	}
	return p.passed.After(since) || now.Sub(since) >= 3*c.timing.Through
}

// Alone reports that there are hubs and none answers.
func (c *Chooser) Alone() bool {
	for _, p := range c.paths {
		if p.up {
			return false
		}
	}
	return len(c.paths) > 0
}

// Active is the hub that was chosen last.
func (c *Chooser) Active() string { return c.active }

// Use makes hub the active one, for a node that changes its keys. The others have to
// be stable for their time again before one of them takes over.
func (c *Chooser) Use(hub string, now time.Time) {
	c.active = hub
	for _, p := range c.paths {
		if !p.good.IsZero() {
			p.good = now
		}
	}
}

// answer notes how a probe ended.
func (p *Path) answer(sent time.Time, rtt time.Duration, ok bool, misses int) {
	p.answers.add(ok, rtt)
	switch {
	case ok:
		p.misses = 0
		if sent.After(p.sent) {
			p.sent = sent
		}
		if !p.up {
			p.up, p.since, p.zombie = true, sent.Add(rtt), 0
		}
	case sent.Before(p.sent): // a later one was answered already
	default:
		if p.misses++; p.misses == 1 {
			p.failed = sent
		}
		if p.up && p.misses >= misses {
			p.up, p.since = false, sent
		}
	}
}

// Up reports whether the probes are answered.
func (p *Path) Up() bool { return p.up }

// RTT is the usual round trip; 0 if there was none yet.
func (p *Path) RTT() time.Duration { return p.answers.rtt }

// Loss is the part of the last probes that was not answered, 0 to 1.
func (p *Path) Loss() float64 { return p.answers.loss() }

// A window is the outcomes of the last 64 probes.
type window struct {
	lost uint64 // a bit for each, the last one the lowest
	n    int
	rtt  time.Duration // smoothed as in RFC 6298, section 2
}

func (w *window) add(ok bool, rtt time.Duration) {
	w.lost <<= 1
	w.n = min(w.n+1, 64)
	switch {
	case !ok:
		w.lost |= 1
	case w.rtt == 0:
		w.rtt = rtt
	default:
		w.rtt += (rtt - w.rtt) / 8
	}
}

func (w *window) loss() float64 {
	if w.n == 0 {
		return 0
	}
	lost := 0
	for i := range w.n {
		lost += int(w.lost >> i & 1)
	}
	return float64(lost) / float64(w.n)
}

// Answered is when the last probe that was answered had been sent.
func (p *Path) Answered() time.Time { return p.sent }
