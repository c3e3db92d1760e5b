package status

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/mesh"
	"primespark/shared/watch"
	"primespark/shared/wire"
)

// crowd is a view of many agents, no two of which are alike: each has its load and its
// heat, a battery that was used now and then, and links in the mesh.
func crowd(n int, at time.Time) View {
	random := rand.New(rand.NewPCG(1, 2))
	v := View{
		Self: "c1", At: at, Beats: map[string]Beats{}, Trends: map[string]Trend{}, Mesh: &MeshView{Brief: true, Mesh: wire.MeshViewBody{Version: 1}},
		Status: wire.StatusBody{Cluster: "home", Mode: fleet.Normal, Leader: "c1", Coordinators: group("c1"), Summary: wire.Summary{Sentence: "All are healthy."}},
	}
	for i := range n {
		name := fmt.Sprintf("pi-%04d", i)
		charge := 0.5 + random.Float64()/2
		v.Nodes = append(v.Nodes, wire.NodeBody{
			Name: name, Role: fleet.Agent, State: "approved", Version: "1.0", Liveness: fleet.Alive, Since: at, LastSeen: at, Ready: true,
			CPU: random.Float64(), Memory: random.Float64(), Temperature: new(40 + 30*random.Float64()), Power: fleet.Power{Source: fleet.Mains, Charge: &charge},
			Models: []fleet.Serving{{Name: "blazeface", Version: "1", Backend: "builtin", Millis: 5 + 5*random.Float64()}}, InFlight: random.IntN(4), Queue: random.IntN(4),
		})
		v.Beats[name] = Beats(strings.Repeat("o", 30))
		if i%10 == 0 { // each tenth was away for a while
			gone := random.IntN(25)
			v.Beats[name] = Beats(strings.Repeat("o", gone) + "xxx" + strings.Repeat("o", 27-gone))
		}
		trend := make([]byte, trendKept)
		for j := range trend {
			trend[j] = mark(charge)
			if charge += (random.Float64() - 0.4) / 5; random.IntN(4) > 0 {
				charge = min(charge, 1) // full, and stays so
			}
		}
		v.Trends[name] = Trend(trend)
		v.Mesh.Mesh.Nodes = append(v.Mesh.Mesh.Nodes, wire.MeshNodeBody{Name: name, Role: fleet.Agent, Report: &mesh.Report{Version: 1, Hub: "c1", Links: []mesh.Link{
			{Peer: "c1", Up: true, Handshake: 300 * random.Float64()}, {Peer: "c2", Up: random.IntN(10) > 0, Handshake: 60}, {Peer: "pi-0000", Up: true, Via: "c1"},
		}}})
	}
	return v
}

// BenchmarkCrowd makes all that changes of the page of 1000 agents.
func BenchmarkCrowd(b *testing.B) {
	v := crowd(1000, time.Now())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := cut(Shown{v, false}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReaders is what a change of one agent of ten costs with 200 pages open: made
// once, and sent to each. At two changes a second, "%core" is the part of a processor
// that they take together, without TLS.
func BenchmarkReaders(b *testing.B) {
	const readers = 200
	v := crowd(10, time.Now())
	sheets := watch.New(NewSheet(v))
	ctx, cancel := context.WithCancel(b.Context())
	var open sync.WaitGroup
	sent := make(chan struct{}, readers)
	for range readers {
		open.Go(func() {
			r := httptest.NewRequestWithContext(ctx, "GET", "/page/stream", nil)
			Stream(nil, &sink{header: http.Header{}, sent: sent}, r, sheets, nil, false, func() bool { return true })
		})
	}
	wait := func() {
		for range readers {
			<-sent
		}
	}
	wait()
	b.ReportAllocs()
	for b.Loop() {
		next := v
		next.Nodes = slices.Clone(v.Nodes)
		next.Nodes[0].CPU = 0.6 - v.Nodes[0].CPU
		v = next
		sheets.Store(NewSheet(v))
		wait()
	}
	b.ReportMetric(100*2*b.Elapsed().Seconds()/float64(b.N), "%core")
	cancel()
	open.Wait()
}

// A sink takes what is sent to a browser, and tells of each flush.
type sink struct {
	header http.Header
	sent   chan<- struct{}
}

func (s *sink) Header() http.Header            { return s.header }
func (*sink) Write(b []byte) (int, error)      { return len(b), nil }
func (*sink) WriteHeader(int)                  {}
func (s *sink) Flush()                         { s.sent <- struct{}{} }
func (*sink) SetWriteDeadline(time.Time) error { return nil }
