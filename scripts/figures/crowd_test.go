package figures_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"golang.org/x/sync/errgroup"

	"primespark/shared/fleet"
	"primespark/shared/heartbeat"
	"primespark/shared/identity"
	"primespark/shared/rig"
	"primespark/shared/run"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// crowd is how many agents there are, unless CROWD says otherwise.
var crowd = func() int {
	if n, err := strconv.Atoi(os.Getenv("CROWD")); err == nil && n > 0 {
		return min(n, 1000)
	}
	return 1000
}()

// BenchmarkCrowd has 1000 agents at a group of three coordinators. Real are the
// coordinators, the agents' certificates, their TLS connections with a long poll
// for work and one for the plan, their heartbeats to all three, their leases and
// reports, and what they are told and tell by gossip: they answer probes, and
// announce each 10 s how they fare. Simulated is the rest. All agents live in this process, on the same two cores,
// and do nothing for their tasks. Their memberlists know the coordinators and no
// other agent, since 1000 lists of 1000 would measure this process; so they pass
// nothing on, and probe as seldom as makes up for it.
func BenchmarkCrowd(b *testing.B) {
	r := coordinators(b, "")
	empty := memories(b, r)
	ctx, cancel := context.WithCancel(b.Context())
	var living sync.WaitGroup
	defer living.Wait()
	defer cancel()

	begun := time.Now()
	tell("%d agents join", crowd)
	agents := enlist(b, r)
	b.ReportMetric(time.Since(begun).Seconds(), "join-s")
	begun = time.Now()
	tell("they gossip, poll and follow the plan until all are seen")
	coming := make(chan struct{}, 8) // at a time: each shows its certificate four times, on the same two cores
	for _, a := range agents {
		coming <- struct{}{}
		living.Go(func() { a.live(ctx) })
		go func() { // ends in 10 s at the latest
			for end := time.Now().Add(10 * time.Second); len(a.heart.Connected()) < len(r.Coordinators) && time.Now().Before(end); {
				run.Sleep(ctx, 50*time.Millisecond)
			}
			<-coming
		}()
	}
	sees(b, r, time.Now().Add(time.Minute))
	b.ReportMetric(time.Since(begun).Seconds(), "all-seen-s")

	tell("they idle")
	run.Sleep(ctx, 20*time.Second) // the first announcements and polls are over
	before := processor(b, r)
	begun = time.Now()
	run.Sleep(ctx, 20*time.Second)
	idle := (processor(b, r) - before).Seconds() / time.Since(begun).Seconds() / float64(len(r.Coordinators))
	b.ReportMetric(100*idle, "idle-%cpu-each")

	tell("the page is looked at, then tasks are done")
	pages := page(ctx, b, r, 200)
	report(b, "page", pages)
	done := work(ctx, b, r, agents)
	b.ReportMetric(done, "tasks-done/s")
	report(b, "page-at-work", page(ctx, b, r, 100))
	full := memories(b, r)
	b.ReportMetric(slices.Max(empty), "rss-MiB-empty")
	b.ReportMetric(slices.Max(full), "rss-MiB")
	b.ReportMetric((slices.Max(full)-60)*1024/float64(crowd), "KiB-each-above-60MiB")
}

// An extra is an agent that plays its part in front of the coordinators.
type extra struct {
	name   string
	id     *identity.Identity
	seeds  []string
	client *wire.Client
	http   *http.Client
	heart  *heartbeat.Beater
	seq    atomic.Uint64 // of what it said of itself
	done   *atomic.Int64
}

// joinCode makes a code for so many agents as there are.
func joinCode(b *testing.B, r *rig.Rig) identity.JoinCode {
	b.Helper()
	made, err := r.Client(r.Coordinators...).CreateJoinCode(b.Context(), wire.JoinCodeRequest{Role: fleet.Agent, TTL: "10m", Uses: crowd})
	if err != nil {
		b.Fatal(err)
	}
	code, err := identity.ParseJoinCode(made.Code)
	if err != nil {
		b.Fatal(err)
	}
	return code
}

