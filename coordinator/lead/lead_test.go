package lead

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/run"
	"primespark/shared/watch"
)

func TestWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leading := watch.New(false)
		var log []string
		ctx, cancel := context.WithCancel(t.Context())
		go While(ctx, leading, func(ctx context.Context) {
			log = append(log, "start")
			<-ctx.Done()
			log = append(log, "stop")
		})
		for _, now := range []bool{true, false, true} {
			leading.Store(now)
			time.Sleep(time.Second)
		}
		cancel()
		synctest.Wait()
		if want := []string{"start", "stop", "start", "stop"}; !slices.Equal(log, want) {
			t.Errorf("got %v, want %v", log, want)
		}
	})
}

// group is a raft node that always leads and remembers what was proposed.
type group struct {
	mu       sync.Mutex
	state    fsm.State
	proposed []fsm.Command
}

func (g *group) State() (fsm.State, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state, nil
}

func (g *group) commands() []fsm.Command {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.proposed)
}

func (g *group) Propose(_ context.Context, _ string, c fsm.Command) (json.RawMessage, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.proposed = append(g.proposed, c)
	g.state.Codes = nil
	return nil, nil
}

func TestPruneProposesOnlyWhatChangesSomething(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quiet := slog.New(slog.DiscardHandler)
		g := &group{state: fsm.State{Codes: map[string]fsm.Code{"x": {ID: "x", Expires: time.Now().Add(15 * time.Minute)}}}}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go Part(watch.New(true), quiet, Prune(g, quiet)).Run(ctx)
		time.Sleep(14 * time.Minute)
		if n := len(g.commands()); n != 0 {
			t.Errorf("%d proposals before the code expired", n)
		}
		time.Sleep(3 * time.Minute)
		cancel()
		synctest.Wait()
		if got := g.commands(); len(got) != 1 || got[0] != (fsm.Prune{}) {
			t.Errorf("proposed %v, want one prune", got)
		}
	})
}

var _ run.Part = Part(nil, nil)
