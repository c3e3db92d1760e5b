package gossip_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/gossip"
)

func TestAllSeeEachOther(t *testing.T) {
	inBubble(t, 5, 0, func(t *testing.T, c *crowd) {
		t.Logf("5 nodes see each other after %v", c.complete(5*time.Second))
		if got := c.sees("pi-4", "pi-2").API; got != c.nodes["pi-2"].Addr() {
			t.Errorf("pi-2's API is %q in the eyes of pi-4", got)
		}
	})
}

func TestNodeDies(t *testing.T) {
	inBubble(t, 5, 0, func(t *testing.T, c *crowd) {
		c.complete(5 * time.Second)
		c.kill("pi-3")
		t.Logf("dead in the eyes of all after %v", c.all(5*time.Second, "pi-3", fleet.Dead))
		c.pipe.Heal()
		c.start("pi-3", key) // the same name and address, with all forgotten
		t.Logf("alive again after %v", c.all(5*time.Second, "pi-3", fleet.Alive))
	})
}

func TestNodeComesBackAtAnotherAddress(t *testing.T) {
	inBubble(t, 4, 0, func(t *testing.T, c *crowd) {
		c.complete(5 * time.Second)
		c.kill("pi-3")
		c.pipe.Heal()
		c.startAt("pi-3", "10.77.1.99", ":9999", key)
		want := c.nodes["pi-3"].Addr()
		took := c.until(time.Minute, "all see pi-3 at its new address", func() bool {
			for by := range c.nodes {
				if n := c.sees(by, "pi-3"); n.API != want || n.Liveness != fleet.Alive {
					return false
				}
			}
			return true
		})
		t.Logf("at its new address after %v", took)
	})
}

func TestNodeLeaves(t *testing.T) {
	inBubble(t, 4, 0, func(t *testing.T, c *crowd) {
		c.complete(5 * time.Second)
		c.leave("pi-2")
		t.Logf("left in the eyes of all after %v", c.all(2*time.Second, "pi-2", fleet.Left))
		c.start("pi-2", key)
		c.all(10*time.Second, "pi-2", fleet.Alive)
		c.kill("pi-2") // the goodbye of its first life does not hold for the second
		c.all(5*time.Second, "pi-2", fleet.Dead)
	})
}

// TestPartitionsHeal: memberlist by itself never heals one of more than a minute.
func TestPartitionsHeal(t *testing.T) {
	for _, long := range []time.Duration{10 * time.Second, 75 * time.Second, 10 * time.Minute} {
		inBubble(t, 5, 0, func(t *testing.T, c *crowd) {
			c.complete(5 * time.Second)
			for _, a := range []string{"pi-1", "pi-2"} {
				for _, b := range []string{"pi-3", "pi-4", "pi-5"} {
					c.pipe.Cut(a, b)
				}
			}
			time.Sleep(long)
			if got := c.sees("pi-4", "pi-1").Liveness; got != fleet.Dead {
				t.Errorf("pi-4 sees pi-1 %s through the cut of %v", got, long)
			}
			if got := c.sees("pi-4", "pi-3").Liveness; got != fleet.Alive {
				t.Errorf("pi-4 sees pi-3 %s on its own side", got)
			}
			c.pipe.Heal()
			t.Logf("cut for %v, whole again after %v", long, c.complete(35*time.Second))
		})
	}
}

func TestLinkDownIsNotDeath(t *testing.T) {
	inBubble(t, 5, 0, func(t *testing.T, c *crowd) {
		c.complete(5 * time.Second)
		c.pipe.Cut("pi-2", "pi-3")
		time.Sleep(30 * time.Second)
		for _, see := range []struct {
			by, name string
			want     fleet.Liveness
		}{
			{"pi-2", "pi-3", fleet.LinkDown},
			{"pi-3", "pi-2", fleet.LinkDown},
			{"pi-1", "pi-2", fleet.Alive},
			{"pi-1", "pi-3", fleet.Alive},
			{"pi-2", "pi-4", fleet.Alive},
		} {
			if got := c.sees(see.by, see.name).Liveness; got != see.want {
				t.Errorf("%s sees %s %s, want %s", see.by, see.name, got, see.want)
			}
		}
		c.pipe.Heal()
		c.complete(15 * time.Second)
	})
}

