package ingest

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"primespark/coordinator/history"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

const (
	pageBytes   = 8 << 20 // of a page; more is not read
	connectTime = 2 * time.Second
	pingAfter   = 3 * time.Second // HTTP/2: of silence, until a sign of life is asked for
	pingTime    = 3 * time.Second // and waited for
)

// NewReader returns a Reader over HTTPS, and what ends its connections. Dial
// connects; client is the client side of mutual TLS with the coordinator of a name,
// and with no other.
func NewReader(dial func(ctx context.Context, network, address string) (net.Conn, error), client func(name string) *tls.Config) (read Reader, done func()) {
	var mu sync.Mutex
	transports := map[string]*http.Transport{} // by name and address
	transport := func(name, address string) *http.Transport {
		mu.Lock()
		defer mu.Unlock()
		key := name + " " + address
		if transports[key] == nil {
			transports[key] = &http.Transport{
				DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
					ctx, cancel := context.WithTimeout(ctx, connectTime)
					defer cancel()
					return dial(ctx, network, address)
				},
				TLSClientConfig: client(name), TLSHandshakeTimeout: connectTime, ForceAttemptHTTP2: true,
				HTTP2:           &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTime},
				IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10,
			}
		}
		return transports[key]
	}
	read = func(ctx context.Context, peer, address, id string, after uint64, wait time.Duration) (history.Page, error) {
		q := url.Values{"log": {id}, "after": {strconv.FormatUint(after, 10)}, "wait": {wait.String()}}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+wire.PathTelemetryLog+"?"+q.Encode(), nil)
		if err != nil {
			return history.Page{}, fmt.Errorf("read the history of %s: %w", peer, err)
		}
		res, err := transport(peer, address).RoundTrip(req)
		if err != nil {
			return history.Page{}, fmt.Errorf("read the history of %s: %w", peer, err)
		}
		defer res.Body.Close()
		page, err := readPage(res)
		if err != nil {
			return history.Page{}, fmt.Errorf("read the history of %s: %w", peer, err)
		}
		return page, nil
	}
	return read, func() {
		mu.Lock()
		defer mu.Unlock()
		for _, t := range transports {
			t.CloseIdleConnections()
		}
	}
}

func readPage(res *http.Response) (history.Page, error) {
	if res.StatusCode != http.StatusOK {
		return history.Page{}, problem.New(problem.Unreachable, "See its log.", "It answers with %s.", res.Status)
	}
	p := history.Page{ID: res.Header.Get(wire.HeaderLogID)}
	var err error
	if p.First, err = strconv.ParseUint(res.Header.Get(wire.HeaderLogFirst), 10, 63); err != nil {
		return p, err
	}
	if p.Last, err = strconv.ParseUint(res.Header.Get(wire.HeaderLogLast), 10, 63); err != nil {
		return p, err
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, pageBytes+1))
	if err != nil {
		return p, err
	}
	if len(body) > pageBytes {
		return p, fmt.Errorf("a page of more than %d bytes", pageBytes)
	}
	p.Rows, err = history.DecodeRows(body, p.First)
	return p, err
}
