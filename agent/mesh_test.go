package agent

import (
	"maps"
	"testing"

	"primespark/shared/mesh"
)

func TestLinkFields(t *testing.T) {
	links := []mesh.Link{{Peer: "c1", Up: true, RTT: 20, Loss: 0.25}, {Peer: "c2", Up: true, RTT: 3}}
	for name, test := range map[string]struct {
		report mesh.Report
		want   map[string]float64
	}{
		"no tunnels":       {mesh.Report{}, nil},
		"by a hub":         {mesh.Report{Hub: "c1", Links: links}, map[string]float64{"rtt_seconds": 0.02, "loss": 0.25}},
		"by the other":     {mesh.Report{Hub: "c2", Links: links}, map[string]float64{"rtt_seconds": 0.003, "loss": 0}},
		"nobody answers":   {mesh.Report{Hub: "c1", Links: []mesh.Link{{Peer: "c1", RTT: 20, Loss: 0.5}}}, map[string]float64{"loss": 1}},
		"not yet anywhere": {mesh.Report{Links: []mesh.Link{{Peer: "c1"}}}, map[string]float64{"loss": 1}},
	} {
		if got := linkFields(test.report); !maps.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
