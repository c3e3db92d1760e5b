package mesh_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"primespark/scripts/lab/guest"
	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/identity/identitytest"
	"primespark/shared/mesh"
	"primespark/shared/meshnet"
)

// A site is whole machines, each with its own kernel and that one's WireGuard.
type site struct {
	t     *testing.T
	ctx   context.Context
	now   mesh.Map
	boxes map[string]*box
	names []string
}

type box struct {
	*guest.Machine

	ring mesh.Ring
	node mesh.Node
	in   string // what commands of the mesh are run under, as in ip netns exec home
}

// slowly is what all cables of a site do: 15 to 25 ms each way, and one packet of 500
// is lost.
const slowly = "tc qdisc replace dev vec0 root netem delay 20ms 5ms loss 0.2%"

// newSite boots hubs c1, c2 and edges pi-1, pi-2 side by side, and starts the mesh on
// them.
func newSite(t *testing.T, ctx context.Context) *site {
	t.Helper()
	run, lan := lanOf(t, ctx)
	path, err := program()
	must(t, err)
	test := filepath.Join(run.Dir, "machines.test")
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-ldflags", "-s -w", "-o", test, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cluster := identitytest.New(t, "home")
	s := &site{t: t, ctx: ctx, boxes: map[string]*box{}, now: mesh.Map{Cluster: "home", Prefix: mesh.Prefix(identity.CAHash(cluster.CA))}}
	var booting sync.WaitGroup
	faults := make(chan error, 4)
	for i, name := range []string{"c1", "c2", "pi-1", "pi-2"} {
		b := &box{}
		b.Machine, err = lan.Machine(name)
		must(t, err)
		must(t, b.Put(test, "mesh.test"))
		must(t, b.Put(path, "prime-spark-mesh"))
		b.ring, err = mesh.NewRing()
		must(t, err)
		n := mesh.Node{Name: name, Role: fleet.Agent, Keys: b.ring.Public(), Site: "barn", Endpoints: []mesh.Endpoint{{Kind: mesh.LAN, Address: b.Address + ":51820"}}}
		if strings.HasPrefix(name, "c") {
			n.Role, n.Hub, n.Site = fleet.Coordinator, &mesh.Hub{Priority: 10 - i}, ""
			n.Endpoints = []mesh.Endpoint{{Kind: mesh.Static, Address: b.Address + ":51820"}}
		}
		n.ID = mesh.URI("home", n.Role, name)
		n.Address = mesh.NodeHost(n.Role, n.ID).In(s.now.Prefix)
		b.node = n
		s.boxes[name], s.names = b, append(s.names, name)
		booting.Go(func() { faults <- b.Boot(ctx) })
	}
	booting.Wait()
	for range s.names {
		must(t, <-faults)
	}
	for _, name := range s.names {
		s.sh(name, slowly)
		s.sh(name, marks+" >/lab/before") // which outlives the machine's power
		s.begin(name)
	}
	return s
}

