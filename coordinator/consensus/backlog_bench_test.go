package consensus

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/task"
)

// BenchmarkSnapshotPause writes to a group of three, on real files, that holds
// 99,000 tasks, one write after another, while the leader takes a snapshot: the
// longest that one takes, and the longest without a snapshot beside it. All three
// coordinators are in this process, and only the leader takes a snapshot.
func BenchmarkSnapshotPause(b *testing.B) {
	leader := newGroup(b, nil).three().leader("c1", "c2", "c3")
	const each = 500
	for i := range 198 {
		ops := make([]fsm.TaskOp, each)
		for j := range ops {
			ops[j] = fsm.TaskOp{Submit: &fsm.TaskSubmit{ID: task.NewID(time.Now()), Spec: task.Spec{Kind: task.Noop, Input: []byte(writeInput)}}}
		}
		if _, err := leader.Propose(b.Context(), "token:test", fsm.TaskBatch{Ops: ops}); err != nil {
			b.Fatal(i, err)
		}
	}
	write := func() time.Duration {
		begun := time.Now()
		_, err := leader.Propose(context.WithoutCancel(b.Context()), "token:test", fsm.TaskBatch{Ops: []fsm.TaskOp{{Cancel: &fsm.TaskCancel{ID: "none"}}}})
		if err != nil {
			b.Error(err)
		}
		return time.Since(begun)
	}
	var quiet, beside []time.Duration
	for begun := time.Now(); time.Since(begun) < 3*time.Second; {
		quiet = append(quiet, write())
	}
	var took []time.Duration
	for range 3 {
		var snapshot sync.WaitGroup
		done := make(chan struct{})
		snapshot.Go(func() {
			defer close(done)
			begun := time.Now()
			if err := leader.raft.Snapshot().Error(); err != nil {
				b.Error(err)
			}
			took = append(took, time.Since(begun))
		})
		for over := false; !over; {
			beside = append(beside, write())
			select {
			case <-done:
				over = true
			default:
			}
		}
		snapshot.Wait()
	}
	for name, all := range map[string][]time.Duration{"snapshot": took, "write": quiet, "write-beside": beside} {
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)-1].Microseconds())/1000, fmt.Sprintf("%s-max-ms", name))
		b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, fmt.Sprintf("%s-p99-ms", name))
	}
}
