package choice_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"primespark/shared/meshnet/choice"
)

// A scene is a node that probes its hubs each half second; what the hubs answer is
// told by a script.
type scene struct {
	c    *choice.Chooser
	now  time.Time
	hubs []choice.Hub
	log  []string
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newScene(jitter time.Duration, hubs ...choice.Hub) *scene {
	c := choice.NewChooser("pi", choice.DefaultTiming, func(below time.Duration) time.Duration { return min(jitter, below) })
	c.Set(hubs)
	return &scene{c: c, now: epoch, hubs: hubs}
}

// play lets time pass. up tells who answers, and forwards who forwards.
func (s *scene) play(d time.Duration, up, forwards string) {
	for end := s.now.Add(d); s.now.Before(end); s.now = s.now.Add(500 * time.Millisecond) {
		for _, h := range s.hubs {
			s.c.Answer(h.Name, s.now, 5*time.Millisecond, strings.Contains(up, h.Name))
		}
		if s.now.Sub(epoch)%(2500*time.Millisecond) == 0 {
			answered := map[string]bool{}
			for _, h := range s.hubs {
				if strings.Contains(up, h.Name) {
					answered[h.Name] = strings.Contains(forwards, h.Name)
				}
			}
			s.c.Through(answered, false, s.now)
		}
		if active, why := s.c.Choose(s.now); why != "" {
			s.log = append(s.log, fmt.Sprintf("%v %s: %s", s.now.Sub(epoch), active, why))
		}
	}
}

func TestChoose(t *testing.T) {
	a, b := choice.Hub{Name: "a", Priority: 2}, choice.Hub{Name: "b", Priority: 1}
	const far = 20 * time.Second
	for name, test := range map[string]struct {
		story func(*scene)
		want  []string
	}{
		"nobody answers":       {func(s *scene) { s.play(time.Minute, "", "") }, nil},
		"the preferred first":  {func(s *scene) { s.play(time.Minute, "ab", "ab") }, []string{"0s a: the first to answer"}},
		"one miss, two misses": {func(s *scene) { s.play(far, "ab", "ab"); s.play(time.Second, "b", "b"); s.play(far, "ab", "ab") }, []string{"0s a: the first to answer"}},
		"cut":                  {func(s *scene) { s.play(far, "ab", "ab"); s.play(far, "b", "b") }, []string{"0s a: the first to answer", "21s b: the other hub does not answer"}},
		"both cut: it is us":   {func(s *scene) { s.play(far, "ab", "ab"); s.play(far, "", ""); s.play(far, "ab", "ab") }, []string{"0s a: the first to answer"}},
		"both cut, and one comes back": {
			func(s *scene) { s.play(far, "ab", "ab"); s.play(far, "", ""); s.play(far, "b", "b") },
			[]string{"0s a: the first to answer", "41.5s b: the other hub does not answer"},
		},
		"up and not forwarding":               {func(s *scene) { s.play(far, "ab", "ab"); s.play(far, "ab", "b") }, []string{"0s a: the first to answer", "22.5s b: the other hub does not forward"}},
		"nobody forwards: the member is gone": {func(s *scene) { s.play(far, "ab", "ab"); s.play(far, "ab", "") }, []string{"0s a: the first to answer"}},
		"not forwarding is better than nothing": {
			func(s *scene) { s.play(far, "ab", "ab"); s.play(far, "ab", "b"); s.play(far, "a", "") },
			[]string{"0s a: the first to answer", "22.5s b: the other hub does not forward", "41s a: the other hub does not answer"},
		},
		"back after a minute and the spread": {
			func(s *scene) { s.play(far, "ab", "ab"); s.play(far, "b", "b"); s.play(2*time.Minute, "ab", "ab") },
			[]string{"0s a: the first to answer", "21s b: the other hub does not answer", "1m50s a: preferred, and stable again"},
		},
		"not back while it flaps": {
			func(s *scene) {
				s.play(far, "ab", "ab")
				for range 5 {
					s.play(far, "b", "b")
					s.play(50*time.Second, "ab", "ab")
				}
			},
			[]string{"0s a: the first to answer", "21s b: the other hub does not answer"},
		},
		"draining, in its turn": {
			func(s *scene) {
				s.play(far, "ab", "ab")
				gone := a
				gone.Draining = true
				s.c.Set([]choice.Hub{gone, b})
				s.play(far, "ab", "ab")
			},
			[]string{"0s a: the first to answer", "22s b: the other hub is about to stop"},
		},
		"draining, and the only one": {
			func(s *scene) {
				s.play(far, "a", "a")
				gone := a
				gone.Draining = true
				s.c.Set([]choice.Hub{gone, b})
				s.play(far, "a", "a")
			},
			[]string{"0s a: the first to answer"},
		},
		"the hub is removed": {
			func(s *scene) {
				s.play(far, "ab", "ab")
				s.c.Set([]choice.Hub{b})
				s.play(far, "b", "b")
			},
			[]string{"0s a: the first to answer", "20s b: the first to answer"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(10*time.Second, a, b)
			test.story(s)
			if got, want := strings.Join(s.log, "; "), strings.Join(test.want, "; "); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// TestChooseSpreads has nodes of one site choose among equal hubs.
func TestChooseSpreads(t *testing.T) {
	count := map[string]int{}
	for i := range 100 {
		c := choice.NewChooser(fmt.Sprintf("pi-%02d", i), choice.DefaultTiming, func(time.Duration) time.Duration { return 0 })
		c.Set([]choice.Hub{{Name: "a"}, {Name: "b"}})
		for _, h := range []string{"a", "b"} {
			c.Answer(h, epoch, time.Millisecond, true)
		}
		hub, _ := c.Choose(epoch)
		count[hub]++
	}
	if count["a"] < 25 || count["b"] < 25 {
		t.Errorf("100 nodes are at the hubs like this: %v", count)
	}
}

func TestChooseByRoundTrip(t *testing.T) {
	c := choice.NewChooser("pi", choice.DefaultTiming, func(time.Duration) time.Duration { return 0 })
	c.Set([]choice.Hub{{Name: "far"}, {Name: "near"}})
	c.Answer("far", epoch, 80*time.Millisecond, true)
	c.Answer("near", epoch, 20*time.Millisecond, true)
	if hub, _ := c.Choose(epoch); hub != "near" {
		t.Errorf("the hub is %q", hub)
	}
	if w := c.Wait("far"); w != 400*time.Millisecond {
		t.Errorf("waits %v for an answer", w)
	}
	for i := range 100 {
		c.Answer("far", epoch.Add(time.Duration(i)*time.Second), 300*time.Millisecond, i%4 != 0)
	}
	if w := c.Wait("far"); w < time.Second {
		t.Errorf("waits %v for the answer of one 300 ms away", w)
	}
	if l := c.Path("far").Loss(); l < 0.2 || l > 0.3 {
		t.Errorf("the loss is %v, of every fourth", l)
	}
}

// TestLateMiss has a probe time out after a later one was answered.
func TestLateMiss(t *testing.T) {
	c := choice.NewChooser("pi", choice.DefaultTiming, func(time.Duration) time.Duration { return 0 })
	c.Set([]choice.Hub{{Name: "a"}})
	c.Answer("a", epoch.Add(time.Second), time.Millisecond, true)
	for range 5 {
		c.Answer("a", epoch, 0, false)
	}
	if !c.Path("a").Up() || c.Alone() {
		t.Error("the hub is down, though it answered since")
	}
}

func TestDirect(t *testing.T) {
	lan, wan := netip.MustParseAddrPort("192.168.1.5:51820"), netip.MustParseAddrPort("203.0.113.9:40000")
	at := func(s float64) time.Time { return epoch.Add(time.Duration(s * float64(time.Second))) }
	for name, test := range map[string]struct {
		candidates []netip.AddrPort
		handshake  float64 // seconds; the first
		answers    func(s float64) bool
		want       string // stages, by second
	}{
		"no candidates":                    {nil, 1e9, nil, "0 resting"},
		"works at once":                    {[]netip.AddrPort{lan, wan}, 0.4, func(float64) bool { return true }, "0 trying 192.168.1.5:51820, 0.5 proving, 1.5 used"},
		"works at the second":              {[]netip.AddrPort{lan, wan}, 6, func(float64) bool { return true }, "0 trying 192.168.1.5:51820, 5 trying 203.0.113.9:40000, 6 proving, 7 used"},
		"never":                            {[]netip.AddrPort{lan}, 1e9, nil, "0 trying 192.168.1.5:51820, 5 resting, 35 trying 192.168.1.5:51820, 40 resting"},
		"a handshake that carries nothing": {[]netip.AddrPort{lan}, 0.4, func(float64) bool { return false }, "0 trying 192.168.1.5:51820, 0.5 proving, 10.5 resting, 40.5 proving, 50.5 resting"},
		"breaks, and comes back":           {[]netip.AddrPort{lan}, 0.4, func(s float64) bool { return s < 20 || s > 23 }, "0 trying 192.168.1.5:51820, 0.5 proving, 1.5 used, 21.5 proving, 24.5 used"},
		"it comes to us":                   {nil, 3, func(float64) bool { return true }, "0 resting, 3 proving, 4 used"},
	} {
		t.Run(name, func(t *testing.T) {
			var d choice.Direct
			d.Candidates(test.candidates, at(0))
			var got []string
			last := ""
			for s := 0.0; s < 60; s += 0.5 {
				if d.Stage() == choice.Proving || d.Stage() == choice.Used {
					d.Answer(at(s-0.25), time.Millisecond, test.answers(s-0.5))
				}
				var handshake time.Time
				if s >= test.handshake {
					handshake = at(test.handshake)
				}
				stage := []string{"resting", "trying", "proving", "used"}[d.Step(handshake, at(s))]
				if e := d.Endpoint(); e.IsValid() {
					stage += " " + e.String()
				}
				if stage != last {
					got = append(got, fmt.Sprintf("%v %s", s, stage))
				}
				last = stage
			}
			if g := strings.Join(got, ", "); g != test.want {
				t.Errorf("got  %s\nwant %s", g, test.want)
			}
		})
	}
}

// TestUse has a node leave the hub that it prefers, to change its key there: it is
// not gone back to before its time.
func TestUse(t *testing.T) {
	a, b := choice.Hub{Name: "a", Priority: 2}, choice.Hub{Name: "b", Priority: 1}
	s := newScene(10*time.Second, a, b)
	s.play(5*time.Minute, "ab", "ab")
	s.c.Use("b", s.now)
	s.play(2*time.Minute, "ab", "ab")
	if got := strings.Join(s.log, "; "); got != "0s a: the first to answer; 6m10s a: preferred, and stable again" {
		t.Error(got)
	}
}
