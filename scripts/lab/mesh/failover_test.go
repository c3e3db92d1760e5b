package mesh_test

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"primespark/shared/mesh"
	"primespark/shared/meshnet"
)

// A fault is one of the ways in which a hub fails, and how it comes back.
type fault struct {
	name  string
	limit time.Duration // of the outage that the flow may have
	begin func(*testing.T, *lab, *host)
	end   func(*testing.T, *lab, *host)
}

var (
	cut = fault{
		"cut", 3 * time.Second,
		func(t *testing.T, l *lab, h *host) { must(t, h.Cut(l.others(h.name)...)) },
		func(t *testing.T, l *lab, _ *host) { must(t, l.net.Heal()) },
	}
	killed = fault{
		"killed", 3 * time.Second,
		func(t *testing.T, _ *lab, h *host) { h.kill(t) },
		func(t *testing.T, _ *lab, h *host) { h.start(t) },
	}
	zombie = fault{
		"up, not forwarding", 10 * time.Second,
		func(t *testing.T, _ *lab, h *host) {
			h.nft(t, "add chain inet pslab through { type filter hook forward priority -10; policy drop; }\n")
		},
		func(t *testing.T, _ *lab, h *host) { h.nft(t, "delete chain inet pslab through\n") },
	}
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (h *host) nft(t *testing.T, rules string) {
	t.Helper()
	line := h.Under("nft", "-f", "-")
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestHubFails has the hub fail that the packets of two edges go through, again and
// again, and beside it the only hub of a mesh that has no other: there WireGuard is
// left to itself.
func TestHubFails(t *testing.T) {
	begin(t)
	l := build(t, 2, 2)
	l.by(t, "pi-1", "c1")
	l.by(t, "pi-2", "c1")
	f := l.flow(t, "pi-1", "pi-2")
	f.tally(t)
	time.Sleep(3 * time.Second)
	if quiet := f.tally(t); quiet.Lost > 0 {
		t.Errorf("in peace, %+v\n%s", quiet, l.words())
	}
	for _, fault := range []fault{cut, killed, zombie} {
		var outages []time.Duration
		for range either(1, 20) {
			outages = append(outages, l.fail(t, f, fault))
		}
		slices.Sort(outages)
		t.Logf("hub %s: outage of the flow %v", fault.name, outages)
		if worst := outages[len(outages)-1]; worst > fault.limit {
			t.Errorf("hub %s: an outage of %v is more than %v\n%s", fault.name, worst, fault.limit, l.words())
		}
	}
	for _, name := range []string{"c1", "pi-1"} {
		t.Logf("memory of prime-spark-mesh at %s: %s", name, l.hosts[name].memory(t))
	}
	if os.Getenv(labEnv) != "full" {
		return // the baseline takes its time
	}
	naive := build(t, 1, 2)
	naive.by(t, "pi-1", "c1")
	naive.by(t, "pi-2", "c1")
	f = naive.flow(t, "pi-1", "pi-2")
	f.tally(t)
	hub := naive.hosts["c1"]
	cut.begin(t, naive, hub)
	time.Sleep(30 * time.Second)
	cut.end(t, naive, hub)
	back := time.Now()
	for range 40 {
		if f.tally(t).Lost == 0 {
			break
		}
		time.Sleep(500 * time.Millisecond)
	}
	t.Logf("baseline, one hub, cut for %v: outage as long, and whole again within %v", 30*time.Second, time.Since(back).Round(time.Second))
}

// memory is what the program takes, as the kernel counts it.
func (h *host) memory(t *testing.T) string {
	t.Helper()
	pid := strconv.Itoa(h.cmd.Process.Pid) // nsenter is the program by now
	b, err := os.ReadFile("/proc/" + pid + "/status")
	must(t, err)
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "VmRSS") {
			return strings.Join(strings.Fields(line), " ")
		}
	}
	return "unknown"
}