// sh runs a script on a machine.
func (s *site) sh(name, script string) string {
	s.t.Helper()
	out, err := s.boxes[name].Sh(s.ctx, script)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// begin starts prime-spark-mesh and who plays its daemon.
func (s *site) begin(name string) {
	s.t.Helper()
	in := s.boxes[name].in
	s.sh(name, "rm -f /lab/facts; "+in+" setsid /lab/prime-spark-mesh run --state /var/lib/mesh --socket "+helperAt+" --wireguard kernel --log text >>/lab/log 2>&1 & echo $! >/run/mesh.pid\n"+
		flowEnv+"=daemon setsid /lab/mesh.test >>/lab/log 2>&1 &\nexit 0")
}

// tell changes the map and tells it to all, with what hubs have seen.
func (s *site) tell(change func(*mesh.Map), seen ...mesh.Sighting) {
	s.t.Helper()
	s.now.Version++
	s.now.Nodes = nil
	for _, name := range s.names {
		s.now.Nodes = append(s.now.Nodes, s.boxes[name].node)
	}
	if change != nil {
		change(&s.now)
	}
	must(s.t, s.now.Check())
	for _, name := range s.names {
		b, err := json.Marshal(meshnet.Wanted{Self: name, Map: s.now, Ring: s.boxes[name].ring, Sightings: seen, Ports: meshnet.Ports{API: flowPort, Gossip: flowPort}, Quiet: true})
		must(s.t, err)
		must(s.t, os.WriteFile(s.boxes[name].Shared("wish"), b, 0o600))
	}
}

// until waits for facts of a machine.
func (s *site) until(name string, limit time.Duration, ok func(meshnet.Facts) bool) meshnet.Facts {
	s.t.Helper()
	var f meshnet.Facts
	for begun := time.Now(); time.Since(begun) < limit; time.Sleep(50 * time.Millisecond) {
		if s.sees(name, func(now meshnet.Facts) bool { f = now; return ok(now) }) {
			return f
		}
	}
	var words strings.Builder
	for _, name := range s.names {
		log, _ := os.ReadFile(s.boxes[name].Shared("log")) // says more, if it is there
		fmt.Fprintf(&words, "%s:\n%s\n%s", name, log, s.sh(name, s.boxes[name].in+" wg show all dump | cut -f 1,2,4-; ip -br link; ps ax | grep [/]lab/"))
	}
	s.t.Fatalf("%s: not within %v; its facts are %+v\n%s", name, limit, f, words.String())
	return f
}

// stall is what a machine that waits for its processor may lose of a flow.
const stall = 100 * time.Millisecond

// together waits until both edges are at one hub and see both hubs up, and returns it.
// Each goes back to the preferred one in its own time.
func (s *site) together() (hub string) {
	s.t.Helper()
	well := func(f meshnet.Facts) bool {
		up := 0
		for _, l := range f.Report.Links {
			if l.Up && strings.HasPrefix(l.Peer, "c") {
				up++
			}
		}
		return f.Report.Hub != "" && up == 2
	}
	s.until("pi-1", 5*time.Minute, func(f meshnet.Facts) bool {
		hub = f.Report.Hub
		return well(f) && s.sees("pi-2", func(other meshnet.Facts) bool { return well(other) && other.Report.Hub == hub })
	})
	return hub
}

// flow begins a flow from pi-1 to pi-2.
func (s *site) flow() {
	s.t.Helper()
	s.echo()
	s.sh("pi-1", "rm -f /tmp/ask /tmp/out; : >/tmp/ask; (tail -n +1 -f /tmp/ask | "+s.boxes["pi-1"].in+" env "+flowEnv+"="+s.boxes["pi-2"].node.Address.String()+" setsid /lab/mesh.test >/tmp/out 2>>/lab/log) >/dev/null 2>&1 &\nexit 0")
	for range 40 {
		if got := s.tally(); got.Lost < got.Sent {
			return
		}
	}
	s.t.Fatal("no packet comes back")
}

func (s *site) echo() {
	s.t.Helper()
	s.sh("pi-2", s.boxes["pi-2"].in+" env "+flowEnv+"=echo setsid /lab/mesh.test >>/lab/log 2>&1 &\nexit 0")
}

// tally is what became of the flow's packets since it was asked last.
func (s *site) tally() (got tally) {
	s.t.Helper()
	out := s.sh("pi-1", `n=$(wc -l </tmp/out 2>/dev/null || echo 0); echo >>/tmp/ask; for i in $(seq 600); do [ $(wc -l </tmp/out) -gt $n ] && break; sleep 0.1; done; tail -n 1 /tmp/out`)
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		s.t.Fatalf("%v: %q", err, out)
	}
	return got
}

// marks is what a host has of a mesh, or of none. Its interfaces have other Ethernet
// addresses after each boot.
const marks = "{ ip -o link | awk '{ print $2, $3 }'; ip -o address | grep -v 'scope link'; ip rule; ip -6 rule; ip -6 route show table 51820; ip route show table 51820; nft list tables; sysctl net.ipv6.conf.all.forwarding; }"

