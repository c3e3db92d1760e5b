package status

import (
	"context"
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
	v := View{Self: "c1", At: at}
	for i := range n {
		v.Nodes = append(v.Nodes, wire.NodeBody{
			Name: fmt.Sprintf("pi-%04d", i), Role: fleet.Agent, State: "approved", Version: "1.0", Liveness: fleet.Alive, Since: at, LastSeen: at,
			Ready: true, CPU: 0.25, Memory: 0.5, Models: []fleet.Serving{{Name: "blazeface", Version: "1", Backend: "builtin", Millis: 6.5}},
		})
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
