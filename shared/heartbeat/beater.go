package heartbeat

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"primespark/shared/run"
)

// Times of a connection.
const (
	connectTime = 2 * time.Second
	leastWait   = 200 * time.Millisecond // before another try
	mostWait    = 2 * time.Second
	goodbye     = 500 * time.Millisecond
	lookEvery   = 200 * time.Millisecond // for coordinators that came or went
	noteEvery   = 400 * time.Millisecond // for what has changed, if the pace is slower
)

// A Target is a coordinator to beat to.
type Target struct{ Name, API string }

// Config is what a Beater works with.
type Config struct {
	Targets func() []Target                                                      // the coordinators, asked four times a second
	Dial    func(ctx context.Context, network, address string) (net.Conn, error) //
	TLS     func(coordinator string) *tls.Config                                 // for a connection to that one and nobody else
	Say     func() Beat                                                          // all that is to be told; what has not changed is left out
	Log     *slog.Logger
}

// A Beater beats to every coordinator. It is a part; when it ends it says goodbye.
type Beater struct {
	cfg Config

	mu        sync.Mutex
	connected map[string]string // name -> API address
}

// New returns a Beater.
func New(cfg Config) *Beater { return &Beater{cfg: cfg, connected: map[string]string{}} }

func (*Beater) String() string { return "heartbeat" }

// Connected are the coordinators that take the beats now, each proved by its
// certificate, with the addresses of their API.
func (b *Beater) Connected() map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.connected)
}

func (b *Beater) note(t Target, yes bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if yes {
		b.connected[t.Name] = t.API
		return
	}
	delete(b.connected, t.Name)
}

// Run beats until ctx ends.
func (b *Beater) Run(ctx context.Context) error {
	links := map[Target]context.CancelFunc{}
	var all sync.WaitGroup
	defer all.Wait() // for the goodbyes
	for {
		wanted := map[Target]bool{}
		for _, t := range b.cfg.Targets() {
			wanted[t] = true
			if links[t] == nil {
				own, end := context.WithCancel(ctx)
				links[t] = end
				all.Go(func() { b.keep(own, t) })
			}
		}
		for t, end := range links {
			if !wanted[t] {
				end()
				delete(links, t)
			}
		}
		if !run.Sleep(ctx, run.Due(lookEvery)) {
			for _, end := range links {
				end()
			}
			return nil
		}
	}
}

// keep keeps a connection to one coordinator until ctx ends.
func (b *Beater) keep(ctx context.Context, to Target) {
	older := b.transport(to)
	defer older.CloseIdleConnections()
	wait, told := time.Duration(0), false
	for ctx.Err() == nil {
		start := time.Now()
		err := b.once(ctx, older, to)
		b.note(to, false)
		older.CloseIdleConnections()
		if ctx.Err() != nil {
			return
		}
		if time.Since(start) > 10*time.Second {
			wait, told = 0, false
		}
		if !told {
			b.cfg.Log.Info("heartbeat broken, trying again", "coordinator", to.Name, "err", err)
			told = true
		}
		wait = min(max(2*wait, leastWait), mostWait)
		run.Sleep(ctx, run.Jitter(wait))
	}
}

// errRefused is an answer that is none.
var errRefused = errors.New("the coordinator does not take the heartbeat")

// once beats on one connection until that breaks or ctx ends.
func (b *Beater) once(ctx context.Context, older http.RoundTripper, to Target) error {
	l, err := b.connect(ctx, to)
	if errors.Is(err, errOlder) {
		return b.byHTTP2(ctx, older, to)
	}
	if err != nil {
		return err
	}
	return b.onLine(ctx, l, to)
}
