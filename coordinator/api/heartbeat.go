package api

import (
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"time"

	"primespark/shared/heartbeat"
	"primespark/shared/identity"
	"primespark/shared/problem"
)

// An Ear takes the nodes' heartbeats.
type Ear interface {
	// Attend takes beats of the node who from in until they end or ctx does, and
	// closes in then. It asks still at each whether the node may go on, and has pace
	// tell it how often to beat.
	Attend(ctx context.Context, who identity.ID, in io.ReadCloser, still func() error, pace func(heartbeat.Pace) error) error
}

// heartbeatRoute is the row of the table for beats, whose request does not end.
func heartbeatRoute() Route {
	return Route{
		"POST", heartbeat.Path, Belong, "node.heartbeat", "The node whose certificate is shown lives: a line for each beat, for as long as it does. The answer's lines say how often to beat.",
		nil,
		heartbeat.Beat{},
		heartbeat.Pace{},
		(*API).heartbeat,
	}
}

// unbounded bounds a body that comes in lines, each of which is bounded.
const unbounded = math.MaxInt64

// heartbeat takes the beats of a node over HTTP/2, which answers while it reads.
func (a *API) heartbeat(w http.ResponseWriter, r *call) error {
	id, err := identity.Peer(r.TLS)
	if err != nil {
		return err // the permission asks for a certificate
	}
	if r.ProtoMajor < 2 {
		return problem.New(problem.Invalid, "Use HTTP/2.", "A heartbeat needs HTTP/2.")
	}
	if a.cfg.Ear == nil {
		return problem.New(problem.NotReady, "Ask another coordinator.", "This coordinator takes no heartbeats.")
	}
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{}) // where there are no deadlines, none can pass
	_ = out.SetWriteDeadline(time.Time{})
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(a.open, cancel)()
	return a.cfg.Ear.Attend(ctx, id, r.Body, r.still, func(p heartbeat.Pace) error {
		line, err := json.Marshal(p)
		if err != nil {
			return err
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return err
		}
		return out.Flush()
	})
}
