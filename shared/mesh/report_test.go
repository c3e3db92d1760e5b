package mesh_test

import (
	"strings"
	"testing"

	"primespark/shared/mesh"
)

func TestReport(t *testing.T) {
	good := func() mesh.Report {
		return mesh.Report{
			Version: 7, Hub: "c1", MTU: 1280,
			Links:     []mesh.Link{{Peer: "pi-2", Via: "c1", Up: true, Handshake: 12, RTT: 3.5, Loss: 0.25, MTU: 1280}},
			Sightings: []mesh.Sighting{{Node: "pi-1", Endpoint: "203.0.113.9:4711"}},
			Facts:     mesh.Facts{Backend: mesh.Kernel, NAT: mesh.NATHard, Blocked: []string{"c2"}},
		}
	}
	if err := good().Check(); err != nil {
		t.Error(err)
	}
	large := good()
	for len(large.Links) < 2*mesh.MaxLinks {
		large.Links = append(large.Links, large.Links...)
	}
	if b := large.Bounded(); len(b.Links) != mesh.MaxLinks || b.Hub != "c1" {
		t.Errorf("%d links are left", len(b.Links))
	}
	for name, breakIt := range map[string]func(*mesh.Report){
		"a hub that is a script":   func(r *mesh.Report) { r.Hub = "<script>" },
		"a peer that is a script":  func(r *mesh.Report) { r.Links[0].Peer = "<script>" },
		"a loss above all":         func(r *mesh.Report) { r.Links[0].Loss = 1.5 },
		"a time before":            func(r *mesh.Report) { r.Links[0].RTT = -1 },
		"too many links":           func(r *mesh.Report) { r.Links = make([]mesh.Link, mesh.MaxLinks+1) },
		"a sighting of nowhere":    func(r *mesh.Report) { r.Sightings[0].Endpoint = "home" },
		"a long text":              func(r *mesh.Report) { r.Facts.Fault = strings.Repeat("x", 600) },
		"a blocked hub of no name": func(r *mesh.Report) { r.Facts.Blocked = []string{""} },
	} {
		r := good()
		breakIt(&r)
		if r.Check() == nil {
			t.Errorf("%s was believed", name)
		}
		if b := r.Bounded(); b.Check() != nil || b.Version != 7 {
			t.Errorf("%s: bounded to %+v", name, b)
		}
	}
}
