package figures_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"primespark/shared/wire"
)

// For so long each side writes at a time. What else the machine does comes and goes
// within seconds, so the turns are short and many, and the ratio is the median of
// those of each turn.
const writeTime = time.Second

// writeTurns is how often, unless TURNS says otherwise.
const writeTurns = 7

// What one write carries: a task's input, and a value of etcd.
const writeInput = `{"ms":1,"fail":"the same bytes that etcd is given as a value, no more and no less than these are"}`

// BenchmarkWritesAgainstEtcd has 1, 32 and 128 clients hand tasks in at the leader
// of three coordinators, and put values at the leader of three etcd, by turns. Each
// client has a connection of its own, without TLS; all sync to the same disk. Our
// coordinators talk to each other by mutual TLS, so there is an etcd whose members
// encrypt as well (tls), beside one as Debian starts it. What ours does besides: a
// queue instead of a map.
func BenchmarkWritesAgainstEtcd(b *testing.B) {
	for _, clients := range []int{1, 32, 128} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			sides := []*side{
				values(b, "etcd", "http"), values(b, "etcd-tls", "https", "--peer-auto-tls"),
				tasks(b), // a queue of its own: it is bounded
			}
			for _, s := range sides {
				rate(b, clients, s) // a first turn, whose rate does not count
			}
			rates := map[string][]float64{}
			for turn := range times(b, "TURNS", writeTurns) {
				for i := range sides {
					s := sides[(turn+i)%len(sides)] // nobody always comes after the same one
					rates[s.name] = append(rates[s.name], rate(b, clients, s))
				}
			}
			for _, s := range sides {
				b.ReportMetric(middle(rates[s.name]), s.name+"/s")
				b.ReportMetric(s.spent(b), s.name+"-cpu-µs")
			}
			b.ReportMetric(middle(ratios(rates["tasks"], rates["etcd"])), "ratio")
			b.ReportMetric(middle(ratios(rates["tasks"], rates["etcd-tls"])), "ratio-tls")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// A side is what clients write to, over HTTP/1.1 or 2.
type side struct {
	name string
	h2   bool
	with func(*http.Client) (write func() error)

	pids   []int         // of its processes
	writes int           // how many were done
	took   time.Duration // of the processor, for them
}

// client is one with a connection of its own.
func (s *side) client() *http.Client {
	var p http.Protocols
	p.SetHTTP1(!s.h2)
	p.SetUnencryptedHTTP2(s.h2)
	return &http.Client{
		Transport: &http.Transport{MaxConnsPerHost: 1, MaxIdleConnsPerHost: 1, Protocols: &p},
		Timeout:   20 * time.Second,
	}
}

// spent is the time of the processor that one write took, in all processes of the
// side, in µs: other than the rate it does not depend on what else the machine does.
func (s *side) spent(b *testing.B) float64 {
	b.Helper()
	return float64(s.took.Microseconds()) / float64(s.writes)
}

// processor is the time of the processor that the side's processes have taken.
func (s *side) processor(b *testing.B) (sum time.Duration) {
	b.Helper()
	for _, pid := range s.pids {
		sum += used(b, pid)
	}
	return sum
}

// middle is the median.
func middle(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

// ratios are those of two sides, turn by turn.
func ratios(ours, theirs []float64) (all []float64) {
	for i := range ours {
		all = append(all, ours[i]/theirs[i])
	}
	return all
}

// tasks starts three coordinators; a write is a task that is handed in at their leader.
func tasks(b *testing.B) *side {
	b.Helper()
	r := coordinators(b, "")
	first, _ := leader(b, r)
	s := &side{name: "tasks", with: submit(first.Loopback, `{"kind":"noop","input":`+writeInput+`}`)}
	for _, n := range r.Coordinators {
		s.pids = append(s.pids, n.PID())
	}
	return s
}

// submit returns how to hand a task in at a coordinator.
func submit(at, body string) func(*http.Client) func() error {
	return func(c *http.Client) func() error {
		return func() error {
			res, err := c.Post("http://"+at+wire.PathTasks, "application/json", strings.NewReader(body))
			if err != nil {
				return err
			}
			defer res.Body.Close()
			answer, err := io.ReadAll(res.Body)
			if err == nil && res.StatusCode != http.StatusCreated {
				err = fmt.Errorf("%s: %s", res.Status, answer)
			}
			return err
		}
	}
}

// rate is how many writes a second clients do.
func rate(b *testing.B, clients int, to *side) float64 {
	b.Helper()
	var done atomic.Int64
	var all sync.WaitGroup
	before := to.processor(b)
	start := time.Now()
	end := start.Add(writeTime)
	for range clients {
		all.Go(func() {
			c := to.client()
			defer c.CloseIdleConnections()
			write := to.with(c)
			for time.Now().Before(end) {
				if err := write(); err != nil {
					b.Errorf("%s: %v", to.name, err)
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	rate := float64(done.Load()) / time.Since(start).Seconds()
	to.writes += int(done.Load())
	to.took += to.processor(b) - before
	return rate
}

// values starts three etcd; a write is a value that is put at their leader.
func values(b *testing.B, name, scheme string, more ...string) *side {
	b.Helper()
	e := newEtcds(b, scheme, more...)
	s := &side{name: name, h2: true, with: e.put(b, writeInput)}
	for _, cmd := range e.cmds {
		s.pids = append(s.pids, cmd.Process.Pid)
	}
	return s
}
