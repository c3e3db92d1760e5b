package doctor

import (
	"context"
	"fmt"
	"net/netip"

	"primespark/shared/mesh"
	"primespark/shared/problem"
)

// A Mesh is this node's end of the mesh.
type Mesh struct {
	Enabled bool
	Report  *mesh.Report                 // of the running daemon; nil: none runs, or it takes no part
	Map     mesh.Map                     // that is kept; of version 0 if there is none
	Locals  func() ([]mesh.Local, error) // the host's networks, without those of the mesh
}

// Checks are those of the mesh.
func (m Mesh) Checks() []Check {
	return []Check{{"mesh", "tunnels", m.tunnels}, {"mesh", "addresses", m.addresses}}
}

// tunnels tells what the daemon has found out: the kind of NAT, whether UDP gets
// through, what runs WireGuard.
func (m Mesh) tunnels(context.Context) []Result {
	switch {
	case !m.Enabled:
		return One(OK, "The mesh is off", "")
	case m.Map.Version == 0:
		return One(Warning, "No map of the mesh is kept here: this node has not heard of a mesh yet.", "Set mesh.enabled: true on the coordinators, and see that this node reaches one: prime-spark mesh.")
	case m.Report == nil:
		return One(Info, fmt.Sprintf("Map %d of %d nodes is kept; how the tunnels are the running daemon would tell.", m.Map.Version, len(m.Map.Nodes)), "Start it: sudo systemctl start prime-spark-agent, or prime-spark-coordinator.")
	}
	var found []Result
	for _, e := range mesh.Explain(m.Report.Facts) {
		severity := Info
		if e.Bad {
			severity = Fault
		}
		found = append(found, Result{Severity: severity, Code: "mesh." + e.Code, Detail: e.Detail, Remedy: e.Remedy})
	}
	up := 0
	for _, l := range m.Report.Links {
		if l.Up {
			up++
		}
	}
	if n := len(m.Report.Links); n > 0 && up == 0 {
		found = append(found, Result{Severity: Fault, Code: "mesh.alone", Detail: fmt.Sprintf("None of the %d others that are probed answers.", n), Remedy: "See that this host has a network; if it has, UDP is blocked."})
	}
	if len(found) == 0 {
		return One(OK, fmt.Sprintf("map %d of %d nodes, %d of %d links up%s", m.Report.Version, len(m.Map.Nodes), up, len(m.Report.Links), through(m.Report.Hub)+router(m.Report.Facts.NAT)), "")
	}
	return found
}

// router tells of the kinds of NAT that are in nobody's way; mesh.Explain has the other.
func router(n mesh.NAT) string {
	switch n {
	case mesh.NATNone:
		return "; no NAT before the hubs"
	case mesh.NATEasy:
		return "; the router's NAT keeps ports, so direct paths work through it"
	}
	return ""
}

func through(hub string) string {
	if hub == "" {
		return ""
	}
	return ", through the hub " + hub
}

// addresses looks for networks of this host that clash with the mesh's.
func (m Mesh) addresses(context.Context) []Result {
	if !m.Enabled || m.Map.Version == 0 {
		return nil
	}
	locals, err := m.Locals()
	if err != nil {
		return One(Info, "The host's networks cannot be listed: "+err.Error()+".", "")
	}
	if err := m.Map.Clash(locals); err != nil {
		e := problem.Of(err)
		return []Result{{Severity: Fault, Code: "mesh.clash", Detail: e.Detail, Remedy: e.Remedy}}
	}
	return One(OK, m.Map.Prefix.String()+ipv4(m.Map.IPv4)+" overlaps no network of this host", "")
}

func ipv4(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return " and " + p.String()
}
