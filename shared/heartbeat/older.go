package heartbeat

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"primespark/shared/run"
)

// Older coordinators take beats by HTTP/2 alone, whose pings tell whether they
// live. An upgrade goes over
// a fleet node by node, in any order.
const (
	pingAfter = 2 * time.Second // of silence of the coordinator, until a sign of life is asked for
	pingTime  = 2 * time.Second // and waited for: one that died tells nobody
)

func (b *Beater) transport(to Target) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, connectTime)
			defer cancel()
			return b.cfg.Dial(ctx, network, address)
		},
		TLSClientConfig: b.cfg.TLS(to.Name), TLSHandshakeTimeout: connectTime, ResponseHeaderTimeout: connectTime, ForceAttemptHTTP2: true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTime},
		MaxResponseHeaderBytes: maxHeader,
	}
}

// byHTTP2 beats to an older coordinator on one stream until that breaks or ctx ends.
func (b *Beater) byHTTP2(ctx context.Context, transport http.RoundTripper, to Target) error {
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
			defer res.Body.Close()
			gone <- follow(NewReader(res.Body), paces)
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

// follow reads a coordinator's paces until its answer ends.
func follow(in Reader, paces chan time.Duration) error {
	for {
		p, err := in.pace()
		if err != nil {
			return fmt.Errorf("the coordinator ended it: %w", err)
		}
		tell(paces, p.Every())
	}
}
