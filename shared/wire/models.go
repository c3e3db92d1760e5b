package wire

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"primespark/shared/problem"
	"primespark/shared/task"
)

// PathModels is where the models are that the fleet was given.
const PathModels = "/v1/models"

// ModelRemovePath is where to post that a model is to go.
func ModelRemovePath(name string) string { return PathModels + "/" + url.PathEscape(name) + ":remove" }

// FleetModelsBody answers GET /v1/models, by name.
type FleetModelsBody struct {
	Models []FleetModel `json:"models"`
}

// A FleetModel is a model that the fleet was given, or that an agent has of its own,
// and how it fares on each agent.
type FleetModel struct {
	Name    string      `json:"name"`
	Version string      `json:"version,omitempty"`
	Fleet   bool        `json:"fleet"`             // given to the fleet; false: agents have it of their own
	Size    int64       `json:"size,omitempty"`    // of its files, in bytes
	Engines []string    `json:"engines,omitempty"` // that can run it, the first choice first
	For     []string    `json:"for,omitempty"`     // agents that are to serve it; empty: all that can
	Added   time.Time   `json:"added,omitzero"`
	By      string      `json:"by,omitempty"`
	On      []ModelOnIt `json:"on"` // by agent
}

// The states of a model on an agent.
const (
	ModelReady    = "ready"    // it answers
	ModelCold     = "cold"     // it is there and not in memory; the first request loads it
	ModelFetching = "fetching" // it is on its way there
	ModelRefused  = "refused"  // Detail says why
	ModelUnfit    = "unfit"    // the agent cannot run it, and fetches nothing
	ModelWaiting  = "waiting"  // the agent has said nothing of it yet
)

// ModelOnIt is how a model fares on one agent.
type ModelOnIt struct {
	Node    string  `json:"node"`
	State   string  `json:"state"`
	Version string  `json:"version,omitempty"` // that answers
	Backend string  `json:"backend,omitempty"`
	Millis  float64 `json:"latency_ms,omitempty"`
	Detail  string  `json:"detail,omitempty"` // how far it is, or why not
}

// ModelPut is the body of POST /v1/models: a package whose parts were handed in as
// objects, and its bill, which was too.
type ModelPut struct {
	Bill task.Object `json:"bill"`
	For  []string    `json:"for,omitempty"` // agents that are to serve it; empty: all that can
}

// FleetModels reads the models of the fleet, and how they fare.
func (c *Client) FleetModels(ctx context.Context) (b FleetModelsBody, err error) {
	err = c.get(ctx, PathModels, c.reading(), &b)
	return b, err
}

// PutModel gives the fleet a model.
func (c *Client) PutModel(ctx context.Context, m ModelPut) (b FleetModel, err error) {
	err = c.change(ctx, PathModels, "", m, &b)
	return b, err
}

// RemoveModel takes a model out of the fleet.
func (c *Client) RemoveModel(ctx context.Context, name string) (b FleetModel, err error) {
	err = c.change(ctx, ModelRemovePath(name), "", struct{}{}, &b)
	return b, err
}

// HasObject reports whether the coordinators have an object, so that it need not be
// handed in again.
func (c *Client) HasObject(ctx context.Context, o task.Object) (bool, error) {
	_, err := c.do(ctx, call{method: http.MethodHead, path: ObjectPath(o.SHA256), safe: true})
	if p, ok := errors.AsType[*problem.Error](err); ok && p.Code.Status() == http.StatusNotFound {
		return false, nil
	}
	return err == nil, err
}