// fail has the hub of both edges fail, and returns the outage of their flow.
func (l *lab) fail(t *testing.T, f *flow, what fault) time.Duration {
	t.Helper()
	hub := l.hosts["pi-1"].facts(t, func(f meshnet.Facts) bool { return f.Report.Hub != "" }).Report.Hub
	l.by(t, "pi-2", hub)
	for _, edge := range []string{"pi-1", "pi-2"} { // both hubs answer both
		l.hosts[edge].facts(t, func(f meshnet.Facts) bool {
			return !slices.ContainsFunc(f.Report.Links, func(l mesh.Link) bool { return !l.Up })
		})
	}
	f.tally(t)
	what.begin(t, l, l.hosts[hub])
	time.Sleep(what.limit + 2*time.Second)
	got := f.tally(t)
	what.end(t, l, l.hosts[hub])
	if what.name == killed.name && os.Getenv(backendEnv) == "kernel" {
		if got.Lost > 0 {
			t.Errorf("the kernel's tunnels do not outlive prime-spark-mesh: %+v", got)
		}
		return got.outage()
	}
	if got.Lost == 0 {
		t.Errorf("hub %s %s lost nothing, so this shows nothing", hub, what.name)
	}
	for _, edge := range []string{"pi-1", "pi-2"} {
		if l.hosts[edge].facts(t, func(meshnet.Facts) bool { return true }).Report.Hub == hub {
			t.Errorf("%s is still at %s\n%s", edge, hub, l.words())
		}
	}
	return got.outage()
}

// TestPartition cuts an edge off from everybody, for as long as WireGuard takes to
// forget it and longer, and sees how long it takes to be back.
func TestPartition(t *testing.T) {
	begin(t)
	l := build(t, 2, 2)
	f := l.flow(t, "pi-1", "pi-2")
	for _, long := range either([]time.Duration{10 * time.Second}, []time.Duration{10 * time.Second, 75 * time.Second, 10 * time.Minute}) {
		edge := l.hosts["pi-2"]
		must(t, edge.Cut(l.others("pi-2")...))
		time.Sleep(long)
		f.tally(t)
		must(t, l.net.Heal())
		begun := time.Now()
		for {
			if got := f.tally(t); got.Lost < got.Sent {
				break
			}
			if time.Since(begun) > time.Minute {
				t.Fatalf("not back after a minute\n%s", l.words())
			}
		}
		t.Logf("partition of %v: back within %v", long, time.Since(begun).Round(100*time.Millisecond))
		if took := time.Since(begun); took > 35*time.Second {
			t.Errorf("back after %v is more than 35 s", took)
		}
	}
}

