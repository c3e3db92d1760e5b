package status

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/watch"
	"primespark/shared/wire"
)

// crowd is a view of many agents.
func crowd(n int, at time.Time) View {
	v := View{Self: "c1", At: at, Kept: &Rows{}}
	for i := range n {
		v.Nodes = append(v.Nodes, wire.NodeBody{
			Name: fmt.Sprintf("pi-%04d", i), Role: fleet.Agent, State: "approved", Version: "1.0", Liveness: fleet.Alive, Since: at, LastSeen: at,
			Ready: true, CPU: 0.25, Memory: 0.5, Models: []fleet.Serving{{Name: "blazeface", Version: "1", Backend: "builtin", Millis: 6.5}},
		})
	}
	return v
}

// TestKeptRows holds a page whose rows were kept to one whose rows were not.
func TestKeptRows(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	kept := crowd(3, at)
	for name, change := range map[string]func(*wire.NodeBody, *View){
		"nothing":       func(*wire.NodeBody, *View) {},
		"charge":        func(n *wire.NodeBody, _ *View) { n.Power = fleet.Power{Source: fleet.Battery, Charge: new(0.5)} },
		"another model": func(n *wire.NodeBody, _ *View) { n.Models = []fleet.Serving{{Name: "<b>"}} },
		"beats":         func(n *wire.NodeBody, v *View) { v.Beats = map[string]Beats{n.Name: "ox"} },
		"pending":       func(n *wire.NodeBody, _ *View) { n.State = "pending" },
		"dead":          func(n *wire.NodeBody, _ *View) { n.Liveness = fleet.Dead },
		"an hour later": func(n *wire.NodeBody, v *View) { n.Liveness = fleet.Dead; v.At = v.At.Add(time.Hour) },
		"later":         func(_ *wire.NodeBody, v *View) { v.At = v.At.Add(time.Minute) },
	} {
		v := kept
		v.Nodes = slices.Clone(kept.Nodes)
		change(&v.Nodes[1], &v)
		plain := v
		plain.Kept = nil
		for _, operate := range []bool{false, true, false} {
			with, err := cut(Shown{v, operate})
			without, failed := cut(Shown{plain, operate})
			if err != nil || failed != nil || with.whole() != without.whole() {
				t.Errorf("%s: the page with kept rows differs from one without, %v", name, errors.Join(err, failed))
			}
		}
	}
}

// BenchmarkCrowd makes the page of 1000 agents, of which 100 have changed since the
// last one; and with nothing kept.
func BenchmarkCrowd(b *testing.B) {
	for name, keep := range map[string]bool{"kept": true, "anew": false} {
		b.Run(name, func(b *testing.B) {
			v := crowd(1000, time.Now())
			if !keep {
				v.Kept = nil
			}
			b.ReportAllocs()
			for b.Loop() {
				for i := range 100 {
					v.Nodes[10*i].CPU += 1e-9
				}
				if _, err := cut(Shown{v, false}); err != nil {
					b.Fatal(err)
				}
			}
		})
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
			Stream(nil, &sink{header: http.Header{}, sent: sent}, r, sheets, false, func() bool { return true })
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
