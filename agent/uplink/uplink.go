// Package uplink sends what the node measured to an MQTT broker.
//
// It uses the client library as a dumb pipe: no session, no automatic
// reconnect. Each connection begins with the first sample that is not
// acknowledged; receivers tell by boot, stream and sequence what they have twice.
//
// A broker's acknowledgement says that the broker has a sample, not that anybody
// stored it: one that falls over right then, or whose reader is not connected,
// loses it. So samples stay in the outbox until the coordinators acknowledge them
// on a topic of the node (Config.AckByBroker: false). With AckByBroker the
// broker's word is enough, and what it loses is lost. Newest values and the status
// need no such care: they are sent anew with each connection.
package uplink

import (
	"context"
	"crypto/tls"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/agent/outbox"
	"primespark/shared/health"
	"primespark/shared/mqttpipe"
	"primespark/shared/run"
	"primespark/shared/telemetry"
	"primespark/shared/watch"
)

const (
	window     = 32               // messages that wait for an acknowledgement
	batch      = 200              // samples in a message
	patience   = 30 * time.Second // for an acknowledgement
	stateEvery = 5 * time.Second  // between two messages of the newest values
	settled    = time.Minute      // a connection that lasted so long was a good one
	waitLeast  = time.Second
	waitMost   = time.Minute
	eventsMost = 256 // events that wait; the oldest make room
)

// A Source has the newest values.
type Source interface {
	Newest() *watch.Value[telemetry.Newest]
}

// Config says which broker to use and as whom.
type Config struct {
	Broker       string // tcp://host:1883 or ssl://host:8883
	Topics       telemetry.Topics
	Username     string
	PasswordFile string      // holds the password alone; read for each connection
	TLS          *tls.Config // for ssl://; the system's authorities if nil

	Box         *outbox.Box      // the samples; nil if only the newest are told
	AckByBroker bool             // what the broker has got need not wait any more
	Conditions  *health.Registry // told of what goes wrong for longer; nil for nobody

	// Self returns what the state message has of the node besides its newest values,
	// under "self"; nil for nothing.
	Self     func() any
	Standing []Standing

	// Dial replaces net.Dialer.DialContext, for tests.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// An Uplink sends while it runs. It is safe to share.
type Uplink struct {
	cfg     Config
	broker  *url.URL
	source  Source
	log     *slog.Logger
	metrics *metrics

	mu     sync.Mutex
	events []telemetry.Event // not yet acknowledged, oldest first
	seq    uint64            // of the newest event
	notify chan struct{}     // 1 deep: there is an event
}

var _ run.Part = (*Uplink)(nil)

// New returns an uplink that is not connected yet.
func New(cfg Config, source Source, log *slog.Logger, reg prometheus.Registerer) (*Uplink, error) {
	if err := cfg.Topics.Check(); err != nil {
		return nil, err
	}
	u, err := mqttpipe.Parse(cfg.Broker)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(reg)
	if err != nil {
		return nil, err
	}
	if cfg.Conditions == nil {
		cfg.Conditions = health.New(nil)
	}
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}
	return &Uplink{
		cfg: cfg, broker: u, source: source, log: log, metrics: m,
		notify: make(chan struct{}, 1),
	}, nil
}

// Event sends word of something that happened. It never waits: while the broker
// is away up to 256 events are kept, the newest ones.
func (u *Uplink) Event(code, severity, detail string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.seq++
	u.events = append(u.events, telemetry.Event{
		Seq: u.seq, At: time.Now().UTC().Truncate(time.Millisecond),
		Code: code, Severity: severity, Detail: detail,
	})
	if len(u.events) > eventsMost {
		u.events = u.events[1:]
	}
	select {
	case u.notify <- struct{}{}:
	default: // it is told already
	}
}

// Run keeps a connection to the broker until ctx ends, and then says offline.
// A broker that is away is told of when that begins and when it ends.
func (u *Uplink) Run(ctx context.Context) error {
	wait, away := waitLeast, false
	var rivals storm
	for ctx.Err() == nil {
		start := time.Now()
		connected := false
		err := u.connection(ctx, func() {
			away, connected = false, true
			u.log.Info("connected to broker", "broker", u.broker.Redacted())
		})
		if ctx.Err() != nil {
			return nil
		}
		u.metrics.losses.Inc()
		u.judge(&rivals, connected, time.Now(), time.Since(start))
		if time.Since(start) > settled {
			wait = waitLeast
		}
		if !away {
			away = true
			u.log.Warn("no broker, samples wait", "broker", u.broker.Redacted(), "err", err,
				"remedy", "check mqtt.broker and that it runs; it is tried again, up to a minute apart")
		}
		run.Sleep(ctx, fullJitter(wait))
		wait = min(2*wait, waitMost)
	}
	return nil
}

func (u *Uplink) String() string { return "uplink" }

// fullJitter spreads the nodes that a broker lost together over the whole wait.
// Two nodes of one name, which throw each other out, slow down by it too.
func fullJitter(d time.Duration) time.Duration { return d/10 + rand.N(d*9/10) }
