package liveness

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/heartbeat"
	"primespark/shared/identity"
	"primespark/shared/watch"
)

// A sim drives a Watch through time by hand, with nodes on a network that loses
// packets and delays them, as TCP makes good: in order, by a probe and a timer of
// 200 ms, and later with every new beat, whose selective acknowledgement brings
// back what is missing (RFC 8985).
type sim struct {
	*Watch
	dice  *rand.Rand
	start time.Time
	now   time.Duration
	loss  float64
	nodes []*simNode
	view  fleet.View
	asked []question
}

type simNode struct {
	who     identity.ID
	session *session
	next    time.Duration // when it beats
	wire    []parcel      // beats on their way, in order
	late    time.Duration // of its timers, while it is busy
	pause   time.Duration // before it beats next, in which it does nothing at all
	busy    bool
	down    bool
	back    time.Duration // when its connection, which ended, is there again; 0 if it is
}

type parcel struct {
	at   time.Duration
	beat heartbeat.Beat
}

// A question is a ping and when its answer, or the lack of one, is known.
type question struct {
	name string
	at   time.Duration
	err  error
}

func newSim(n int, seed uint64, loss float64) *sim {
	s := &sim{dice: rand.New(rand.NewPCG(seed, 1)), start: time.Unix(0, 0), loss: loss}
	for i := range n {
		name := fmt.Sprintf("pi-%d", i+1)
		s.view = append(s.view, fleet.Node{Member: fleet.Member{Name: name, Role: fleet.Agent, API: "10.0.0.1:7490"}, Liveness: fleet.Alive})
		s.nodes = append(s.nodes, &simNode{
			who: identity.ID{Cluster: "home", Role: fleet.Agent, Name: name}, session: &session{end: func() {}},
			next: time.Duration(s.dice.Int64N(int64(400 * time.Millisecond))),
		})
	}
	s.Watch = New(Config{Self: "c1", Gossip: watch.New(s.view), Ping: func(string) error { return nil }, Log: slog.New(slog.DiscardHandler)})
	for _, n := range s.nodes {
		if err := s.open(n.who, n.session); err != nil {
			panic(err)
		}
	}
	return s
}

// travel is how long a packet takes: some ms, and the repetitions of those lost.
func (s *sim) travel() time.Duration {
	d := time.Duration(s.dice.ExpFloat64() * 5 * float64(time.Millisecond))
	for try := 0; s.dice.Float64() < s.loss; try++ {
		d += 200 * time.Millisecond
		if try >= 2 {
			d += 200 * time.Millisecond
		}
	}
	return d
}

// step passes the time of one look, of which this coordinator may sleep through
// some: what came meanwhile waits in its socket.
func (s *sim) step(d time.Duration) {
	s.now += d
	for _, n := range s.nodes {
		if n.back > 0 && n.back <= s.now {
			if err := s.open(n.who, n.session); err != nil {
				panic(err)
			}
			n.back = 0
		}
		for !n.down && n.next <= s.now {
			b := heartbeat.Beat{}
			if n.late >= 100*time.Millisecond {
				b.LateMS = n.late.Milliseconds()
			}
			at := n.next + s.travel()
			if k := len(n.wire); k > 0 {
				at = max(at, n.wire[k-1].at)
			}
			n.wire = append(n.wire, parcel{at, b})
			n.late = n.late * 7 / 8
			pause := time.Duration(0)
			if n.busy { // its processor is taken by something else
				pause = time.Duration(s.dice.Int64N(int64(600 * time.Millisecond)))
			}
			n.late, n.pause = max(n.late, pause), pause
			n.next += s.pace + pause
		}
		for len(n.wire) > 0 && n.wire[0].at <= s.now && n.back == 0 {
			s.beat(n.who, n.session, n.wire[0].beat)
			n.wire = n.wire[1:]
		}
	}
	for i := 0; i < len(s.asked); i++ {
		if q := s.asked[i]; q.at <= s.now {
			s.answered(q.name, q.err)
			s.asked = append(s.asked[:i], s.asked[i+1:]...)
			i--
		}
	}
	for _, name := range s.judge(s.view, s.start.Add(s.now)) {
		s.ask(name)
	}
}

var errSilence = errors.New("no answer")

func (s *sim) ask(name string) {
	for _, n := range s.nodes {
		if n.who.Name != name {
			continue
		}
		answer := s.now + 10*time.Millisecond
		if n.next-s.now < n.pause {
			answer = n.next
		}
		lost := s.dice.Float64() < 2*s.loss // there or back
		if most := s.now + 250*time.Millisecond; n.down || lost || answer > most {
			s.asked = append(s.asked, question{name, most, errSilence})
			return
		}
		s.asked = append(s.asked, question{name, answer, nil})
		return
	}
}

