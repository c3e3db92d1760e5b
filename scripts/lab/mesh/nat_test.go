package mesh_test

import (
	"os"
	"slices"
	"testing"
	"time"

	"primespark/scripts/lab/machine"
	"primespark/shared/mesh"
	"primespark/shared/meshnet"
)

// TestHeard has edges that no map says the addresses of, and no hub is left to see,
// find each other in the network that they share.
func TestHeard(t *testing.T) {
	begin(t)
	l := build(t, 1, 2)
	l.hosts["c1"].kill(t)
	l.loud = true
	l.tell(t, func(*mesh.Map) {})
	begun := time.Now()
	for _, edge := range []string{"pi-1", "pi-2"} {
		l.hosts[edge].within(t, time.Minute, direct)
	}
	t.Logf("found each other after %v", time.Since(begun).Round(100*time.Millisecond))
	if got := l.flow(t, "pi-1", "pi-2").tally(t); got.Lost > got.Sent/2 {
		t.Errorf("found, and %+v", got)
	}
}

// TestNAT puts each of two edges behind a router of its own, whose networks have the
// same addresses. Direct paths work where a router keeps a port, whoever a packet
// goes to; where it does not, that is recognised, and nothing is lost by trying.
func TestNAT(t *testing.T) {
	begin(t)
	for name, test := range map[string]struct {
		at     func(string, *machine.Host) (*machine.Host, error)
		nat    mesh.NAT
		direct bool
	}{
		"plain": {func(_ string, h *machine.Host) (*machine.Host, error) { return h.Behind(false) }, mesh.NATEasy, true},
		"two routers in a row": {func(_ string, h *machine.Host) (*machine.Host, error) {
			inner, err := h.Behind(false)
			if err != nil {
				return nil, err
			}
			return inner.Behind(false)
		}, mesh.NATEasy, true},
		"another port for each": {func(_ string, h *machine.Host) (*machine.Host, error) { return h.Behind(true) }, mesh.NATHard, false},
	} {
		if name == "two routers in a row" && os.Getenv(labEnv) != "full" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			l := buildAt(t, 2, 2, test.at)
			f := l.flow(t, "pi-1", "pi-2")
			for _, edge := range []string{"pi-1", "pi-2"} { // both hubs see each
				for _, hub := range []string{"c1", "c2"} {
					l.hosts[hub].within(t, time.Minute, func(f meshnet.Facts) bool {
						return slices.ContainsFunc(f.Report.Sightings, func(s mesh.Sighting) bool { return s.Node == edge })
					})
				}
			}
			f.tally(t)
			var seen []mesh.Sighting
			for _, hub := range []string{"c1", "c2"} {
				facts, _ := l.hosts[hub].client.Facts()
				seen = append(seen, facts.Report.Sightings...)
			}
			begun := time.Now()
			for _, edge := range []string{"pi-1", "pi-2"} {
				l.want(edge, seen)
			}
			got := l.hosts["pi-1"].within(t, 10*time.Second, func(f meshnet.Facts) bool { return f.Report.Facts.NAT != mesh.NATUnknown }).Report.Facts.NAT
			if got != test.nat {
				t.Errorf("the NAT is %q, not %q: %+v", got, test.nat, seen)
			}
			if test.direct {
				l.hosts["pi-1"].within(t, 30*time.Second, direct)
				l.hosts["pi-2"].within(t, 30*time.Second, direct)
				t.Logf("direct after %v", time.Since(begun).Round(100*time.Millisecond))
			} else {
				time.Sleep(12 * time.Second)
				if facts, _ := l.hosts["pi-1"].client.Facts(); direct(facts) {
					t.Error("a direct path where none can be")
				}
			}
			if lost := f.tally(t); lost.Lost > 0 {
				t.Errorf("%+v\n%s", lost, l.words())
			}
		})
	}
}
