package duties

import (
	"context"
	crand "crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/problem"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// Times by which a coordinator shows that it is there. One that lost its power
// answers nothing, not even with a refusal.
const (
	connectTime = time.Second     // twice: TCP, then TLS
	pingAfter   = 3 * time.Second // HTTP/2: of silence, until a sign of life is asked for
	pingTime    = 2 * time.Second // and waited for
)

// maxModels is how many models one request for work may name.
const maxModels = 64

// A Remote is the task queue of the coordinators that are in sight.
type Remote struct {
	node string
	find func() []string
	http *http.Client

	mu     sync.Mutex
	known  []string // the addresses that client was made for, sorted
	client *wire.Client
}

// NewRemote returns the queue for a node. find tells the addresses of the
// coordinators at any time (see Coordinators); dial and client connect to them.
func NewRemote(node string, find func() []string, dial func(ctx context.Context, network, address string) (net.Conn, error), client *tls.Config) *Remote {
	return &Remote{node: node, find: find, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, connectTime)
			defer cancel()
			return dial(ctx, network, address)
		},
		TLSClientConfig: client, TLSHandshakeTimeout: connectTime, ForceAttemptHTTP2: true,
		HTTP2:           &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTime},
		IdleConnTimeout: time.Minute,
	}}}
}

// Close gives the connections back.
func (r *Remote) Close() { r.http.CloseIdleConnections() }

// Coordinators are the addresses to ask at: those of the coordinators that are
// alive or, if there is none, those that the node was told of when it joined.
// An isolated node, which sees nobody at all, has none: it would wait in vain.
func Coordinators(self string, view fleet.View, told []string) (addresses []string) {
	alone := true
	for _, n := range view {
		if n.Name == self || n.Liveness != fleet.Alive {
			continue
		}
		alone = false
		if n.Role == fleet.Coordinator && n.API != "" {
			addresses = append(addresses, n.API)
		}
	}
	if len(addresses) == 0 && !alone {
		return told
	}
	return addresses
}

// api is a client of the coordinators that are in sight now. Nodes begin with
// different ones of them.
func (r *Remote) api() (*wire.Client, error) {
	addresses := slices.Sorted(slices.Values(r.find()))
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(addresses) == 0 {
		return nil, errNobody
	}
	if r.client == nil || !slices.Equal(addresses, r.known) {
		r.known, r.client = addresses, &wire.Client{HTTP: r.http}
		for _, i := range rand.Perm(len(addresses)) {
			r.client.BaseURLs = append(r.client.BaseURLs, "https://"+addresses[i])
		}
	}
	return r.client, nil
}

// Lease is that of Queue.
func (r *Remote) Lease(ctx context.Context, models []string, wait time.Duration) (*wire.Leased, error) {
	c, err := r.api()
	if err != nil {
		return nil, err
	}
	if len(models) > maxModels { // others have their turn with the next request
		models = slices.Clone(models)
		rand.Shuffle(len(models), func(i, j int) { models[i], models[j] = models[j], models[i] })
		models = models[:maxModels]
	}
	grant := crand.Text()
	got, err := c.LeaseTasks(ctx, wire.LeaseRequest{Node: r.node, Kinds: task.Kinds[:], Models: models, Max: 1, Wait: wait.String(), Grant: grant})
	if err != nil && (ctx.Err() != nil || problem.Is(err, problem.Deadline)) {
		return nil, errors.Join(err, r.release(ctx, c, grant))
	}
	if err != nil || len(got) == 0 {
		return nil, err
	}
	return &got[0], nil
}

// release gives back what may have been on its way here when its call was given up. It
// asks the coordinator that has that call, which can end it, before the others.
func (r *Remote) release(ctx context.Context, c *wire.Client, grant string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportTime)
	defer cancel()
	if err := c.ReleaseTasks(ctx, wire.ReleaseRequest{Node: r.node, Grant: grant}); err != nil {
		return fmt.Errorf("give back what may have been leased: %w", err)
	}
	return nil
}

// Renew is that of Queue.
func (r *Remote) Renew(ctx context.Context, t *wire.Leased) (time.Duration, error) {
	c, err := r.api()
	if err != nil {
		return 0, err
	}
	return c.RenewTask(ctx, t.ID, t.Lease)
}

// Complete is that of Queue.
func (r *Remote) Complete(ctx context.Context, t *wire.Leased, result json.RawMessage) error {
	c, err := r.api()
	if err != nil {
		return err
	}
	report := wire.CompleteRequest{Lease: t.Lease, Result: result}
	if len(result) > task.MaxResult {
		kept, err := c.PutObject(ctx, result)
		if err != nil {
			return fmt.Errorf("hand in the result: %w", err)
		}
		report.Result, report.ResultObject = nil, &kept.Object
	}
	_, err = c.CompleteTask(ctx, t.ID, report)
	return err
}

// Object fetches what a task refers to, from whichever coordinator, and checks it.
func (r *Remote) Object(ctx context.Context, o task.Object) ([]byte, error) {
	c, err := r.api()
	if err != nil {
		return nil, err
	}
	return c.Object(ctx, o)
}

// Fail is that of Queue.
func (r *Remote) Fail(ctx context.Context, t *wire.Leased, f Failure) error {
	c, err := r.api()
	if err != nil {
		return err
	}
	_, err = c.FailTask(ctx, t.ID, wire.FailRequest{Lease: t.Lease, Error: f.Reason, Permanent: f.Permanent, Release: f.Release})
	return err
}
