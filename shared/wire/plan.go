package wire

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"primespark/shared/identity"
	"primespark/shared/task"
)

// PathPlan is where a node reads its plan.
const PathPlan = "/v1/plan"

// PlanBody answers GET /v1/plan: what was decided about the node that asks, and
// what it must know of the others.
type PlanBody struct {
	Index        uint64               `json:"index"`                 // the raft index that it shows
	State        string               `json:"state"`                 // of the node: approved, draining or revoked
	Deny         map[string]time.Time `json:"deny"`                  // key hash of a certificate that is refused -> when it has expired
	Coordinators []PlanCoordinator    `json:"coordinators"`          // that take part
	Fleet        int                  `json:"fleet,omitempty"`       // how many nodes take part
	Models       []PlanModel          `json:"models"`                // that the node is to serve; null from coordinators that know of none
	GossipKeys   *identity.Keyring    `json:"gossip_keys,omitempty"` // a secret: what gossip is encrypted with
}

// A PlanCoordinator is where a coordinator is reached, host:port.
type PlanCoordinator struct {
	Name   string `json:"name"`
	API    string `json:"api,omitempty"`
	Gossip string `json:"gossip,omitempty"`
}

// A PlanModel is a package that the node is to serve, if it can.
type PlanModel struct {
	Name    string      `json:"name"`
	Version string      `json:"version"`
	Bill    task.Object `json:"bill"` // of its files
}

// Plan reads the plan of the node whose certificate the client shows, as soon as
// it is newer than the index, or as it is when the wait is over.
func (c *Client) Plan(ctx context.Context, index uint64, wait time.Duration) (b PlanBody, err error) {
	err = c.get(ctx, PathPlan, url.Values{"index": {strconv.FormatUint(index, 10)}, "wait": {wait.String()}}, &b)
	return b, err
}
