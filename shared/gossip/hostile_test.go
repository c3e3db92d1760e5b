package gossip_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"testing"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/gossip"
	"primespark/shared/gossiptest"
)

// TestGarbageChangesNothing sends packets and streams of garbage, some that begin
// as good ones do, to every node: nobody's view changes, and no memory is kept.
func TestGarbageChangesNothing(t *testing.T) {
	inBubble(t, 3, 0, func(t *testing.T, c *crowd) {
		c.complete(5 * time.Second)
		time.Sleep(20 * time.Second)
		dice := rand.New(rand.NewPCG(3, 3))
		stranger := c.pipe.Host("stranger")
		label := []byte{244, 4, 'h', 'o', 'm', 'e'}
		before := map[string]fleet.View{}
		for by, m := range c.nodes {
			before[by] = m.View().Get()
		}
		var start, end runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&start)
		sent := 0
		for range 3000 {
			for _, m := range c.nodes {
				b := make([]byte, dice.IntN(1400))
				for i := range b {
					b[i] = byte(dice.Uint32())
				}
				switch dice.IntN(5) {
				case 0:
					b = append(bytes.Clone(label), b...)
				case 1:
					b = append(append(bytes.Clone(label), 1), b...) // as encrypted
				case 2:
					b = append([]byte{byte(dice.IntN(15))}, b...) // each type of message, in the clear
				case 3:
					b = append(append(bytes.Clone(label), byte(dice.IntN(15))), b...)
				}
				if c.lossy.Send(stranger, m.Addr(), b) {
					sent++
				}
			}
			if dice.IntN(30) == 0 {
				time.Sleep(time.Millisecond)
			}
			if dice.IntN(100) == 0 {
				c.stream(dice, label)
			}
		}
		time.Sleep(20 * time.Second)
		runtime.GC()
		runtime.ReadMemStats(&end)
		if grown := int64(end.HeapAlloc) - int64(start.HeapAlloc); grown > 4<<20 {
			t.Errorf("%d bytes more are in use after %d packets", grown, sent)
		}
		if sent < 5000 {
			t.Errorf("only %d packets arrived", sent)
		}
		for by, m := range c.nodes {
			after := m.View().Get()
			if len(after) != len(before[by]) {
				t.Errorf("%s sees %d nodes, not %d", by, len(after), len(before[by]))
			}
			for i, n := range after {
				if old := before[by][i]; n.Name != old.Name || n.Liveness != fleet.Alive || n.Member != old.Member || !n.Since.Equal(old.Since) {
					t.Errorf("%s sees %+v, before %+v", by, n, old)
				}
			}
		}
	})
}

// stream sends garbage to every node over TCP, and breaks off.
func (c *crowd) stream(dice *rand.Rand, label []byte) {
	c.t.Helper()
	for _, m := range c.nodes {
		conn, err := c.pipe.Host("stranger").Dial(c.t.Context(), "tcp", m.Addr())
		if err != nil {
			continue // it has enough of them: that is no harm
		}
		b := make([]byte, dice.IntN(2000)+1)
		for i := range b {
			b[i] = byte(dice.Uint32())
		}
		if dice.IntN(2) == 0 {
			b = append(append(bytes.Clone(label), 10, 0xff, 0xff, 0xff, 0xff), b...) // "encrypted", 4 GiB long
		}
		if _, err := conn.Write(b); err != nil {
			c.t.Logf("the node closed it: %v", err)
		}
		conn.Close()
	}
}

// TestFloodOfNames: whoever has the key can name nodes without end, and a view
// keeps a bounded number of them.
func TestFloodOfNames(t *testing.T) {
	inBubble(t, 2, 0, func(t *testing.T, c *crowd) {
		c.complete(5 * time.Second)
		f := gossiptest.Forger{Net: c.lossy, Host: c.pipe.Host("stranger"), Key: key, Label: "home"}
		known := 0
		for i := range 30 {
			m := fleet.Member{Name: "x-" + string(rune('a'+i/26)) + string(rune('a'+i%26)), Role: fleet.Agent, API: "10.9.9.9:7490"}
			if err := f.Alive(c.nodes["pi-1"].Addr(), m, net.IPv4(10, 9, 9, 9), uint16(1000+i), 1); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		known = len(c.nodes["pi-1"].View().Get())
		t.Logf("pi-1 knows %d nodes after 30 forged names", known)
		if known < 10 {
			t.Error("the forger does not speak the protocol: this test shows nothing")
		}
		time.Sleep(5 * time.Minute) // nobody answers at their addresses
		for _, n := range c.nodes["pi-1"].View().Get() {
			if n.Name != "pi-1" && n.Name != "pi-2" && n.Liveness == fleet.Alive {
				t.Errorf("%s is still held for alive", n.Name)
			}
		}
	})
}

// TestCrowdIsRefused: a name that is new is refused when there are more than a fleet
// has, and one that is known is not.
func TestCrowdIsRefused(t *testing.T) {
	inBubble(t, 1, 0, func(t *testing.T, c *crowd) {
		g := c.nodes["pi-1"].Gossip
		if err := gossip.Greet(g, "x-1"); err != nil {
			t.Errorf("a new name: %v", err)
		}
		gossip.Fill(g)
		if err := gossip.Greet(g, "x-1"); err == nil {
			t.Error("one too many was let in")
		}
		if err := gossip.Greet(g, "y-7"); err != nil {
			t.Errorf("a name that is known: %v", err)
		}
	})
}

// TestViewsOfACrowd: where there are many nodes, what they say makes a view at a
// time for all of them, and is in it soon.
func TestViewsOfACrowd(t *testing.T) {
	inBubble(t, 1, 0, func(t *testing.T, c *crowd) {
		g := c.nodes["pi-1"].Gossip
		gossip.Fill(g)
		time.Sleep(time.Second)
		views := 0
		_, changed := g.View().Load()
		for i := range 1000 {
			gossip.Hear(g, fleet.Vital{Node: fmt.Sprintf("y-%d", i), Boot: 1, Seq: 1, Mode: fleet.Normal})
			select {
			case <-changed:
				views++
				_, changed = g.View().Load()
			default:
			}
			time.Sleep(time.Millisecond)
		}
		if views < 2 || views > 10 {
			t.Errorf("%d views in a second", views)
		}
		time.Sleep(200 * time.Millisecond)
		if n, _ := g.View().Get().Find("y-999"); n.Vital.Seq != 1 {
			t.Error("what was heard last is not in the view")
		}
	})
}
