package tasks

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"primespark/shared/problem"
	"primespark/shared/task"
)

// TestRelease: whatever comes first, the lease or its release, the task is ready in the
// end, it has had no attempt, and another node gets it at once.
func TestRelease(t *testing.T) {
	call := noops("pi-1", 1)
	for name, story := range map[string]func(f *farm, release func() int){
		"after the lease": func(f *farm, release func() int) {
			f.submit()
			if got, err := f.Lease(f.Context(), call, 0); err != nil || len(got) != 1 {
				f.Fatalf("leased %v, %v", got, err)
			}
			if n := release(); n != 1 {
				f.Errorf("%d tasks were given back, want 1", n)
			}
			if n := release(); n != 0 {
				f.Errorf("%d tasks were given back once more", n)
			}
		},
		"with the lease on its way": func(f *farm, release func() int) {
			f.submit()
			ctx, cancel := context.WithCancel(f.Context())
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				if got, err := f.Lease(ctx, call, time.Minute); err == nil {
					f.Errorf("leased %v, though the caller went away", got)
				}
			}()
			time.Sleep(fsync / 2)
			cancel()
			<-gone
			if n := release(); n != 1 {
				f.Errorf("%d tasks were given back, want 1", n)
			}
		},
		"while the call still waits": func(f *farm, release func() int) {
			refused := make(chan error, 1)
			go func() {
				_, err := f.Lease(f.Context(), call, time.Minute)
				refused <- err
			}()
			synctest.Wait()
			release()
			f.submit()
			if err := <-refused; !problem.Is(err, problem.Conflict) {
				f.Errorf("the call that was given up: %v", err)
			}
		},
		"before the call has come": func(f *farm, release func() int) {
			release()
			f.submit()
			if got, err := f.Lease(f.Context(), call, time.Minute); !problem.Is(err, problem.Conflict) {
				f.Errorf("the call that was given up: %v, %v", got, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *farm) {
				story(f, func() int {
					n, err := f.Release(t.Context(), "pi-1", call.Grant)
					if err != nil {
						t.Error(err)
					}
					return n
				})
				s, _ := f.State()
				if s.Tasks.Count(task.Ready) != 1 {
					t.Fatalf("%d tasks are ready, want 1", s.Tasks.Count(task.Ready))
				}
				start := time.Now()
				got, err := f.Lease(t.Context(), noops("pi-2", 1), time.Minute)
				if err != nil || len(got) != 1 || got[0].Attempts != 1 || time.Since(start) > 2*fsync {
					t.Errorf("another node gets %+v, %v after %v; want the first attempt at it at once", got, err, time.Since(start))
				}
			})
		})
	}
}

// TestReleaseIsOfOneCall: what the node holds by other calls stays with it, and it may ask anew.
func TestReleaseIsOfOneCall(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.submit()
		kept, err := f.Lease(t.Context(), noops("pi-1", 1), 0)
		if err != nil || len(kept) != 1 {
			t.Fatalf("leased %v, %v", kept, err)
		}
		for _, node := range []string{"pi-1", "pi-2"} { // pi-2 cannot give back what is pi-1's
			grant := kept[0].Grant
			if node == "pi-1" {
				grant = "another"
			}
			if n, err := f.Release(t.Context(), node, grant); n != 0 || err != nil {
				t.Errorf("%s gives back %d, %v", node, n, err)
			}
		}
		s, _ := f.State()
		if now, _ := s.Tasks.Get(kept[0].ID); now.Lease != kept[0].Lease || now.State != task.Leased {
			t.Errorf("the other lease is lost: %+v", now)
		}
		f.submit()
		if got, err := f.Lease(t.Context(), noops("pi-1", 1), 0); err != nil || len(got) != 1 {
			t.Errorf("asked anew: %v, %v", got, err)
		}
		f.down = problem.New(problem.NoLeader, "Wait.", "Nobody leads.")
		if _, err := f.Release(t.Context(), "pi-1", kept[0].Grant); !problem.Is(err, problem.NoLeader) {
			t.Errorf("without a leader: %v", err)
		}
	})
}
