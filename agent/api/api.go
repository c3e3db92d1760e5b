// Package api is what a node answers over HTTP: inference by the Open Inference
// Protocol v2, the node's own figures, health and metrics. The protocol is there
// over gRPC, too, at the same doors: package rpc writes its calls as the REST
// requests that mean the same.
//
// One handler serves several listeners: HTTPS for the cluster, a unix socket and
// plain HTTP on loopback for programs on the node. Who may come in is decided for
// each listener by its Authorize; /livez, /readyz and /v1/version are open. No
// request, however large, slow or broken, takes more memory than Config allows,
// and none ends the process.
//
// For inference a body that is a JPEG, PNG, WebP, BMP or TIFF is taken as the image even
// without the protocol's header for the raw form, so that
// "curl --data-binary @cat.jpg" works as it is typed.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/agent/infer"
	"primespark/hailo"
	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/mesh"
	"primespark/shared/model"
	"primespark/shared/oip"
	"primespark/shared/oip/rpc"
	"primespark/shared/worker"
)

// Models runs the models of the node. Errors that are *problem.Error reach the
// client; others are told as unexpected and logged.
type Models interface {
	Index() []model.Status
	// Metadata describes a model; version "" is the one that the node chooses.
	Metadata(name, version string) (model.Metadata, error)
	Ready(name, version string) bool
	// Infer reads the inputs until it returns, and keeps none of them.
	Infer(ctx context.Context, name, version string, req infer.Request) (infer.Response, error)
	Load(ctx context.Context, name string) error
	Unload(ctx context.Context, name string) error
}

// Health knows what is wrong with the node.
type Health interface {
	Reasons() health.List
	All() health.List // the warnings, too
	Set(code health.Code, severity health.Severity, detail, remedy string)
}

// Self is the node as /v1/node shows it.
type Self struct {
	Name      string            `json:"name"`
	Role      fleet.Role        `json:"role"`
	Mode      fleet.Mode        `json:"mode"`
	Vital     fleet.Vital       `json:"vital"`
	Addresses map[string]string `json:"addresses"` // by what they serve: "api", "gossip"
	Outbox    *Outbox           `json:"outbox,omitempty"`
	Hailo     *Accelerator      `json:"hailo,omitempty"`
	ONNX      *Engine           `json:"onnxruntime,omitempty"`
	Power     any               `json:"power,omitempty"` // power.Status, of a node with a battery
	Mesh      *mesh.Report      `json:"mesh,omitempty"`  // nil: it takes no part
	Fleet     *Fleet            `json:"fleet,omitempty"` // nil: it has not joined, or hears of none
}

// A Fleet is the versions of the nodes that this one hears of.
type Fleet struct {
	Alive  int      `json:"alive"`            // this node included
	Newest string   `json:"newest,omitempty"` // release that one runs
	Behind []string `json:"behind,omitempty"` // names of those with an older one
}

// Outbox is what waits to be stored elsewhere, and what the disk bears for it.
type Outbox struct {
	Waiting int    `json:"waiting_samples"`
	Daily   uint64 `json:"written_bytes_per_day"` // by this process, at its pace of the last ten minutes
	Budget  uint64 `json:"written_bytes_per_day_budget"`
}

// An Accelerator is all that is known of the node's own.
type Accelerator struct {
	Sentence string `json:"sentence"` // how it is, for people
	hailo.Status
}

// An Engine is all that is known of one in a worker process.
type Engine struct {
	Sentence string `json:"sentence"` // how it is, for people
	worker.Status
}

// Config holds the limits. A zero value stands for the default.
type Config struct {
	Node       string        // name, for the header X-Prime-Spark-Node
	MaxBody    int64         // bytes of one request; 16 MiB
	BodyMemory int64         // bytes of all bodies that are in memory at once; 4 × MaxBody
	Deadline   time.Duration // for an inference that names none; 30 s
	LoadTime   time.Duration // for loading or unloading a model; 5 min
	Notice     time.Duration // between saying "draining" and taking no more; none
	Drain      time.Duration // for what is under way at shutdown; 10 s
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	if c.MaxBody == 0 {
		c.MaxBody = 16 << 20
	}
	if c.BodyMemory == 0 {
		c.BodyMemory = 4 * c.MaxBody
	}
	set(&c.Deadline, 30*time.Second)
	set(&c.LoadTime, 5*time.Minute)
	set(&c.Drain, 10*time.Second)
	return c
}

// Outside is what the API needs of the rest of the node.
type Outside struct {
	Models  Models
	Health  Health
	Self    func() Self
	Metrics *prometheus.Registry // shown at /metrics; the API's own go there too
	Log     *slog.Logger
	Serve   []Listener
	// Power is what the node draws, in watts, 0 if that is not known, and how many
	// inferences are at work; nil: it is never known.
	Power func() (watts float64, working int)
}

// API is the node's HTTP server. It is a run.Part.
type API struct {
	cfg     Config
	out     Outside
	bodies  *bodies
	stats   *stats
	metrics *metrics
	handler http.Handler
	rpc     *rpc.Server

	endStreams func() // those of gRPC, which would hold up the end
}

// New returns an API that serves nothing until it runs. It fails if a listener
// may not be served as it is, or a metric's name is taken.
func New(cfg Config, out Outside) (*API, error) {
	if out.Models == nil || out.Health == nil || out.Self == nil || out.Log == nil {
		return nil, errors.New("api: Models, Health, Self and Log must be given")
	}
	if out.Metrics == nil {
		out.Metrics = prometheus.NewRegistry()
	}
	if out.Power == nil {
		out.Power = func() (float64, int) { return 0, 0 }
	}
	for _, l := range out.Serve {
		if err := l.check(); err != nil {
			return nil, err
		}
	}
	cfg = cfg.withDefaults()
	m, err := newMetrics(out.Metrics)
	if err != nil {
		return nil, fmt.Errorf("api metrics: %w", err)
	}
	a := &API{
		cfg: cfg, out: out, metrics: m,
		bodies: &bodies{free: cfg.BodyMemory},
		stats:  &stats{models: map[modelKey]*modelStats{}},
	}
	a.handler = a.routes()
	until, end := context.WithCancel(context.Background()) // of the API, not of a call
	a.endStreams = end
	a.rpc = rpc.New(rpc.Config{
		MaxMessage: cfg.MaxBody, Memory: cfg.BodyMemory, MaxDeadline: oip.MaxTimeout,
		Read: readTime, Write: writeTime, Until: until, Log: out.Log,
	})
	return a, nil
}

// String names the part in logs.
func (a *API) String() string { return "agent API" }

// Handler answers requests, gRPC calls too, without any check of who sends them.
func (a *API) Handler() http.Handler { return a.rpc.Beside(a.handler, nil) }