// TestEverythingGone kills both hubs, and nobody tells anybody anything new any more.
// Edges of one site go on, and one that reboots comes back with what its daemon has
// kept.
func TestEverythingGone(t *testing.T) {
	begin(t)
	l := build(t, 2, 2)
	l.neighbours(t)
	f := l.flow(t, "pi-1", "pi-2")
	for _, edge := range []string{"pi-1", "pi-2"} {
		l.hosts[edge].facts(t, direct)
	}
	f.tally(t)
	for _, hub := range []string{"c1", "c2"} {
		l.hosts[hub].kill(t)
	}
	time.Sleep(5 * time.Second)
	if got := f.tally(t); got.Lost > 0 {
		t.Errorf("with both hubs dead, %+v\n%s", got, l.words())
	}
	edge := l.hosts["pi-2"]
	edge.kill(t)
	path, err := program()
	must(t, err)
	down := edge.Under(path, "teardown", "--state", edge.dir, "--interface", edge.stem)
	if out, err := exec.Command(down[0], down[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f.tally(t)
	edge.start(t) // its daemon tells it what it has kept
	begun := time.Now()
	for {
		if got := f.tally(t); got.Lost < got.Sent {
			break
		}
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("the edge that rebooted is not back after 30 s\n%s", l.words())
		}
	}
	took := time.Since(begun)
	t.Logf("rebooted with nobody to ask: back within %v", took.Round(100*time.Millisecond))
	if took > 10*time.Second {
		t.Errorf("%v is more than 10 s\n%s", took, l.words())
	}
}

// direct reports whether packets go to another edge directly.
func direct(f meshnet.Facts) bool {
	return slices.ContainsFunc(f.Report.Links, func(l mesh.Link) bool { return strings.HasPrefix(l.Peer, "pi-") && l.Up })
}

// neighbours makes all edges one site, whose members know each other's addresses.
func (l *lab) neighbours(t *testing.T) {
	t.Helper()
	l.tell(t, func(m *mesh.Map) {
		for i := range m.Nodes {
			if n := &m.Nodes[i]; n.Hub == nil {
				n.Site, n.Endpoints = "home", []mesh.Endpoint{{Kind: mesh.LAN, Address: l.hosts[n.Name].Address + ":51820"}}
			}
		}
	})
}

// TestRotation changes the key of an edge, again and again, and loses nothing; also over
// cables that delay by 15 to 25 ms each way, where the kernel can make them do so.
func TestRotation(t *testing.T) {
	begin(t)
	l := build(t, 2, 2)
	if os.Getenv(backendEnv) == "kernel" {
		for _, name := range l.names {
			l.hosts[name].tell(t, "tc", "qdisc", "replace", "dev", "eth0", "root", "netem", "delay", "20ms", "5ms")
		}
	}
	f := l.flow(t, "pi-1", "pi-2")
	for _, edge := range []string{"pi-1", "pi-2"} {
		l.hosts[edge].facts(t, func(f meshnet.Facts) bool {
			return len(f.Report.Links) == 2 && f.Report.Links[0].Up && f.Report.Links[1].Up
		})
	}
	for generation := range uint64(either(1, 20)) {
		f.tally(t)
		edge := l.hosts["pi-1"]
		ring, err := edge.ring.Next(generation + 2)
		must(t, err)
		edge.ring = ring
		keys := ring.Public()
		l.keys(t, "pi-1", keys)
		edge.within(t, time.Minute, func(f meshnet.Facts) bool { return f.Generation == generation+2 })
		edge.ring = ring.Settled()
		l.keys(t, "pi-1", keys[1:])
		time.Sleep(2 * time.Second)
		got := f.tally(t)
		t.Logf("key of generation %d: %+v", keys[1].Generation, got)
		if got.gone() > 0 {
			t.Errorf("a new key lost %d of %d packets\n%s", got.gone(), got.Sent, l.words())
		}
	}
}

// keys puts the keys of a node into the map.
func (l *lab) keys(t *testing.T, name string, keys []mesh.Key) {
	t.Helper()
	l.tell(t, func(m *mesh.Map) {
		for i := range m.Nodes {
			if m.Nodes[i].Name == name {
				m.Nodes[i].Keys = keys
			}
		}
	})
}

// TestRevoked takes an edge out of the map: the hubs cut it off, whatever it does.
func TestRevoked(t *testing.T) {
	begin(t)
	l := build(t, 2, 2)
	f := l.flow(t, "pi-1", "pi-2")
	f.tally(t)
	l.names = slices.DeleteFunc(l.names, func(n string) bool { return n == "pi-2" }) // which is told nothing
	l.tell(t, func(m *mesh.Map) {
		m.Nodes = slices.DeleteFunc(m.Nodes, func(n mesh.Node) bool { return n.Name == "pi-2" })
		m.Revoked = []mesh.PublicKey{l.hosts["pi-2"].ring.Newest().Private.Public()}
	})
	time.Sleep(5 * time.Second)
	first := f.tally(t)
	time.Sleep(2 * time.Second)
	rest := f.tally(t)
	t.Logf("revoked: cut off after %v", 5*time.Second-time.Duration(first.Lost)*flowEvery)
	if rest.Lost < rest.Sent || first.Lost == 0 {
		t.Errorf("5 s after it was revoked an edge still talks: %+v, %+v\n%s", first, rest, l.words())
	}
}

// TestBlackHole gives edges of one site addresses where nobody is: the way through
// the hub does not suffer (notes of the wesher and KubeSpan kind of fault: allowed
// addresses move at once, handshake or not).
func TestBlackHole(t *testing.T) {
	begin(t)
	l := build(t, 2, 2)
	f := l.flow(t, "pi-1", "pi-2")
	f.tally(t)
	l.tell(t, func(m *mesh.Map) {
		for i := range m.Nodes {
			if n := &m.Nodes[i]; n.Hub == nil {
				n.Site, n.Endpoints = "home", []mesh.Endpoint{{Kind: mesh.LAN, Address: l.net.Gateway() + ":51999"}, {Kind: mesh.LAN, Address: "198.51.100.7:51820"}}
			}
		}
	})
	time.Sleep(12 * time.Second)
	if got := f.tally(t); got.Lost > 0 {
		t.Errorf("direct paths that cannot work: %+v\n%s", got, l.words())
	}
	l.neighbours(t)
	l.hosts["pi-1"].within(t, 40*time.Second, direct)
	if got := f.tally(t); got.Lost > 0 {
		t.Errorf("a direct path that works: %+v\n%s", got, l.words())
	}
}
