// Package api is the coordinator's front: the HTTP API, the inference gateway
// and the page.
//
// One table (routes.go) says of each route what it is, who may call it and under
// which name it is audited; the mux, the checks, /openapi.json and /docs all come
// from it. What is not in the table does not exist, and what is not allowed there
// is refused.
//
// Reads of decided things are linearizable, from whichever coordinator; with
// ?stale=1 they are answered from memory at once and say so in X-Stale. The
// gateway and the page need no quorum.
package api

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"primespark/coordinator/events"
	"primespark/coordinator/fsm"
	"primespark/coordinator/route"
	"primespark/coordinator/status"
	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/identity"
	"primespark/shared/oip/rpc"
	"primespark/shared/watch"
)

// A Group is the raft group as the API uses it.
type Group interface {
	// Propose carries out a command that actor wants, and returns its result in
	// JSON; nil means that it is durable on a majority.
	Propose(ctx context.Context, actor string, c fsm.Command) (json.RawMessage, error)
	// Read returns a state that holds all that was acknowledged before.
	Read(ctx context.Context) (fsm.State, error)
	// State returns the newest state known here, and a channel that closes at the next.
	State() (fsm.State, <-chan struct{})
}

// Members is who may leave the group of coordinators.
type Members interface {
	// Depart prepares that a coordinator leaves, and refuses that where the others
	// could not decide any more, unless force says that this is wanted.
	Depart(ctx context.Context, name string, force bool) error
	// Shunned tells that the others do not count this coordinator any more.
	Shunned(ctx context.Context) bool
}

// A Gateway passes inference requests on to agents.
type Gateway interface {
	Choose(model string) route.Choice
	// Forward sends the request to an agent, with the body that was read from it.
	Forward(in *http.Request, model string, body []byte) (*http.Response, error)
	// At sends the request to that agent and to no other, within the time of its
	// context, and returns the body of its answer.
	At(in *http.Request, node string, body []byte) ([]byte, error)
}

// An Enroller makes join codes and admits nodes that show one.
type Enroller interface {
	// NewCode makes a code that actor asked for; text is the secret that a node is given.
	NewCode(ctx context.Context, actor string, spec CodeSpec) (text string, made fsm.Code, err error)
	Join(ctx context.Context, remoteIP string, req identity.JoinRequest) (identity.JoinResponse, error)
	// Renew gives node id another certificate; from is the hash of its present key.
	Renew(ctx context.Context, id identity.ID, from string, req identity.RenewRequest) (identity.RenewResponse, error)
}

// A CodeSpec says what a new join code is for.
type CodeSpec struct {
	Role   fleet.Role
	TTL    time.Duration // 0: the enroller's default
	Uses   int           // 0: one
	Rejoin bool          // may take over the name of a member
	Hold   bool          // nodes wait for approval
	Seed   fsm.Seed      // what it is made of
	Call   fsm.Call      // that asks for it
}

// A Standing is how the raft group looks from this coordinator.
type Standing struct {
	Role        string // of this coordinator: leader, follower or candidate
	Leader      string // empty if none is known
	Term        uint64
	LastContact time.Duration // since the leader was heard; below 0 if never
	Servers     []Peer        // the raft configuration
}

// A Peer is one member of the raft group.
type Peer struct {
	Name    string
	Address string // of its raft port
	Voter   bool
}

// Config is what the API serves.
type Config struct {
	Self      string // name of this coordinator
	Group     Group
	Members   Members
	Standing  func() Standing
	Views     *watch.Value[fleet.View]
	Gateway   Gateway
	Enroller  Enroller
	Tasks     Queue
	MostTasks int // that wait or run; the state's own bound if 0
	MostBytes int // that these take; as well
	Objects   Shelf
	Ear       Ear // nil: no heartbeats are taken
	Atlas     Atlas
	// GossipKeys makes the keys that a state asks for; nil: none are told.
	GossipKeys func(fsm.State) (identity.Keyring, error)
	// KeysMissing are the nodes that have not followed the present step of a change.
	KeysMissing func(fsm.State) []string
	Events      *events.Log
	Health      func() health.List // what is wrong with this node
	SessionKey  []byte             // the cluster's, for the page's log-in; 32 bytes
	MaxBody     int64              // of an inference request; 16 MiB if 0
	Log         *slog.Logger
	Registry    *prometheus.Registry // nil: one of its own
	Backups     Saver                // nil: none are made
	History     History              // nil: none is kept
}