// TestMachines has four machines with kernels of their own, over cables that delay and
// lose: hubs that are cut off, lose power or forward nothing, an edge cut off, all hubs
// gone and an edge that reboots, and what is left at the end.
func TestMachines(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 35*time.Minute)
	defer cancel()
	s := newSite(t, ctx)
	for _, name := range []string{"pi-1", "pi-2"} { // no direct path yet
		s.boxes[name].node.Site, s.boxes[name].node.Endpoints = "", nil
	}
	s.tell(nil)
	s.together()
	s.flow()
	s.tally()
	time.Sleep(5 * time.Second)
	peace := s.tally()
	t.Logf("in peace: %+v", peace)
	for _, name := range []string{"c1", "pi-1"} {
		t.Logf("memory of prime-spark-mesh at %s: %s", name, strings.Join(strings.Fields(s.sh(name, "grep VmRSS /proc/$(pgrep -f 'prime-spark-mesh run' | head -1)/status")), " "))
	}
	s.hubsFail()
	s.partitions()
	s.rotation()
	s.routers()
	s.everythingGone()
	s.teardown()
}

// hubsFail is T1: the hub that the flow goes through fails in each way.
func (s *site) hubsFail() {
	s.t.Helper()
	for _, fault := range []struct {
		name       string
		limit      time.Duration
		begin, end func(*guest.Machine) error
	}{
		{"cut", 3 * time.Second, (*guest.Machine).Unplug, (*guest.Machine).Plug},
		{"without power", 3 * time.Second, (*guest.Machine).CutPower, func(m *guest.Machine) error {
			if err := m.Boot(s.ctx); err != nil {
				return err
			}
			s.sh(m.Name, slowly)
			s.begin(m.Name)
			return nil
		}},
		{"up, not forwarding", 10 * time.Second, func(m *guest.Machine) error {
			s.sh(m.Name, "nft add table ip6 broken && nft 'add chain ip6 broken through { type filter hook forward priority -10; policy drop; }'")
			return nil
		}, func(m *guest.Machine) error { s.sh(m.Name, "nft delete table ip6 broken"); return nil }},
	} {
		var outages []time.Duration
		for range either(1, 5) {
			hub := s.together()
			s.tally()
			must(s.t, fault.begin(s.boxes[hub].Machine))
			time.Sleep(fault.limit + 2*time.Second)
			got := s.tally()
			must(s.t, fault.end(s.boxes[hub].Machine))
			outages = append(outages, got.outage())
		}
		slices.Sort(outages)
		s.t.Logf("T1, hub %s: outage of the flow %v", fault.name, outages)
		if worst := outages[len(outages)-1]; worst > fault.limit || worst == 0 {
			s.t.Errorf("hub %s: an outage of %v is none, or more than %v", fault.name, worst, fault.limit)
		}
	}
}

// partitions is T2.
func (s *site) partitions() {
	s.t.Helper()
	for _, long := range either([]time.Duration{10 * time.Second}, []time.Duration{10 * time.Second, 75 * time.Second, 10 * time.Minute}) {
		must(s.t, s.boxes["pi-2"].Unplug())
		time.Sleep(long)
		s.tally()
		must(s.t, s.boxes["pi-2"].Plug())
		s.back(fmt.Sprintf("T2, cut off for %v", long), 35*time.Second)
	}
}

// back waits for the flow, from now on.
func (s *site) back(what string, limit time.Duration) {
	s.t.Helper()
	begun := time.Now()
	for {
		if got := s.tally(); got.Lost < got.Sent {
			break
		}
		if time.Since(begun) > 2*time.Minute {
			s.t.Fatalf("%s: not back after two minutes", what)
		}
	}
	took := time.Since(begun)
	s.t.Logf("%s: back within %v", what, took.Round(100*time.Millisecond))
	if took > limit {
		s.t.Errorf("%s: back after %v is more than %v", what, took, limit)
	}
}