// TestHealthyFleetFor24Hours runs 8 healthy nodes, a fifth of which are short of
// processor at any time, on a network that loses 2 % of the packets, before a
// coordinator that itself is stopped for seconds now and then. A connection ends each
// ten minutes and is there again within half a second. Nobody is ever held for
// anything but alive.
func TestHealthyFleetFor24Hours(t *testing.T) {
	span := 24 * time.Hour
	if raceEnabled || testing.Short() {
		span = 20 * time.Minute
	}
	s := newSim(8, 8, 0.02)
	questions, sleeps, ends := 0, 0, 0
	for steps := 0; s.now < span; steps++ {
		if steps%600 == 0 { // each minute others are busy
			for _, n := range s.nodes {
				n.busy = s.dice.Float64() < 0.2
			}
		}
		d := look + time.Duration(s.dice.Int64N(int64(5*time.Millisecond)))
		if s.dice.IntN(6000) == 0 { // each ten minutes or so
			d += time.Duration(s.dice.Int64N(int64(10 * time.Second)))
			sleeps++
		}
		if n := s.nodes[s.dice.IntN(len(s.nodes))]; n.back == 0 && s.dice.IntN(6000) == 0 {
			s.close(n.who.Name, n.session)
			n.back = s.now + time.Duration(s.dice.Int64N(int64(500*time.Millisecond)))
			ends++
		}
		s.step(d)
		questions += len(s.asked)
		for name, v := range s.judged {
			if v.is != fleet.Alive {
				t.Fatalf("%s is held for %s after %v", name, v.is, s.now)
			}
		}
	}
	t.Logf("%v, %d sleeps of this coordinator, %d connections ended, %d looks with a question by gossip under way", span, sleeps, ends, questions)
	if questions == 0 || sleeps == 0 || ends == 0 {
		t.Error("the network was too good to show anything")
	}
}

// TestDeathsAreFoundInTime ends nodes at random moments in the same weather: one that
// is unplugged, and one that is killed, whose connection ends.
func TestDeathsAreFoundInTime(t *testing.T) {
	for name, test := range map[string]struct {
		killed bool
		limit  time.Duration
	}{
		"unplugged": {false, 2 * time.Second},
		"killed":    {true, 1300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) { testDeaths(t, test.killed, test.limit) })
	}
}

func testDeaths(t *testing.T, killed bool, limit time.Duration) {
	t.Helper()
	var worst time.Duration
	for seed := range uint64(100) {
		s := newSim(32, seed, 0.02)
		for s.now < 5*time.Second+time.Duration(s.dice.Int64N(int64(time.Second))) {
			s.step(look)
		}
		victim := s.nodes[s.dice.IntN(len(s.nodes))]
		victim.down, victim.wire = true, nil
		if killed {
			s.close(victim.who.Name, victim.session)
		}
		begin := s.now
		for s.judged[victim.who.Name].is == fleet.Alive && s.now < begin+10*time.Second {
			s.step(look)
		}
		if is := s.judged[victim.who.Name].is; is != fleet.Dead {
			t.Fatalf("seed %d: it is %s", seed, is)
		}
		worst = max(worst, s.now-begin)
	}
	t.Logf("dead after %v at worst, of 100", worst)
	if worst > limit {
		t.Errorf("a dead node was found after %v, want %v at most", worst, limit)
	}
}

// TestConnectionOfADeadNodeEnds: a node that was unplugged and found dead stays dead
// when, then or much later, its connection is given up or reset, as it is by its own
// kernel once the cable is back.
func TestConnectionOfADeadNodeEnds(t *testing.T) {
	for _, after := range []time.Duration{0, look, 5 * time.Second} {
		s := newSim(3, 1, 0)
		for s.now < 5*time.Second {
			s.step(look)
		}
		cut := s.nodes[0]
		name, begin := cut.who.Name, s.now
		cut.down, cut.wire = true, nil
		for s.judged[name].is == fleet.Alive && s.now < 10*time.Second {
			s.step(look)
		}
		for end := s.now + after; s.now < end; {
			s.step(look)
		}
		s.close(name, cut.session)
		for range 30 {
			s.step(look)
			if is := s.judged[name].is; is != fleet.Dead {
				t.Fatalf("connection ended %v after the verdict: it is %s %v after it was cut off, want dead", after, is, s.now-begin)
			}
		}
	}
}

// TestNodeDiesBeforeItIsHeard: a coordinator that has just started, and that a node
// has yet to connect to, goes by what another coordinator says of it before gossip
// has noticed anything.
func TestNodeDiesBeforeItIsHeard(t *testing.T) {
	s := newSim(2, 1, 0)
	peer, other := s.nodes[0], s.nodes[1].who.Name
	peer.who.Role = fleet.Coordinator
	s.heard[peer.who.Name].role = fleet.Coordinator
	s.nodes[1].down = true
	run := func(d time.Duration) {
		for end := s.now + d; s.now < end; {
			s.step(look)
		}
	}
	tells := func(names ...string) {
		all := heartbeat.Names(names)
		s.beat(peer.who, peer.session, heartbeat.Beat{Hears: &all})
	}
	is := func(when string, want fleet.Liveness) {
		t.Helper()
		if got := s.judged[other].is; got != want {
			t.Errorf("%s it is %s, want %s", when, got, want)
		}
	}
	run(look)
	tells(other)
	run(time.Second)
	is("heard elsewhere", fleet.Alive)
	tells()
	run(lost / 2)
	is("for a moment not", fleet.Alive)
	tells(other)
	run(time.Second)
	is("heard elsewhere again", fleet.Alive)
	tells()
	run(lost + 2*look)
	is("not heard any more", fleet.LinkDown)
	s.view[1].Liveness = fleet.Dead
	run(2 * look)
	is("and dead by gossip", fleet.Dead)

	// A peer that has been restarted hears nobody at first, which tells nothing.
	peer.session = &session{end: func() {}}
	s.view[1].Liveness = fleet.Alive
	if err := s.open(peer.who, peer.session); err != nil {
		t.Fatal(err)
	}
	tells()
	run(lost + 2*look)
	is("after the peer's restart", fleet.Alive)
}
