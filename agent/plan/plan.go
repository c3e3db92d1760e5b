// Package plan follows what the coordinators decided about this node and about
// the others: whether it is approved, draining or revoked, whose certificates
// are refused, and where the coordinators are.
//
// It is a long poll over mutual TLS to whichever coordinator answers. The newest
// plan is kept in the state directory, so that a node that boots with nobody in
// reach refuses whom it refused before, and knows where to look for the others. A
// key that was denied once stays denied until its certificates have expired,
// whatever a later plan says.
package plan

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/identity"
	"primespark/shared/mesh"
	"primespark/shared/run"
	"primespark/shared/task"
	"primespark/shared/watch"
	"primespark/shared/wire"
)

// Times of asking.
const (
	pollTime    = time.Minute // that a coordinator may keep a request; less news comes at once
	pollSlack   = 15 * time.Second
	connectTime = 2 * time.Second
	pingAfter   = 2 * time.Second // HTTP/2: of silence, until a sign of life is asked for
	pingTime    = 2 * time.Second // and waited for: a coordinator that died tells nobody
	leastWait   = 250 * time.Millisecond
	mostWait    = 15 * time.Second
)

// The states of a node that matter to itself.
const (
	approved = "approved"
	draining = "draining"
	revoked  = "revoked"
)

// Revoked is the condition of a node that the fleet has shut out.
const Revoked health.Code = "revoked"

// A Config is what a Follower works with.
type Config struct {
	Identity    *identity.Identity
	Dir         string            // where the newest plan is kept
	IdentityDir string            // where the identity is, and with it the gossip keys
	View        func() fleet.View // the fleet as gossip sees it
	Dial        func(ctx context.Context, network, address string) (net.Conn, error)
	Conditions  *health.Registry
	Log         *slog.Logger
}

// A Follower follows the plan. It is a part.
type Follower struct {
	cfg  Config
	http *http.Client

	models *watch.Value[Models]

	mu     sync.Mutex
	plan   wire.PlanBody // the newest; never changed in place
	known  []string      // the servers that client was made for
	client *wire.Client
}

// Models are those that the node is to serve. Known is false as long as no coordinator
// has ever told: then those that are there stay.
type Models struct {
	Known bool
	List  []wire.PlanModel
}

func modelsOf(p wire.PlanBody) Models { return Models{p.Models != nil, p.Models} }

// New returns a follower that begins with the plan of the last run, and gives
// the identity its deny list: from here on it is in force.
func New(cfg Config) *Follower {
	f := &Follower{cfg: cfg, plan: wire.PlanBody{State: approved}}
	f.http = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, connectTime)
			defer cancel()
			return cfg.Dial(ctx, network, address)
		},
		TLSClientConfig: cfg.Identity.ClientTLS(fleet.Coordinator), TLSHandshakeTimeout: connectTime, ForceAttemptHTTP2: true,
		HTTP2:           &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTime},
		IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10,
	}}
	kept, err := load(cfg.Dir)
	switch {
	case err != nil:
		cfg.Log.Warn("the kept plan cannot be used, whom to refuse is not known until a coordinator answers", "err", err)
	case kept.State != revoked || identity.Deny(kept.Deny).Denies(identity.ID{}, cfg.Identity.KeyHash()):
		f.plan = kept
	default: // revoked, and back since then with another key
		kept.State = approved
		f.plan = kept
	}
	cfg.Identity.SetDeny(func(id identity.ID, keyHash string) bool { return identity.Deny(f.now().Deny).Denies(id, keyHash) })
	f.show(f.plan.State)
	f.models = watch.New(modelsOf(f.plan))
	return f
}

func (*Follower) String() string { return "plan" }

func (f *Follower) now() wire.PlanBody {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.plan
}

// Seeds are the gossip addresses of the coordinators.
func (f *Follower) Seeds() (all []string) {
	for _, c := range f.now().Coordinators {
		if c.Gossip != "" {
			all = append(all, c.Gossip)
		}
	}
	return all
}

// Coordinators are those of the newest plan.
func (f *Follower) Coordinators() []wire.PlanCoordinator { return f.now().Coordinators }

// Fleet is how many nodes the fleet has, by the newest plan; 0 if that is not known.
func (f *Follower) Fleet() int { return f.now().Fleet }

// Models are those that the node is to serve by the newest plan, and a channel that
// closes when that changes.
func (f *Follower) Models() (Models, <-chan struct{}) { return f.models.Load() }

// Object fetches an object from a coordinator.
func (f *Follower) Object(ctx context.Context, o task.Object) ([]byte, error) {
	return f.api().Object(ctx, o)
}

// Renew has a coordinator sign a fresh key of this node.
func (f *Follower) Renew(ctx context.Context, r identity.RenewRequest) (identity.RenewResponse, error) {
	return f.api().Renew(ctx, r)
}

// Upload sends samples of this node to a coordinator.
func (f *Follower) Upload(ctx context.Context, u wire.TelemetryUpload) (wire.TelemetryAcks, error) {
	return f.api().Upload(ctx, u)
}

// Mesh asks a coordinator for a newer map of the mesh, or for other hints.
func (f *Follower) Mesh(ctx context.Context, version uint64, sum string, wait time.Duration) (wire.MeshBody, error) {
	return f.api().Mesh(ctx, version, sum, wait)
}

// AnnounceMesh tells a coordinator what this node has at its end of the mesh.
func (f *Follower) AnnounceMesh(ctx context.Context, a mesh.Announcement) error {
	return f.api().AnnounceMesh(ctx, a)
}