// rotation is T12: pi-1 changes its key twice. The cables lose nothing meanwhile; what
// a machine drops that had to wait for its processor is not held against the mesh.
// TestRotation, on one machine, allows no loss at all.
func (s *site) rotation() {
	s.t.Helper()
	for _, name := range s.names {
		s.sh(name, strings.Replace(slowly, " loss 0.2%", "", 1))
	}
	s.tally()
	time.Sleep(5 * time.Second)
	same := s.tally()
	s.t.Logf("T12, with the same key: %+v", same)
	s.together()
	edge := s.boxes["pi-1"]
	for range 2 {
		s.tally()
		ring, err := edge.ring.Next(1)
		must(s.t, err)
		edge.ring, edge.node.Keys = ring, ring.Public()
		s.tell(nil)
		want := ring.Newest().Generation
		s.until("pi-1", time.Minute, func(f meshnet.Facts) bool { return f.Generation == want })
		edge.ring, edge.node.Keys = ring.Settled(), ring.Public()[1:]
		s.tell(nil)
		time.Sleep(2 * time.Second)
		got := s.tally()
		s.t.Logf("T12, key of generation %d: %+v", want, got)
		if same.gone() == 0 && got.gone() > 0 && got.outage() > stall { // a host that loses packets of the same key tells nothing of a new one
			s.t.Errorf("a new key lost %d of %d packets, for %v", got.gone(), got.Sent, got.outage())
		}
	}
}

// everythingGone is T3: both hubs lose their power, edges of one site go on, and one
// that reboots comes back.
func (s *site) everythingGone() {
	s.t.Helper()
	for _, name := range []string{"pi-1", "pi-2"} {
		n := &s.boxes[name].node
		n.Site, n.Endpoints = "barn", []mesh.Endpoint{{Kind: mesh.LAN, Address: s.boxes[name].Address + ":51820"}}
	}
	s.tell(nil)
	for _, name := range []string{"pi-1", "pi-2"} {
		s.until(name, time.Minute, direct)
	}
	s.tally()
	for _, name := range []string{"c1", "c2"} {
		must(s.t, s.boxes[name].CutPower())
	}
	time.Sleep(5 * time.Second)
	if got := s.tally(); got.Lost > 0 {
		s.t.Errorf("T3, with both hubs dead, %+v", got)
	}
	must(s.t, s.boxes["pi-2"].CutPower())
	s.tally()
	must(s.t, s.boxes["pi-2"].Boot(s.ctx))
	s.begin("pi-2")
	s.echo()
	// 5.7 to 8.6 s while the host has processors to spare, 21 s with a load of 28: the 10 s
	// of a node are for a machine, not for the quarter of one.
	s.back("T3, rebooted with nobody to ask", 40*time.Second)
	for _, name := range []string{"c1", "c2"} {
		must(s.t, s.boxes[name].Boot(s.ctx))
		s.sh(name, slowly)
		s.begin(name)
	}
}

// teardown is T7: nothing of the mesh is left on any machine, also on those that lost
// their power meanwhile.
func (s *site) teardown() {
	s.t.Helper()
	for _, name := range s.names {
		s.sh(name, marks+" >/lab/within; ! diff /lab/before /lab/within >/dev/null") // or this shows nothing
		s.end(name)
		s.sh(name, marks+" >/lab/after; diff /lab/before /lab/after")
		s.t.Logf("T7, %s: torn down, as it was before", name)
	}
}

// end stops the mesh on a machine, and takes it down.
func (s *site) end(name string) {
	s.t.Helper()
	s.sh(name, "pkill -f mesh.test; pkill -f 'prime-spark-mesh run'; while pgrep -f 'mesh.test|prime-spark-mesh run' >/dev/null; do sleep 0.1; done; "+
		s.boxes[name].in+" /lab/prime-spark-mesh teardown --state /var/lib/mesh")
}

// sees reports whether something holds of a machine's newest facts.
func (s *site) sees(name string, ok func(meshnet.Facts) bool) bool {
	var f meshnet.Facts
	b, err := os.ReadFile(s.boxes[name].Shared("facts"))
	return err == nil && json.Unmarshal(b, &f) == nil && ok(f)
}