// enlist has all agents join, by one code, and by another where that goes wrong.
func enlist(b *testing.B, r *rig.Rig) []*extra {
	b.Helper()
	code, spare := joinCode(b, r), joinCode(b, r)
	agents := make([]*extra, crowd)
	var done atomic.Int64
	g, ctx := errgroup.WithContext(b.Context())
	g.SetLimit(8) // more at once from one address would look like guessing
	for i := range agents {
		g.Go(func() error {
			name := fmt.Sprintf("pi-%04d", i+1)
			c, err := identity.Join(ctx, &net.Dialer{}, code, identity.JoinRequest{Name: name, Version: "1.0"})
			for try := range 3 { // the machine may be busy with something else
				if err == nil {
					break
				}
				run.Sleep(ctx, time.Second)
				// The name may be taken by the try whose answer did not come in time.
				name = fmt.Sprintf("pi-%04d-%d", i+1, try)
				c, err = identity.Join(ctx, &net.Dialer{}, spare, identity.JoinRequest{Name: name, Version: "1.0"})
			}
			if err != nil {
				return err
			}
			id, err := identity.New(c)
			if err != nil {
				return err
			}
			a := &extra{name: name, id: id, seeds: id.Peers().Gossip, done: &done}
			a.http = &http.Client{Transport: &http.Transport{TLSClientConfig: id.ClientTLS(fleet.Coordinator), ForceAttemptHTTP2: true}}
			a.client = &wire.Client{BaseURLs: []string{"https://" + r.Coordinators[i%len(r.Coordinators)].API}, HTTP: a.http}
			a.heart = a.beater(r.Coordinators)
			agents[i] = a
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	return agents
}

// live gossips, follows the plan and works, until ctx ends.
func (a *extra) live(ctx context.Context) {
	var parts sync.WaitGroup
	defer parts.Wait()
	defer a.http.CloseIdleConnections()
	parts.Go(func() { a.gossip(ctx) })
	parts.Go(func() { _ = a.heart.Run(ctx) }) // ends with ctx and no error
	parts.Go(func() {
		index := uint64(0)
		for ctx.Err() == nil {
			p, err := a.client.Plan(ctx, index, time.Minute)
			if err != nil {
				run.Sleep(ctx, run.Jitter(time.Second))
				continue
			}
			index = p.Index
		}
	})
	for ctx.Err() == nil {
		got, err := a.client.LeaseTasks(ctx, wire.LeaseRequest{Node: a.name, Kinds: []task.Kind{task.Noop}, Max: 1, Wait: "10s"})
		if err != nil {
			run.Sleep(ctx, run.Jitter(time.Second))
			continue
		}
		for _, t := range got {
			if _, err := a.client.CompleteTask(ctx, t.ID, wire.CompleteRequest{Lease: t.Lease, Result: json.RawMessage(`{}`)}); err == nil {
				a.done.Add(1)
			}
		}
	}
}

// beater beats as the agent does.
func (a *extra) beater(coordinators []*rig.Node) *heartbeat.Beater {
	var all []heartbeat.Target
	for _, n := range coordinators {
		all = append(all, heartbeat.Target{Name: n.Name, API: n.API})
	}
	return heartbeat.New(heartbeat.Config{
		Targets: func() []heartbeat.Target { return all },
		Dial:    (&net.Dialer{}).DialContext,
		TLS: func(name string) *tls.Config {
			return a.id.ClientTLSFor(identity.Node(name, fleet.Coordinator))
		},
		Say: func() heartbeat.Beat {
			ring := a.id.Keyring().Get()
			return heartbeat.Beat{Member: a.member(), Vital: new(a.vital()), Keys: &heartbeat.Keys{Primary: ring.Primary, Held: ring.Generations()}}
		},
		Log: slog.New(slog.DiscardHandler),
	})
}

func (a *extra) member() *fleet.Member {
	return &fleet.Member{Name: a.name, Role: fleet.Agent, API: "127.0.0.1:1", Version: "1.0"}
}

// vital is how the agent fares: each time that it says so, a little different.
func (a *extra) vital() fleet.Vital {
	seq := a.seq.Load()
	return fleet.Vital{
		Node: a.name, Boot: 1, Seq: seq, At: time.Now().UTC(), Mode: fleet.Normal, Ready: true, CPU: 0.25 + float64(seq%8)/100, Memory: 0.5,
		Models: []fleet.Serving{{Name: "blazeface", Version: "1", Backend: "builtin", Millis: 6.5}},
	}
}

// gossip is a member of the pool that says how it fares each 10 s, to two of those
// that it was told of when it joined, and hears nobody.
func (a *extra) gossip(ctx context.Context) {
	c := memberlist.DefaultLANConfig()
	c.Name, c.Label, c.SecretKey = a.name, a.id.ID().Cluster, a.id.GossipKey()
	c.BindAddr, c.BindPort, c.AdvertiseAddr = "127.0.0.1", 0, "127.0.0.1"
	c.EnableCompression, c.Logger = false, log.New(io.Discard, "", 0)
	// In a real pool a coordinator is probed about once a second, and asked for all
	// it knows every few minutes.
	c.ProbeInterval, c.PushPullInterval, c.GossipInterval = time.Duration(crowd)*time.Second/3, 10*time.Minute, time.Second
	meta, err := json.Marshal(a.member())
	if err != nil {
		return
	}
	c.Delegate, c.Alive = mute{meta: meta}, mute{name: a.name}
	m, err := memberlist.Create(c)
	if err != nil {
		return
	}
	defer m.Shutdown()
	for ctx.Err() == nil {
		if _, err := m.Join(a.seeds); err == nil {
			break
		}
		run.Sleep(ctx, run.Jitter(time.Second))
	}
	for {
		seq := a.seq.Add(1)
		body, err := json.Marshal(a.vital())
		if err != nil {
			return
		}
		for i := range 2 {
			at, err := net.ResolveUDPAddr("udp", a.seeds[(int(seq)+i)%len(a.seeds)])
			if err == nil {
				// One that is lost is followed by the next.
				_ = m.SendToAddress(memberlist.Address{Addr: at.String()}, append([]byte{1}, body...))
			}
		}
		if !run.Sleep(ctx, run.Jitter(10*time.Second)) {
			return
		}
	}
}

// mute is memberlist's delegate of one who says who he is and no more.
type mute struct {
	name string
	meta []byte
}

func (m mute) NodeMeta(int) []byte           { return m.meta }
func (mute) NotifyMsg([]byte)                {}
func (mute) GetBroadcasts(int, int) [][]byte { return nil }
func (mute) LocalState(bool) []byte          { return nil }
func (mute) MergeRemoteState([]byte, bool)   {}

// NotifyAlive keeps everybody but the coordinators off the list.
func (d mute) NotifyAlive(peer *memberlist.Node) error {
	if m := new(fleet.Member); json.Unmarshal(peer.Meta, m) != nil || m.Role != fleet.Coordinator && m.Name != d.name {
		return errors.New("it is no coordinator")
	}
	return nil
}

// sees waits until every coordinator has heard of every agent.
func sees(b *testing.B, r *rig.Rig, end time.Time) {
	b.Helper()
	for _, n := range r.Coordinators {
		for {
			c := r.Client(n)
			c.Stale = true
			s, err := c.Status(b.Context())
			if err == nil && s.Summary.AgentsHealthy >= crowd {
				break
			}
			if time.Now().After(end) {
				b.Fatalf("%s sees %d of %d agents, %v", n.Name, s.Summary.AgentsHealthy, crowd, err)
			}
			time.Sleep(500 * time.Millisecond)
		}
	}
}

// page is how long the status page takes, at each coordinator by turns.
func page(ctx context.Context, b *testing.B, r *rig.Rig, times int) (all []time.Duration) {
	b.Helper()
	for i := range times {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.Coordinators[i%3].Loopback+"/", nil)
		if err != nil {
			b.Fatal(err)
		}
		begun := time.Now()
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		took := time.Since(begun)
		if err := errors.Join(err, res.Body.Close()); err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(text), fmt.Sprintf("pi-%04d", crowd)) {
			b.Fatalf("the page: %s, %d bytes, %v", res.Status, len(text), err)
		}
		all = append(all, took)
		time.Sleep(20 * time.Millisecond)
	}
	return all
}

// work hands tasks in for a while, 100 a second, and returns how many were done a
// second.
func work(ctx context.Context, b *testing.B, r *rig.Rig, agents []*extra) float64 {
	b.Helper()
	const tasks = 1000
	client := &wire.Client{BaseURLs: []string{"http://" + r.Coordinators[0].Loopback}}
	begun, before := time.Now(), agents[0].done.Load()
	var all sync.WaitGroup
	for range tasks {
		all.Go(func() {
			if _, err := client.SubmitTask(ctx, task.Spec{Kind: task.Noop}, ""); err != nil {
				b.Error(err)
			}
		})
		time.Sleep(10 * time.Millisecond)
	}
	all.Wait()
	for end := time.Now().Add(30 * time.Second); agents[0].done.Load()-before < tasks; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			b.Errorf("%d of %d tasks are done", agents[0].done.Load()-before, tasks)
			break
		}
	}
	return tasks / time.Since(begun).Seconds()
}

// memories are the resident sets of the coordinators, in MiB.
func memories(b *testing.B, r *rig.Rig) (all []float64) {
	b.Helper()
	for _, n := range r.Coordinators {
		all = append(all, resident(b, n.PID()))
	}
	return all
}

// processor is the time of the processor that the coordinators have used.
func processor(b *testing.B, r *rig.Rig) (sum time.Duration) {
	b.Helper()
	for _, n := range r.Coordinators {
		sum += used(b, n.PID())
	}
	return sum
}