// LeaveMesh takes this node out of the mesh.
func (f *Follower) LeaveMesh(ctx context.Context) error { return f.api().LeaveMesh(ctx) }

// Run follows the plan until ctx ends.
func (f *Follower) Run(ctx context.Context) error {
	defer f.http.CloseIdleConnections()
	var index uint64 // of the last answer to this process; the first is asked for at once
	var wait time.Duration
	for ctx.Err() == nil {
		asked := time.Now()
		got, err := f.poll(ctx, index)
		if err == nil {
			if got.Index == index && time.Since(asked) < leastWait { // answered at once, without news
				run.Sleep(ctx, leastWait)
			}
			if wait > 0 {
				f.cfg.Log.Info("following the plan again")
			}
			index, wait = got.Index, 0
			f.take(got)
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		if wait == 0 {
			f.cfg.Log.Info("cannot follow the plan, going on with the kept one", "err", err)
		}
		wait = min(max(2*wait, leastWait), mostWait)
		run.Sleep(ctx, run.Jitter(wait))
	}
	return nil
}

func (f *Follower) poll(ctx context.Context, index uint64) (wire.PlanBody, error) {
	ctx, cancel := context.WithTimeout(ctx, pollTime+pollSlack)
	defer cancel()
	return f.api().Plan(ctx, index, pollTime)
}

// take puts a plan in force, and keeps it if it is news.
func (f *Follower) take(got wire.PlanBody) {
	f.takeKeys(got.GossipKeys)
	got.GossipKeys = nil // they are kept with the identity, and nowhere else
	old := f.now()
	got.Deny = identity.Deny(old.Deny).With(got.Deny, time.Now())
	got.Coordinators = slices.DeleteFunc(slices.Clone(got.Coordinators), func(c wire.PlanCoordinator) bool {
		return (identity.Addresses{API: c.API, Gossip: c.Gossip}).Check() != nil
	})
	if got.Models == nil { // a coordinator that is older than the others, and knows of none
		got.Models = old.Models
	}
	news := !slices.Equal(old.Models, got.Models) || (old.Models == nil) != (got.Models == nil)
	f.mu.Lock()
	f.plan = got
	f.mu.Unlock()
	if news {
		f.models.Store(modelsOf(got))
	}
	if got.State != old.State {
		f.show(got.State)
	}
	if !news && old.State == got.State && old.Fleet == got.Fleet && maps.EqualFunc(old.Deny, got.Deny, time.Time.Equal) && slices.Equal(old.Coordinators, got.Coordinators) {
		return
	}
	f.cfg.Log.Info("plan changed", "state", got.State, "denied", len(got.Deny), "coordinators", len(got.Coordinators), "models", len(got.Models))
	if err := save(f.cfg.Dir, got); err != nil {
		f.cfg.Log.Warn("plan not kept, after a restart without coordinators the old one counts", "err", err, "remedy", "see that the disk has room and is writable")
	}
}

// takeKeys puts other gossip keys on the disk and in force.
func (f *Follower) takeKeys(ring *identity.Keyring) {
	if ring == nil || ring.Equal(f.cfg.Identity.Keyring().Get()) {
		return
	}
	if err := f.cfg.Identity.SetKeyring(f.cfg.IdentityDir, *ring); err != nil {
		f.cfg.Log.Warn("gossip keys not changed, trying again with the next plan", "err", err, "remedy", "see that the disk has room and is writable")
		return
	}
	f.cfg.Log.Info("gossip keys changed", "generations", ring.Generations(), "primary", ring.Primary)
}

// show keeps the conditions that follow from the node's state.
func (f *Follower) show(state string) {
	f.cfg.Conditions.Clear(health.Draining)
	f.cfg.Conditions.Clear(Revoked)
	switch state {
	case draining:
		f.cfg.Conditions.Set(health.Draining, health.Unready, "An operator drains this node: it finishes what it has and gets nothing new.",
			"Have it work again with prime-spark undrain "+f.cfg.Identity.ID().Name+".")
	case revoked:
		f.cfg.Conditions.Set(Revoked, health.Unready, "This node was revoked: no other node talks to it any more.",
			"To take it back, have a code made with prime-spark join-code create --role agent, join with it, and start the agent anew.")
	}
}

// api is a client of the coordinators, those that gossip sees alive first. Nodes
// begin with different ones of them.
func (f *Follower) api() *wire.Client {
	var alive, told []string
	for _, n := range f.cfg.View() {
		if n.Role == fleet.Coordinator && n.Liveness == fleet.Alive && n.API != "" {
			alive = append(alive, n.API)
		}
	}
	for _, c := range f.now().Coordinators {
		if c.API != "" {
			told = append(told, c.API)
		}
	}
	told = append(told, f.cfg.Identity.Peers().API...)
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.Sort(alive)
	known := append(slices.Clone(alive), told...)
	if f.client == nil || !slices.Equal(known, f.known) {
		f.known, f.client = known, &wire.Client{HTTP: f.http}
		rand.Shuffle(len(alive), func(i, j int) { alive[i], alive[j] = alive[j], alive[i] })
		for _, address := range append(alive, told...) {
			if base := "https://" + address; !slices.Contains(f.client.BaseURLs, base) {
				f.client.BaseURLs = append(f.client.BaseURLs, base)
			}
		}
	}
	return f.client
}