// An API answers HTTP requests. Its Run must be running for the page and the
// stream to follow the fleet.
type API struct {
	cfg      Config
	metrics  metrics
	page     *watch.Value[*status.Sheet]
	looks    looks               // pages that were handed out
	pulse    status.Pulse        // how agents were
	trends   status.Trends       // how full their batteries were
	bodies   *semaphore.Weighted // bytes of inference requests in memory
	streams  chan struct{}       // one for each open stream
	open     context.Context     // ends when the streams must
	stopped  <-chan struct{}     // closes then
	stop     func()              // ends it
	spec     object              // /openapi.json
	examples map[string]Example  // of calls, by route
	rpc      *rpc.Server         // answers gRPC by the routes of /v2
	roster   roster              // of the plans
	polls    polls               // for the plans
	wrong    tries               // to log in

	receiving chan struct{} // one for each object that is being received
	drawing   chan struct{} // one for each page with charts that is being made

	leaderless atomic.Pointer[time.Time] // since when no leader is known; nil if one is
	sum        atomic.Pointer[checksum]  // of the newest state that somebody asked about
}

// Bounds of what the API keeps in memory.
const (
	defaultMaxBody = 16 << 20
	maxBodies      = 64 << 20 // bytes of inference requests, all together
	maxJSON        = 64 << 10 // bytes of any other request
	maxStreams     = 256
)

// New returns an API, or an error if a route is not fit to be served.
func New(cfg Config) (*API, error) {
	if err := check(routes()); err != nil {
		return nil, err
	}
	if len(cfg.SessionKey) < 32 {
		return nil, fmt.Errorf("the session key has %d bytes, want 32", len(cfg.SessionKey))
	}
	if cfg.MaxBody <= 0 {
		cfg.MaxBody = defaultMaxBody
	}
	if cfg.Registry == nil {
		cfg.Registry = prometheus.NewRegistry()
	}
	examples, err := readExamples()
	if err != nil {
		return nil, err
	}
	a := &API{
		cfg: cfg, metrics: newMetrics(cfg.Registry), spec: description(examples), examples: examples,
		bodies:  semaphore.NewWeighted(max(maxBodies, cfg.MaxBody)),
		streams: make(chan struct{}, maxStreams), receiving: make(chan struct{}, receiving),
		drawing: make(chan struct{}, drawing),
	}
	a.open, a.stop = context.WithCancel(context.Background())
	a.stopped = a.open.Done()
	a.rpc = rpc.New(rpc.Config{
		MaxMessage: cfg.MaxBody, Memory: max(maxBodies, cfg.MaxBody), MaxDeadline: maxDeadline,
		Read: readTimeout, Write: sendTimeout, Until: a.open, Log: cfg.Log,
	})
	a.page = watch.New(a.sheet(time.Now()))
	return a, nil
}

// Stop ends the streams, which would otherwise never end and hold up the end of
// their server. It may be called more than once.
func (a *API) Stop() { a.stop() }

func (a *API) String() string { return "api" }

// The pace of the page: at most so often when things change, and at least so
// often for the ages that it shows. A page of a thousand rows has some 900 KB, and
// something on it has always changed: it comes each two seconds.
const (
	soonest = 500 * time.Millisecond
	eachRow = 2 * time.Millisecond
	latest  = 5 * time.Second
)

// Run keeps the page up to date until ctx ends.
func (a *API) Run(ctx context.Context) error {
	for {
		_, decided := a.cfg.Group.State()
		_, moved := a.cfg.Views.Load()
		_, happened := a.cfg.Events.Load()
		sheet := a.sheet(time.Now())
		a.page.Store(sheet)
		a.looks.forget(sheet.View.At)
		soon := min(max(soonest, time.Duration(len(sheet.View.Nodes))*eachRow), latest)
		pause := time.NewTimer(soon)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return nil
		}
		due := time.NewTimer(latest - soon)
		select {
		case <-decided:
		case <-moved:
		case <-happened:
		case <-due.C:
		case <-ctx.Done():
			due.Stop()
			return nil
		}
		due.Stop()
	}
}
