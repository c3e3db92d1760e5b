package ingest_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"primespark/coordinator/fsm"
	"primespark/coordinator/history"
	"primespark/coordinator/ingest"
	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/identity"
	"primespark/shared/problem"
	"primespark/shared/run"
	"primespark/shared/telemetry"
)

// A group is coordinators that follow each other, in a bubble.
type group struct {
	t   *testing.T
	ctx context.Context
	all map[string]*member

	mu   sync.Mutex
	down []string
}

// cut has only the members named be down.
func (g *group) cut(names ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.down = names
}

func (g *group) isDown(name string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Contains(g.down, name)
}

type member struct {
	*ingest.Ingest
	store      *history.Store
	conditions *health.Registry
}

func inBubble(t *testing.T, names []string, story func(t *testing.T, g *group)) {
	dirs := map[string]string{}
	for _, n := range names {
		dirs[n] = t.TempDir()
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(context.Background())
		g := &group{t: t, ctx: ctx, all: map[string]*member{}}
		state := fsm.State{Nodes: map[string]fsm.Node{"pi-1": {Name: "pi-1", Role: fleet.Agent, State: fsm.Approved}, "gone": {Name: "gone", Role: fleet.Agent, State: fsm.Revoked}}}
		for _, n := range names {
			state.Nodes[n] = fsm.Node{Name: n, Role: fleet.Coordinator, State: fsm.Approved, Addresses: identity.Addresses{API: n + ":7480"}}
		}
		done := make(chan error)
		for _, name := range names {
			store, err := history.Open(history.Config{Dir: dirs[name], MaxSize: 1 << 30, Raw: time.Hour, Minutes: time.Hour, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			m := &member{store: store, conditions: health.New(nil)}
			m.Ingest, err = ingest.New(ingest.Config{
				Self: name, Store: store, State: func() fsm.State { return state }, Conditions: m.conditions, Log: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			g.all[name] = m
		}
		for name, m := range g.all {
			go func() { done <- run.All(ctx, m.store, m.Follow(g.read(name))) }()
		}
		time.Sleep(time.Second)
		story(t, g)
		stop()
		for range names {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		for _, m := range g.all {
			if err := m.store.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

var errDown = errors.New("down")

// read is how a member reads the logs of the others: through their bytes.
func (g *group) read(self string) ingest.Reader {
	return func(ctx context.Context, peer, address, id string, after uint64, wait time.Duration) (history.Page, error) {
		if address != peer+":7480" || g.isDown(peer) || g.isDown(self) {
			return history.Page{}, errDown
		}
		p, err := g.all[peer].Log(ctx, self, id, after, wait)
		if err != nil || g.isDown(peer) || g.isDown(self) {
			return history.Page{}, errors.Join(err, errDown)
		}
		p.Rows, err = history.DecodeRows(history.EncodeRows(p.Rows), p.First)
		return p, err
	}
}

func samples(from, to uint64) (all []telemetry.Sample) {
	for seq := from; seq <= to; seq++ {
		all = append(all, telemetry.Sample{Boot: 1, Stream: "cpu", Seq: seq, At: time.Now().UTC(), Value: telemetry.Number(float64(seq), "")})
	}
	return all
}

// takes has a member take samples; 0 if they are not acknowledged.
func (g *group) takes(name string, all []telemetry.Sample) (acked uint64) {
	acks, err := g.all[name].Take(g.ctx, "pi-1", all)
	if err == nil && len(acks) > 0 {
		return acks[0].Streams["cpu"]
	}
	return 0
}

func (g *group) has(name string) uint64 {
	n, _ := g.all[name].store.Last()
	return n
}

func TestAcknowledgedMeansTwoHaveIt(t *testing.T) {
	inBubble(t, []string{"c1", "c2", "c3"}, func(t *testing.T, g *group) {
		begin := time.Now()
		if got := g.takes("c1", samples(1, 10)); got != 10 || time.Since(begin) > time.Second {
			t.Errorf("acknowledged up to %d after %v", got, time.Since(begin))
		}
		if g.has("c2") < 10 && g.has("c3") < 10 {
			t.Error("nobody else has them")
		}
		time.Sleep(time.Second)
		if g.has("c2") != 10 || g.has("c3") != 10 {
			t.Errorf("c2 has %d and c3 %d of 10", g.has("c2"), g.has("c3"))
		}

		g.cut("c3")
		if got := g.takes("c1", samples(11, 20)); got != 20 {
			t.Errorf("with c3 down, acknowledged up to %d of 20", got)
		}
		g.cut("c2", "c3")
		begin = time.Now()
		if got := g.takes("c1", samples(21, 30)); got != 0 || time.Since(begin) > 6*time.Second {
			t.Errorf("alone, it acknowledges up to %d after %v", got, time.Since(begin))
		}
		if codes := g.all["c1"].conditions.All().Codes(); len(codes) != 1 || codes[0] != string(ingest.HistoryWaits) {
			t.Errorf("alone, its conditions are %v", codes)
		}
		if got := g.takes("c1", samples(1, 5)); got != 0 {
			t.Errorf("alone, it acknowledges %d of what comes again", got)
		}

		// The node goes to c2, which lacks what c1 alone has; it sends all of it again.
		g.cut("c1")
		time.Sleep(20 * time.Second)
		if got := g.takes("c2", samples(21, 35)); got != 35 {
			t.Errorf("c2 acknowledges up to %d of 35", got)
		}
		g.cut()
		time.Sleep(30 * time.Second)
		for name, m := range g.all {
			if got := g.has(name); got < 35 || got > 36 {
				t.Errorf("at the end %s has %d of 35", name, got)
			}
			if acks, err := m.Take(g.ctx, "pi-1", samples(36, 36)); err != nil || acks[0].Streams["cpu"] != 36 {
				t.Errorf("%s: %v, %v", name, acks, err)
			}
		}
		if got := len(g.all["c1"].conditions.All()); got != 0 {
			t.Errorf("%d conditions at the end", got)
		}
	})
}

func TestAloneOneIsEnough(t *testing.T) {
	inBubble(t, []string{"c1"}, func(t *testing.T, g *group) {
		if got := g.takes("c1", samples(1, 10)); got != 10 {
			t.Errorf("acknowledged up to %d", got)
		}
	})
}

// TestALogThatWentBack: a coordinator was restored from a backup, and gives numbers
// again that its follower has seen. What they stand for now is stored, and is
// confirmed only then.
func TestALogThatWentBack(t *testing.T) {
	inBubble(t, []string{"c1", "c2"}, func(t *testing.T, g *group) {
		c1, c2 := g.all["c1"], g.all["c2"]
		if err := c2.store.Follow(g.ctx, c1.store.ID(), nil, 500); err != nil {
			t.Fatal(err)
		}
		g.cut("c2")
		if got := g.takes("c1", samples(1, 10)); got != 0 {
			t.Fatalf("acknowledged up to %d without c2", got)
		}
		if _, err := c1.Log(g.ctx, "c2", c1.store.ID(), 500, time.Second); err != nil {
			t.Fatal(err)
		}
		if got := g.takes("c1", samples(1, 10)); got != 0 {
			t.Errorf("acknowledged up to %d on the word of one who is ahead", got)
		}
		ctx, stop := context.WithCancel(g.ctx)
		done := make(chan error)
		go func() {
			done <- c2.Ingest.Follow(func(ctx context.Context, _, _, id string, after uint64, wait time.Duration) (history.Page, error) {
				return c1.Log(ctx, "c2", id, after, wait)
			}).Run(ctx)
		}()
		time.Sleep(2 * time.Second)
		if got := g.takes("c1", samples(11, 20)); got != 20 || g.has("c2") != 20 {
			t.Errorf("acknowledged up to %d, and c2 has %d, want 20", got, g.has("c2"))
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestTakeRefuses(t *testing.T) {
	inBubble(t, []string{"c1"}, func(t *testing.T, g *group) {
		bad := samples(1, 1)
		bad[0].Stream = "A/b"
		for name, test := range map[string]struct {
			node string
			of   []telemetry.Sample
			want problem.Code
		}{
			"a stranger":     {"pi-9", samples(1, 1), problem.Forbidden},
			"a revoked node": {"gone", samples(1, 1), problem.Forbidden},
			"too many":       {"pi-1", samples(1, ingest.SamplesMost+1), problem.TooLarge},
			"a bad stream":   {"pi-1", bad, problem.Invalid},
		} {
			if _, err := g.all["c1"].Take(g.ctx, test.node, test.of); !problem.Is(err, test.want) {
				t.Errorf("%s: %v, want %s", name, err, test.want)
			}
		}
		if _, err := g.all["c1"].Log(g.ctx, "pi-1", g.all["c1"].store.ID(), 0, 0); !problem.Is(err, problem.Forbidden) {
			t.Errorf("an agent reads the log: %v", err)
		}
		if g.has("c1") != 0 {
			t.Error("something is stored")
		}
	})
}

func FuzzRows(f *testing.F) {
	f.Add(history.EncodeRows([]history.Row{{N: 1, Node: "pi-1", Sample: telemetry.Sample{Boot: 1, Stream: "cpu", Seq: 1, At: time.Unix(1, 0), Value: telemetry.Number(1, "")}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		rows, err := history.DecodeRows(b, 1)
		if err != nil {
			return
		}
		again, err := history.DecodeRows(history.EncodeRows(rows), 1)
		if err != nil || len(again) != len(rows) {
			t.Errorf("%d rows, then %d, %v", len(rows), len(again), err)
		}
	})
}
