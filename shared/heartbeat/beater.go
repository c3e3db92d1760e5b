package heartbeat

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
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
	pingAfter   = 2 * time.Second // HTTP/2: of silence of the coordinator, until a sign of life is asked for
	pingTime    = 2 * time.Second // and waited for: one that died tells nobody
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
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, connectTime)
			defer cancel()
			return b.cfg.Dial(ctx, network, address)
		},
		TLSClientConfig: b.cfg.TLS(to.Name), TLSHandshakeTimeout: connectTime, ResponseHeaderTimeout: connectTime, ForceAttemptHTTP2: true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTime},
		MaxResponseHeaderBytes: 16 << 10,
	}
	defer transport.CloseIdleConnections()
	wait, told := time.Duration(0), false
	for ctx.Err() == nil {
		start := time.Now()
		err := b.once(ctx, transport, to)
		b.note(to, false)
		transport.CloseIdleConnections()
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
func (b *Beater) once(ctx context.Context, transport http.RoundTripper, to Target) error {
	open, end := context.WithCancel(context.WithoutCancel(ctx)) // outlives ctx by the goodbye
	defer end()
	body, line := io.Pipe()
	defer line.Close()
	// A line that nobody takes must not hold the end up.
	defer context.AfterFunc(ctx, func() { run.Sleep(open, 2*goodbye); line.Close() })()
	req, err := http.NewRequestWithContext(open, http.MethodPost, "https://"+to.API+Path, body)
	if err != nil {
		return err
	}
	opening := make(chan error, 1)
	gone := make(chan error, 1)
	paces := make(chan time.Duration, 1)
	go func() { // ends with open
		res, err := transport.RoundTrip(req)
		if err == nil && res.StatusCode != http.StatusOK {
			err = fmt.Errorf("%w: %s", errRefused, res.Status)
			res.Body.Close()
		}
		opening <- err
		if err == nil {
			gone <- listen(res.Body, paces)
		}
	}()
	v := voice{say: b.cfg.Say, out: line}
	first := make(chan error, 1)
	go func() { first <- v.beat(true) }() // the body is read once there is a connection; ends with line
	select {
	case err = <-opening:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	select {
	case err = <-first:
	case err = <-gone:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	b.note(to, true)
	return v.speak(ctx, paces, gone)
}

// listen reads the coordinator's paces until its answer ends.
func listen(body io.ReadCloser, paces chan time.Duration) error {
	defer body.Close()
	in := NewReader(body)
	for {
		p, err := in.pace()
		if err != nil {
			return fmt.Errorf("the coordinator ended it: %w", err)
		}
		select {
		case <-paces: // an older one
		default:
		}
		paces <- p.Every() // there is room: nobody else fills it
	}
}
