package meshnet

import (
	"context"
	"log/slog"
	"net"
	"strconv"
	"strings"

	"primespark/shared/mesh"
	"primespark/shared/overlay"
	"primespark/shared/run"
)

// Tunnels has the helper build what a member's map says, and tells the member how it
// fares.
type Tunnels struct {
	member *overlay.Member
	client *Client
	wanted Wanted // but for the map, the keys and the hints
	log    *slog.Logger
}

// NewTunnels attaches the helper of this host to a member. ports are those of its
// daemon.
func NewTunnels(m *overlay.Member, self string, s overlay.Settings, ports Ports, log *slog.Logger) *Tunnels {
	t := &Tunnels{member: m, client: NewClient(s.Socket, log), wanted: Wanted{Self: self, Ports: ports, Listen: uint16(s.Port), Quiet: !s.AdvertiseLAN}, log: log}
	m.Attach(t)
	return t
}

// Run tells the helper each change until ctx ends. The tunnels outlive it.
func (t *Tunnels) Run(ctx context.Context) error {
	return run.All(ctx, t.client, run.Func("clashes of the mesh", t.clashes), run.Func("wishes of the mesh", func(ctx context.Context) error {
		for {
			net, changed := t.member.Net().Load()
			w := t.wanted
			w.Map, w.Ring = net.Map, net.Ring
			for _, h := range net.Hints {
				w.Sightings = append(w.Sightings, h.Sighting)
			}
			t.client.Want(w)
			select {
			case <-changed:
			case <-ctx.Done():
				return nil
			}
		}
	}))
}

// clashes tells the operator of this daemon when the mesh is refused on this host, and
// when no longer: it would take the place of a network that is there already.
func (t *Tunnels) clashes(ctx context.Context) error {
	was := ""
	for {
		facts, changed := t.client.Facts()
		switch is := facts.Report.Facts.Clash; {
		case is == was:
		case is == "":
			t.log.Info("the mesh overlaps no network of this host any more, and is built")
		default:
			t.log.Error("the mesh is refused on this host, which is not in it", "err", is, "remedy", "give the other network other addresses; prime-spark-agent doctor tells more")
		}
		was = facts.Report.Facts.Clash
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// String names the part in logs.
func (*Tunnels) String() string { return "tunnels of the mesh" }

// Report is what this node sees of the mesh; the fault is in it if the helper does
// not answer.
func (t *Tunnels) Report() mesh.Report {
	facts, _ := t.client.Facts()
	if err := t.client.Fault(); err != nil {
		return mesh.Report{Facts: mesh.Facts{Fault: Cut(err.Error())}}
	}
	return facts.Report
}

// Settled reports whether no tunnel uses a key older than that of a generation; that of
// a guest none does.
func (t *Tunnels) Settled(generation uint64) bool {
	facts, _ := t.client.Facts()
	return t.client.Fault() == nil && (facts.Host != "" || facts.Generation >= generation)
}

// Host is the member on this host whose tunnels this one uses; empty if it has its
// own. It is known when the helper has told of this member.
func (t *Tunnels) Host() (member string, known bool) {
	facts, _ := t.client.Facts()
	return facts.Host, facts.Self == t.wanted.Self
}

// Cut bounds a text for a report.
func Cut(s string) string {
	const most = 500 // bytes; a report takes 512
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// PortOf is the port of an address to listen on, as in :7480; 0 without one.
func PortOf(listen string) uint16 {
	_, text, err := net.SplitHostPort(listen)
	if err != nil {
		return 0
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0
	}
	return uint16(port)
}