func TestVitalsSpread(t *testing.T) {
	inBubble(t, 5, 0.2, func(t *testing.T, c *crowd) { // one packet in five is lost
		c.complete(30 * time.Second)
		for queue := 1; queue <= 3; queue++ {
			if err := c.nodes["pi-4"].Announce(fleet.Vital{Ready: true, Queue: queue}); err != nil {
				t.Fatal(err)
			}
			// Mostly well below a second; by push and pull where all copies are lost.
			took := c.until(time.Minute, "all hear pi-4", func() bool {
				for by := range c.nodes {
					if v := c.sees(by, "pi-4").Vital; v.Queue != queue || v.Node != "pi-4" || v.At.IsZero() {
						return false
					}
				}
				return true
			})
			t.Logf("heard by all after %v", took)
		}
	})
}

func TestVitalsReachALateJoiner(t *testing.T) {
	inBubble(t, 2, 0, func(t *testing.T, c *crowd) {
		c.complete(5 * time.Second)
		if err := c.nodes["pi-2"].Announce(fleet.Vital{Queue: 5}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // long after the broadcast
		c.start("pi-3", key)
		c.until(time.Second, "pi-3 knows pi-2's vital", func() bool { return c.sees("pi-3", "pi-2").Vital.Queue == 5 })
	})
}

func TestVitalsThatFitNoPacket(t *testing.T) {
	inBubble(t, 3, 0, func(t *testing.T, c *crowd) {
		c.complete(5 * time.Second)
		v := fleet.Vital{Ready: true}
		for i := range 100 {
			v.Models = append(v.Models, fleet.Serving{Name: fmt.Sprintf("model-%03d", i), Version: "1", Backend: "builtin"})
		}
		if err := c.nodes["pi-3"].Announce(v); err != nil {
			t.Fatal(err)
		}
		c.until(time.Second, "all hear of 100 models", func() bool {
			return len(c.sees("pi-1", "pi-3").Vital.Models) == 100 && len(c.sees("pi-2", "pi-3").Vital.Models) == 100
		})
		v.Models = append(v.Models, fleet.Serving{Name: strings.Repeat("x", 64), Version: strings.Repeat("9", 16<<10)})
		if err := c.nodes["pi-3"].Announce(v); err == nil || !strings.Contains(err.Error(), "fewer models") {
			t.Errorf("a vital of more than 16 KiB: %v, want it refused with a remedy", err)
		}
		if got := len(c.sees("pi-3", "pi-3").Vital.Models); got != 100 {
			t.Errorf("the refused vital changed the view: %d models", got)
		}
	})
}

func TestSameVitalIsSentSeldom(t *testing.T) {
	inBubble(t, 1, 0, func(t *testing.T, c *crowd) {
		for range 60 {
			if err := c.nodes["pi-1"].Announce(fleet.Vital{Queue: 1}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if got := c.sees("pi-1", "pi-1").Vital.Seq; got != 6 {
			t.Errorf("60 times the same in a minute made %d records, want one each 10 s", got)
		}
	})
}

func TestWrongKeyStaysOut(t *testing.T) {
	inBubble(t, 2, 0, func(t *testing.T, c *crowd) {
		c.start("pi-9", bytes.Repeat([]byte{8}, 32))
		time.Sleep(time.Minute)
		if got := len(c.nodes["pi-9"].View().Get()); got != 1 {
			t.Errorf("with a wrong key it sees %d nodes, want itself alone", got)
		}
		if got := len(c.nodes["pi-1"].View().Get()); got != 2 {
			t.Errorf("the others see %d nodes, want 2", got)
		}
	})
}

func TestClockThatFellBack(t *testing.T) {
	inBubble(t, 2, 0, func(t *testing.T, c *crowd) {
		c.complete(5 * time.Second)
		c.kill("pi-2")
		c.pipe.Heal()
		// pi-2's record of a life in which its clock ran an hour ahead is still about.
		c.start("pi-3", key)
		future := fleet.Vital{Node: "pi-2", Boot: time.Now().Add(time.Hour).UnixNano(), Seq: 9, Queue: 9}
		c.start("pi-2", key)
		if err := c.nodes["pi-2"].Announce(fleet.Vital{Queue: 1}); err != nil {
			t.Fatal(err)
		}
		c.complete(10 * time.Second)
		gossip.Hear(c.nodes["pi-1"].Gossip, future)
		c.until(10*time.Second, "pi-2's newest record wins over the one from the future", func() bool {
			v := c.sees("pi-1", "pi-2").Vital
			return v.Queue == 1 && v.Boot > future.Boot
		})
	})
}

func TestNewRefuses(t *testing.T) {
	good := gossip.Config{Self: fleet.Member{Name: "pi-1", Role: fleet.Agent}, Cluster: "home", Key: key, Bind: "127.0.0.1:0"}
	for name, test := range map[string]struct {
		change func(*gossip.Config)
		want   string
	}{
		"no key":        {func(c *gossip.Config) { c.Key = nil }, "no gossip key"},
		"short key":     {func(c *gossip.Config) { c.Key = key[:16] }, "want 32"},
		"no name":       {func(c *gossip.Config) { c.Self.Name = "Pi 1" }, "no valid node"},
		"no role":       {func(c *gossip.Config) { c.Self.Role = "" }, "no valid node"},
		"no cluster":    {func(c *gossip.Config) { c.Cluster = "" }, "no valid name"},
		"large meta":    {func(c *gossip.Config) { c.Self.API = strings.Repeat("x", 512) }, "more than 512"},
		"no port":       {func(c *gossip.Config) { c.Bind = "127.0.0.1" }, "give :7482"},
		"bad port":      {func(c *gossip.Config) { c.Bind = ":x" }, "give :7482"},
		"a host's name": {func(c *gossip.Config) { c.Bind = "pi.local:0" }, "give :7482"},
		"advertise":     {func(c *gossip.Config) { c.Advertise = "pi.local:7482" }, "give an IP address"},
	} {
		cfg := good
		test.change(&cfg)
		g, err := gossip.New(cfg, slog.New(slog.DiscardHandler), nil)
		if err == nil {
			t.Errorf("%s: not refused", name)
			g.Close()
		} else if !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q in it", name, err, test.want)
		}
		if name == "no key" && !errors.Is(err, gossip.ErrNoKey) {
			t.Errorf("no key: %v is not ErrNoKey", err)
		}
	}
}

func TestRealSockets(t *testing.T) { meet(t, "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0") }

// TestDefaultPortTaken: an agent and a coordinator on one host both want the default
// port, and the later one is found under the next.
func TestDefaultPortTaken(t *testing.T) {
	// An address that no other run of this test has.
	here := fmt.Sprintf("127.7.%d.%d", os.Getpid()>>8&255, os.Getpid()&255)
	first, chosen := here+":7482", here+":7489"
	addrs := meet(t, first, first)
	if addrs[0] == addrs[1] {
		t.Errorf("both at %s", addrs[0])
	}
	for _, bind := range []string{first, chosen} { // all spare ones taken; a port that somebody chose
		var last error
		for range 1 + gossip.Spare + 1 {
			g, err := gossip.New(gossip.Config{Self: fleet.Member{Name: "pi-1", Role: fleet.Agent}, Cluster: "home", Key: key, Bind: bind}, slog.New(slog.DiscardHandler), nil)
			if last = err; err != nil {
				break
			}
			t.Cleanup(func() { _ = g.Close() })
		}
		if last == nil || !strings.Contains(last.Error(), bind) {
			t.Errorf("%s, taken: %v", bind, last)
		}
	}
}

// meet has nodes with sockets find each other, and returns where they are.
func meet(t *testing.T, binds ...string) (addrs []string) {
	t.Helper()
	var nodes []*gossip.Gossip
	for i, bind := range binds {
		g, err := gossip.New(gossip.Config{
			Self: fleet.Member{Name: fmt.Sprintf("pi-%d", i), Role: fleet.Agent}, Cluster: "home",
			Key: key, Bind: bind, Seeds: func() []string { return []string{nodes[0].Addr()} },
		}, slog.New(slog.DiscardHandler), nil)
		if err != nil {
			t.Fatal(err)
		}
		nodes, addrs = append(nodes, g), append(addrs, g.Addr())
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error)
	for _, g := range nodes {
		go func() { done <- g.Run(ctx) }()
	}
	for _, g := range nodes {
		if v, err := g.View().Until(ctx, func(v fleet.View) bool { return len(v) == len(nodes) }); err != nil {
			t.Errorf("%s sees %d nodes: %v", g.Addr(), len(v), err)
		}
	}
	cancel()
	for range nodes {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	return addrs
}

// TestLate: the sockets of a network that comes up later are opened then.
func TestLate(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	here := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	run := func(bind string) (g *gossip.Gossip, stop func() error) {
		g, err := gossip.New(gossip.Config{
			Self: fleet.Member{Name: "pi-1", Role: fleet.Agent}, Cluster: "home", Key: key, Bind: bind, Late: true,
			RTT: func() time.Duration { return 300 * time.Millisecond },
		}, slog.New(slog.DiscardHandler), nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- g.Run(ctx) }()
		return g, func() error { cancel(); return <-done }
	}
	g, stop := run(here)
	if g.Addr() != here {
		t.Errorf("tells %s, want %s", g.Addr(), here)
	}
	conn, err := net.Dial("tcp", here)
	for tries := 0; err != nil && tries < 1500; tries++ {
		time.Sleep(20 * time.Millisecond)
		conn, err = net.Dial("tcp", here)
	}
	if err != nil {
		t.Errorf("nobody listens: %v", err)
	} else {
		conn.Close()
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	// An address that this host never has (RFC 5737): it waits, and ends when it shall.
	if _, stop = run("192.0.2.1:7482"); stop() != nil {
		t.Errorf("an end while waiting: %v", err)
	}
	for _, bind := range []string{":7482", "[fd00::1]:0", "pi.local:7482"} {
		if _, err := gossip.New(gossip.Config{Self: fleet.Member{Name: "pi-1", Role: fleet.Agent}, Cluster: "home", Key: key, Bind: bind, Late: true}, slog.New(slog.DiscardHandler), nil); err == nil {
			t.Errorf("%s: not refused", bind)
		}
	}
}

// TestAdmit: who is not admitted is in nobody's view, as long as that is so.
func TestAdmit(t *testing.T) {
	var open atomic.Bool
	inBubble(t, 0, 0, func(t *testing.T, c *crowd) {
		c.admit = func(m fleet.Member, at netip.Addr) error {
			if m.Name == "pi-3" && !open.Load() || !at.Is4() {
				return errors.New("not in the map")
			}
			return nil
		}
		for _, name := range []string{"pi-1", "pi-2", "pi-3"} {
			c.start(name, key)
		}
		time.Sleep(time.Minute)
		if got := c.sees("pi-1", "pi-3"); got.Name != "" {
			t.Errorf("pi-1 sees %+v", got)
		}
		if got := c.sees("pi-1", "pi-2").Liveness; got != fleet.Alive {
			t.Errorf("pi-1 sees pi-2 %s", got)
		}
		open.Store(true)
		t.Logf("admitted, and seen by all after %v", c.complete(time.Minute))
	})
}

func Example() {
	_, err := gossip.New(gossip.Config{
		Self:    fleet.Member{Name: "pi-1", Role: fleet.Agent},
		Cluster: "home",
		Bind:    ":7482",
	}, slog.New(slog.DiscardHandler), nil)
	fmt.Println(err)
	// Output: no gossip key: every node has one from joining its cluster; join it again
}
