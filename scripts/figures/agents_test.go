package figures_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"testing"
	"time"

	"primespark/agent/infer"
	"primespark/agent/models/blazeface"
	"primespark/shared/load"
	"primespark/shared/oip"
	"primespark/shared/rig"
)

// clientsEach is how many requests there are under way for each agent: one that it works
// on, one that waits, and one that is on its way.
const clientsEach = 3

// BenchmarkAgents is how many times as much six agents answer through one gateway as one
// does, all of them processes of their own on this machine, with engines that take 7 ms.
// The goal is 0.9 for each. What a request costs of processor time, in all, is what bounds
// it: so many requests a second have to find room on the cores that there are.
func BenchmarkAgents(b *testing.B) {
	var alone float64
	for _, agents := range []int{1, 2, 4, 6} {
		b.Run(fmt.Sprintf("agents=%d", agents), func(b *testing.B) {
			r := start(b, rig.Options{Coordinators: 1, Agents: agents, Fault: string(infer.Paced), Mains: true})
			for b.Loop() {
				rate := throughput(b, r)
				if agents == 1 {
					alone = rate
				}
				b.ReportMetric(rate, "answers/s")
				if alone > 0 {
					b.ReportMetric(rate/alone, "of-one")
				}
			}
		})
	}
}

// throughput has the clients ask the coordinator, and returns how many answers there are
// a second.
func throughput(b *testing.B, r *rig.Rig) float64 {
	b.Helper()
	var photo bytes.Buffer
	if err := png.Encode(&photo, image.NewGray(image.Rect(0, 0, 8, 8))); err != nil {
		b.Fatal(err)
	}
	gateway := r.Coordinators[0]
	lines := make([]*load.Line, clientsEach*len(r.Agents))
	for i := range lines {
		var err error
		lines[i], err = load.Dial(b.Context(), gateway.Loopback, http.MethodPost, oip.InferPath(blazeface.Name, ""),
			http.Header{"Authorization": {"Bearer " + r.Token()}, "Cache-Control": {"no-store"}, oip.HeaderLength: {"0"}}, photo.Bytes())
		if err != nil {
			b.Fatal(err)
		}
		defer lines[i].Close()
	}
	var agents, through time.Duration
	spent := func(sign time.Duration) {
		through += sign * used(b, gateway.PID())
		for _, n := range r.Agents {
			agents += sign * used(b, n.PID())
		}
	}
	ask := func(_ context.Context, worker int) error {
		_, _, err := lines[worker].Ask()
		return err
	}
	load.Run(b.Context(), load.Plan{Connections: len(lines), Duration: 2 * time.Second}, ask) // the agents tell how quick they are
	spent(-1)
	result := load.Run(b.Context(), load.Plan{Connections: len(lines), Duration: 8 * time.Second}, ask)
	spent(1)
	if len(result.Failed) > 0 {
		b.Fatal(result.Failed)
	}
	for name, d := range map[string]time.Duration{"gateway": through, "agents": agents} {
		b.ReportMetric(float64(d.Microseconds())/float64(result.Sent), name+"-µs/answer")
	}
	return result.Throughput()
}
