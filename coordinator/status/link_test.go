package status

import (
	"math"
	"testing"

	"primespark/shared/mesh"
	"primespark/shared/wire"
)

func TestLink(t *testing.T) {
	hub := mesh.Link{Peer: "c1", Up: true, Handshake: 30}
	idle := mesh.Link{Peer: "c2", Up: true, Handshake: 1000}
	relayed := mesh.Link{Peer: "pi-2", Up: true, Via: "c1", Handshake: 30}
	dead := mesh.Link{Peer: "pi-3"}
	for name, test := range map[string]struct {
		links                  []mesh.Link
		words, tone, handshake string
	}{
		"none":            {nil, "no links", "bad", ""},
		"direct":          {[]mesh.Link{idle, hub}, "2 direct", "", "handshake < 3 min ago"},
		"relayed":         {[]mesh.Link{relayed}, "1 relayed", "", ""},
		"all kinds":       {[]mesh.Link{hub, idle, relayed, dead}, "2 direct, 1 relayed, 1 down", "warn", "handshake < 3 min ago"},
		"down":            {[]mesh.Link{dead, dead}, "down", "bad", ""},
		"an old one":      {[]mesh.Link{{Peer: "c1", Up: true, Handshake: 600}}, "1 direct", "", "handshake 10 min ago"},
		"not shaken":      {[]mesh.Link{{Peer: "c1", Up: true}}, "1 direct", "", ""},
		"what cannot be":  {[]mesh.Link{{Peer: "c1", Up: true, Handshake: math.Inf(1)}}, "1 direct", "", ""},
		"nor can be this": {[]mesh.Link{{Peer: "c1", Up: true, Handshake: -1}}, "1 direct", "", ""},
	} {
		v := &MeshView{Mesh: wire.MeshViewBody{Nodes: []wire.MeshNodeBody{{Name: "pi-1", Report: &mesh.Report{Hub: "c1", Links: test.links}}, {Name: "pi-2"}}}}
		all := v.links()
		l := all["pi-1"]
		if l.Words() != test.words || l.Tone() != test.tone || l.Handshake() != test.handshake {
			t.Errorf("%s: %q %q %q, want %q %q %q", name, l.Words(), l.Tone(), l.Handshake(), test.words, test.tone, test.handshake)
		}
		if silent, stranger := all["pi-2"].Words(), all["pi-3"].Words(); silent != "unknown" || stranger != "–" {
			t.Errorf("one that tells nothing: %q, one that is not in it: %q", silent, stranger)
		}
	}
}
