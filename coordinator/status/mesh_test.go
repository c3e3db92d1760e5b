package status

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/goldentest"
	"primespark/shared/mesh"
	"primespark/shared/wire"
)

// TestMeshPage pins the page: with nobody, with some trouble, and of a node whose
// words are a script.
func TestMeshPage(t *testing.T) {
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	hub := func(name string, draining bool) wire.MeshNodeBody {
		return wire.MeshNodeBody{Name: name, Role: fleet.Coordinator, Address: netip.MustParseAddr("fd00::1"), Hub: &mesh.Hub{Draining: draining}, Report: &mesh.Report{Version: 17}}
	}
	node := func(name string, r *mesh.Report) wire.MeshNodeBody {
		return wire.MeshNodeBody{Name: name, Role: fleet.Agent, Address: netip.MustParseAddr("fd00::2"), Report: r}
	}
	some := wire.MeshViewBody{
		Version: 17, Prefix: netip.MustParsePrefix("fd6d:7a4e:7e2d::/48"),
		Nodes: []wire.MeshNodeBody{
			hub("c1", false), hub("c2", true),
			node("pi-1", &mesh.Report{Version: 17, Hub: "c1", Links: []mesh.Link{
				{Peer: "c1", Up: true, Handshake: 42, RTT: 3.25, MTU: 1420}, {Peer: "c2", Up: true, RTT: 30}, {Peer: "pi-2", Up: true, RTT: 0.5}, {Peer: "pi-3", Via: "c1", Loss: 0.5},
			}}),
			node("pi-2", &mesh.Report{Version: 16, Facts: mesh.Facts{NAT: mesh.NATHard}}),
			node("pi-3", nil),
		},
		Clients: []wire.MeshClientBody{{Name: "phone", Address: netip.MustParseAddr("fd00::3"), Expires: at.Add(time.Hour), By: "token:ada"}},
	}
	hostile := wire.MeshViewBody{Version: 1, Nodes: []wire.MeshNodeBody{
		node("<script>alert(1)</script>", &mesh.Report{Version: 1, Facts: mesh.Facts{Fault: "</svg><script>alert(2)</script>"}, Links: []mesh.Link{{Peer: "<script>alert(1)</script>", Up: true}, {Peer: "\"><script>"}}}),
	}}
	for name, m := range map[string]wire.MeshViewBody{"empty": {}, "some": some, "hostile": hostile} {
		var b bytes.Buffer
		if err := RenderMesh(&b, MeshView{Self: "c1", At: at, Version: "1.0", Cluster: "home", Mesh: m}, Reader{Role: "viewer"}); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.String(), "<script>alert") {
			t.Errorf("%s: a node's words are run", name)
		}
		goldentest.Compare(t, "mesh-"+name+".html", b.Bytes())
	}
}

// TestMeshOfMany draws no more than a page bears.
func TestMeshOfMany(t *testing.T) {
	var v MeshView
	for i := range 1000 {
		name := fmt.Sprintf("n-%d", i)
		v.Mesh.Nodes = append(v.Mesh.Nodes, wire.MeshNodeBody{Name: name, Report: &mesh.Report{Links: []mesh.Link{{Peer: "n-0", Up: true}, {Peer: "n-999", Up: true}}}})
	}
	if len(v.Spots()) != meshMost || len(v.Threads()) != meshMost || v.More() != 1000-meshMost || len(v.Rows()) != 2000 {
		t.Errorf("%d spots, %d threads, %d more", len(v.Spots()), len(v.Threads()), v.More())
	}
}
