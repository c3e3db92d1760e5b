package status

import (
	"fmt"
	"io"
	"math"
	"time"

	"primespark/shared/mesh"
	"primespark/shared/wire"
)

// A MeshView is all that the page of the mesh shows.
type MeshView struct {
	Self    string    // the coordinator that shows it
	At      time.Time // when
	Version string    // of this coordinator
	Cluster string
	Mesh    wire.MeshViewBody
	// Brief leaves out of the drawing what changes all the time, for the page of the
	// fleet, which is streamed.
	Brief bool
}

// Sentence says how the mesh is.
func (v MeshView) Sentence() string {
	hubs, direct, relayed, down := 0, 0, 0, 0
	for _, n := range v.Mesh.Nodes {
		if n.Hub != nil {
			hubs++
		}
		if n.Report == nil {
			continue
		}
		for _, l := range n.Report.Links {
			switch {
			case !l.Up:
				down++
			case l.Via != "":
				relayed++
			default:
				direct++
			}
		}
	}
	text := fmt.Sprintf("Hubs: %d of %d nodes. Links: %d direct, %d through a hub", hubs, len(v.Mesh.Nodes), direct, relayed)
	if down > 0 {
		text += fmt.Sprintf(", %d without an answer", down)
	}
	return text + "."
}

// Tone is warn where a node sees something in the way of the mesh.
func (v MeshView) Tone() string {
	for _, n := range v.Mesh.Nodes {
		if t := toneOf(n, v.Mesh.Version); t == "bad" {
			return "warn"
		}
	}
	return "quiet"
}

// RenderMesh writes the page of the mesh for one reader.
func RenderMesh(w io.Writer, v MeshView, by Reader) error {
	return render(w, "mesh.html", struct {
		MeshView
		Reader Reader
	}{v, by})
}

// Clock and Iso are when the page was made.
func (v MeshView) Clock() string { return v.At.Format("15:04:05") }

// Iso is At for programs.
func (v MeshView) Iso() string { return v.At.Format(time.RFC3339) }

// The drawing, in pixels: hubs on an inner ring, all others on an outer one.
const (
	meshWidth, meshHeight = 720, 480
	innerRing, outerRing  = 80.0, 190.0
	meshMost              = 60 // nodes that are drawn; more are a grey ball
)

// A Spot is a node in the drawing.
type Spot struct {
	Name, Tone, Title string
	Hub               bool
	X, Y, TextY       float64
}

// A Thread is a link in the drawing.
type Thread struct {
	X1, Y1, X2, Y2 float64
	Tone, Title    string
}

// Spots are the nodes, each at its place.
func (v MeshView) Spots() []Spot {
	var hubs, others []wire.MeshNodeBody
	for _, n := range v.Mesh.Nodes[:min(len(v.Mesh.Nodes), meshMost)] {
		if n.Hub != nil {
			hubs = append(hubs, n)
		} else {
			others = append(others, n)
		}
	}
	return append(ring(hubs, innerRing, v.Mesh.Version), ring(others, outerRing, v.Mesh.Version)...)
}

// ring puts nodes on a circle, the first at its top.
func ring(nodes []wire.MeshNodeBody, radius float64, version uint64) (spots []Spot) {
	for i, n := range nodes {
		angle := 2*math.Pi*float64(i)/float64(len(nodes)) - math.Pi/2
		x, y := tenth(meshWidth/2+1.5*radius*math.Cos(angle)), tenth(meshHeight/2+radius*math.Sin(angle))
		spots = append(spots, Spot{Name: n.Name, Tone: toneOf(n, version), Title: titleOf(n), Hub: n.Hub != nil, X: x, Y: y, TextY: y + 22})
	}
	return spots
}

func tenth(v float64) float64 { return math.Round(10*v) / 10 }

// toneOf is how a node's end of the mesh is, as a class of the stylesheet.
func toneOf(n wire.MeshNodeBody, version uint64) string {
	switch {
	case n.Report == nil:
		return "off"
	case n.Report.Facts.Fault != "" || n.Report.Facts.Clash != "" || len(n.Report.Facts.Blocked) > 0:
		return "bad"
	case n.Report.Version != version || n.Hub != nil && n.Hub.Draining:
		return "warn"
	}
	return "ok"
}

func titleOf(n wire.MeshNodeBody) string {
	what := string(n.Role)
	if n.Hub != nil {
		what = "hub"
	}
	return fmt.Sprintf("%s, %s, %s", n.Name, what, n.Address)
}

// Threads are the links between nodes that are drawn: those that are direct, and of
// the others the way to the hub in between.
func (v MeshView) Threads() (all []Thread) {
	at := map[string]Spot{}
	for _, s := range v.Spots() {
		at[s.Name] = s
	}
	for _, n := range v.Mesh.Nodes {
		from, drawn := at[n.Name]
		if !drawn || n.Report == nil {
			continue
		}
		for _, l := range n.Report.Links {
			to, drawn := at[l.Peer]
			if !drawn || l.Via != "" {
				continue
			}
			tone := "idle"
			switch {
			case !l.Up:
				tone = "bad"
			case l.Peer == n.Report.Hub || !to.Hub:
				tone = "ok"
			}
			title := ""
			if !v.Brief {
				title = describe(n.Name, l)
			}
			all = append(all, Thread{from.X, from.Y, to.X, to.Y, tone, title})
		}
	}
	return all
}

// describe is a link in words.
func describe(from string, l mesh.Link) string {
	if !l.Up {
		return fmt.Sprintf("%s to %s: no answer", from, l.Peer)
	}
	return fmt.Sprintf("%s to %s: %.1f ms, %.0f %% lost", from, l.Peer, l.RTT, 100*l.Loss)
}

// A MeshRow is a link in the table.
type MeshRow struct{ Node, Peer, Via, Age, RTT, Loss, MTU, Tone string }

// Rows are the links in words.
func (v MeshView) Rows() (rows []MeshRow) {
	for _, n := range v.Mesh.Nodes {
		if n.Report == nil {
			rows = append(rows, MeshRow{Node: n.Name, Via: "It tells nothing of the mesh.", Tone: "off"})
			continue
		}
		for _, l := range n.Report.Links {
			r := MeshRow{Node: n.Name, Peer: l.Peer, Via: "direct", Tone: "bad", Loss: fmt.Sprintf("%.0f %%", 100*l.Loss)}
			if l.Via != "" {
				r.Via = l.Via
			}
			if l.Up {
				r.Tone, r.RTT = "ok", fmt.Sprintf("%.1f ms", l.RTT)
			}
			if l.Handshake > 0 {
				r.Age = time.Duration(l.Handshake * float64(time.Second)).Round(time.Second).String()
			}
			if l.MTU > 0 {
				r.MTU = fmt.Sprint(l.MTU)
			}
			rows = append(rows, r)
		}
	}
	return rows
}

// A MeshNote is what somebody should look at, and what to do about it.
type MeshNote struct{ Node, Detail, Remedy string }

// Notes are what the nodes have found out.
func (v MeshView) Notes() (notes []MeshNote) {
	for _, n := range v.Mesh.Nodes {
		if n.Report == nil {
			continue
		}
		for _, e := range mesh.Explain(n.Report.Facts) {
			notes = append(notes, MeshNote{n.Name, e.Detail, e.Remedy})
		}
	}
	return notes
}

// Width, Height and More are for the drawing.
func (MeshView) Width() int { return meshWidth }

// Height is that of the drawing.
func (MeshView) Height() int { return meshHeight }

// More is how many nodes are not drawn.
func (v MeshView) More() int { return max(0, len(v.Mesh.Nodes)-meshMost) }
