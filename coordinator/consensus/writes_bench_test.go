package consensus

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"primespark/coordinator/fsm"
	"primespark/coordinator/tasks"
	"primespark/shared/task"
)

// BenchmarkTaskWrites is how many tasks a second three coordinators take, each
// task by a call of its own, on real files and loopback with mutual TLS, against
// hashicorp/raft alone on the same store, by turns: no TLS, no state, an entry for
// each call.
func BenchmarkTaskWrites(b *testing.B) {
	for _, clients := range []int{1, 32, 128} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			bare := bareRaft(b)
			leader := newGroup(b, nil).three().leader("c1", "c2", "c3")
			desk := tasks.New(leader.Node, prometheus.NewRegistry())
			before := leader.raft.LastIndex()
			submit := func(ctx context.Context) error {
				_, err := desk.Do(ctx, fsm.TaskOp{Actor: "token:ada", Submit: &fsm.TaskSubmit{
					ID: task.NewID(time.Now()), Spec: task.Spec{Kind: task.Noop, Input: []byte(writeInput)},
					Most: writeMost,
				}})
				return err
			}
			hammer(b, clients, bare) // a first turn, which does not count
			var ours, theirs, ratios []float64
			var all float64
			for turn := range writeTurns {
				var o, t float64
				if turn%2 == 0 { // neither always comes after the other
					t = hammer(b, clients, bare)
				}
				o = hammer(b, clients, submit)
				if turn%2 == 1 {
					t = hammer(b, clients, bare)
				}
				ours, theirs, ratios, all = append(ours, o), append(theirs, t), append(ratios, o/t), all+o
			}
			b.ReportMetric(middle(theirs)/writeTime.Seconds(), "bare-raft/s")
			b.ReportMetric(middle(ours)/writeTime.Seconds(), "tasks/s")
			b.ReportMetric(middle(ratios), "ratio")
			b.ReportMetric(all/float64(leader.raft.LastIndex()-before), "writes/entry")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// writeInput makes the smallest of tasks; an entry of bare raft is as long as a
// submission of it.
const (
	writeInput = `{"ms":1}`
	writeSize  = 256
	writeTime  = time.Second // of one side's turn
	writeMost  = 1_000_000   // tasks wait, far more than the turns hand in: a quick disk fills fsm.MaxTasks
	writeTurns = 7           // so many that the median is not of what else the machine did
)

// middle is the median of an odd number of figures.
func middle(all []float64) float64 { return slices.Sorted(slices.Values(all))[len(all)/2] }

// hammer has clients write for a turn, each one call after another, and returns how
// many were done.
func hammer(b *testing.B, clients int, write func(context.Context) error) float64 {
	b.Helper()
	var done atomic.Int64
	var all sync.WaitGroup
	for end := time.Now().Add(writeTime); clients > 0; clients-- {
		all.Go(func() {
			for time.Now().Before(end) {
				if err := write(b.Context()); err != nil {
					if !b.Failed() {
						b.Error(err)
					}
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	if b.Failed() {
		b.FailNow() // a leader that was lost makes no figure
	}
	return float64(done.Load())
}

// bareRaft is a group of three with our log store and timing, and raft's own
// transport and tuning.
func bareRaft(b *testing.B) (write func(context.Context) error) {
	b.Helper()
	var servers []raft.Server
	var all []*raft.Raft
	var trans []*raft.NetworkTransport
	for i := range 3 {
		t, err := raft.NewTCPTransport("127.0.0.1:0", nil, maxPool, rpcTimeout, io.Discard)
		if err != nil {
			b.Fatal(err)
		}
		trans = append(trans, t)
		servers = append(servers, raft.Server{ID: raft.ServerID(fmt.Sprintf("c%d", i+1)), Address: t.LocalAddr()})
	}
	for i, t := range trans {
		dir := b.TempDir()
		st, err := openStore(dir)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { st.Close() })
		snaps, err := raft.NewFileSnapshotStoreWithLogger(dir, 1, raftLogger(testLog()))
		if err != nil {
			b.Fatal(err)
		}
		cached, err := raft.NewLogCache(logCache, st)
		if err != nil {
			b.Fatal(err)
		}
		c := raft.DefaultConfig()
		c.LocalID, c.Logger = servers[i].ID, raftLogger(testLog())
		lan := profiles["lan"]
		c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout, c.CommitTimeout = lan.Heartbeat, lan.Election, lan.Lease, lan.Commit
		r, err := raft.NewRaft(c, blank{}, cached, st, snaps, t)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			if err := r.Shutdown().Error(); err != nil {
				b.Error(err)
			}
			t.Close()
		})
		all = append(all, r)
	}
	if err := all[0].BootstrapCluster(raft.Configuration{Servers: servers}).Error(); err != nil {
		b.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		for _, r := range all {
			if r.State() == raft.Leader && r.VerifyLeader().Error() == nil {
				data := make([]byte, writeSize)
				return func(context.Context) error { return r.Apply(data, 10*time.Second).Error() }
			}
		}
		if time.Now().After(end) {
			b.Fatal("nobody leads")
		}
	}
}

// blank is a state machine that does nothing.
type blank struct{}

func (blank) Apply(*raft.Log) any                 { return nil }
func (blank) Snapshot() (raft.FSMSnapshot, error) { return blank{}, nil }
func (blank) Restore(r io.ReadCloser) error       { return r.Close() }
func (blank) Persist(s raft.SnapshotSink) error   { return s.Close() }
func (blank) Release()                            {}
