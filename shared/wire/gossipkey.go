package wire

import (
	"context"
	"time"
)

// The paths of the gossip key.
const (
	PathGossipKey    = "/v1/gossip-key"
	PathGossipRotate = "/v1/gossip-key:rotate"
)

// The steps of a change of the gossip key.
const (
	GossipSettled = "settled" // none is under way
	GossipInstall = "install" // the nodes learn the new key
	GossipSwitch  = "switch"  // they encrypt with it, and still understand the old one
)

// GossipKeyBody answers GET /v1/gossip-key. There is no key in it.
type GossipKeyBody struct {
	Generation uint64    `json:"generation"` // of the key that gossip is encrypted with; 0 is that of the founding
	Target     uint64    `json:"target"`     // that to come to
	Step       string    `json:"step"`
	Changed    time.Time `json:"changed,omitzero"`  // when the newest change began
	Reason     string    `json:"reason,omitempty"`  // of it
	Missing    []string  `json:"missing,omitempty"` // nodes that have not followed the step, or are not heard
}

// GossipKey reads how the gossip key stands.
func (c *Client) GossipKey(ctx context.Context) (b GossipKeyBody, err error) {
	err = c.get(ctx, PathGossipKey, c.reading(), &b)
	return b, err
}

// RotateGossipKey begins a change of the gossip key, which goes on by itself.
func (c *Client) RotateGossipKey(ctx context.Context) (b GossipKeyBody, err error) {
	err = c.change(ctx, PathGossipRotate, "", struct{}{}, &b)
	return b, err
}
