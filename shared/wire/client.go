package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"primespark/shared/problem"
)

// MaxBody bounds what the client reads of an answer, in bytes.
const MaxBody = 32 << 20 // no less than task.MaxObject

// passes is how often the client goes through its servers: once, and once more
// after the pause that they asked for.
const passes = 2

// patience is the longest pause between two passes.
const patience = 5 * time.Second

// A Client talks to the coordinators. It asks the one that answered last, and
// goes on to the next when that one cannot be reached or is busy, not ready or
// without a leader; when all of them are, it waits as they ask (Retry-After, 5 s
// at most, and never past ctx) and tries once more.
//
// A request that changes something is sent again only when its connection was
// refused, or when the server said that it could not have it decided. Where the
// leader was lost just then, it may have been decided all the same; each of them
// may be done twice without harm.
//
// The zero HTTP means a client that gives up on a silent address after 3 s. A
// Client is safe to share and must not be copied after its first use.
type Client struct {
	BaseURLs []string // "https://10.0.0.1:7480", at least one
	HTTP     *http.Client
	Token    string // sent as a bearer token if not empty
	Stale    bool   // reads may be answered without a quorum, by what the server last knew

	last atomic.Int64 // index of the server that answered last
}

var plain = &http.Client{Transport: &http.Transport{
	Proxy:                 http.ProxyFromEnvironment,
	DialContext:           (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
	TLSHandshakeTimeout:   5 * time.Second,
	ResponseHeaderTimeout: 90 * time.Second,
	IdleConnTimeout:       60 * time.Second,
	ForceAttemptHTTP2:     true,
}}

// A call is one request, to be sent to whoever answers.
type call struct {
	method string
	path   string
	query  url.Values
	header http.Header
	body   []byte
	safe   bool // may be sent twice without harm
}

// An answer is what came back, whatever its status below 400.
type answer struct {
	header http.Header
	body   []byte
	base   string
}

// Base is the address of the server that answered last, or of the first one.
func (c *Client) Base() string { return c.BaseURLs[int(c.last.Load())%len(c.BaseURLs)] }

// do sends c to one server after another until one of them answers for good.
func (c *Client) do(ctx context.Context, call call) (answer, error) {
	res, err := c.open(ctx, call)
	if err != nil {
		return answer{}, err
	}
	a, err := read(res)
	if _, ok := errors.AsType[*problem.Error](err); err != nil && !ok {
		return a, unreachable([]string{a.base}, err)
	}
	return a, err
}

// read takes an answer whole, and closes it.
func read(res *http.Response) (answer, error) {
	defer res.Body.Close()
	a := answer{header: res.Header, base: res.Request.URL.Host}
	body, err := io.ReadAll(io.LimitReader(res.Body, MaxBody+1))
	if err != nil {
		return a, fmt.Errorf("read the answer: %w", err)
	}
	if len(body) > MaxBody {
		return a, problem.New(problem.TooLarge, "Ask for less at a time.",
			"The answer of %s is larger than %d bytes.", a.base, MaxBody)
	}
	a.body = body
	return a, nil
}

// open sends c and returns an answer whose status is below 400, its body unread.
func (c *Client) open(ctx context.Context, call call) (*http.Response, error) {
	if len(c.BaseURLs) == 0 {
		return nil, noServer()
	}
	for pass := 1; ; pass++ {
		res, pause, err := c.pass(ctx, call)
		if err == nil || pause == 0 || pass == passes || !wait(ctx, min(pause, patience)) {
			return res, err
		}
	}
}

// pass tries each server once. A pause above zero says that it is worth trying
// again after it.
func (c *Client) pass(ctx context.Context, call call) (*http.Response, time.Duration, error) {
	first := int(c.last.Load())
	var refusal *problem.Error
	var silent []error
	var tried []string
	for i := range c.BaseURLs {
		at := (first + i) % len(c.BaseURLs)
		base := c.BaseURLs[at]
		res, err := c.send(ctx, base, call)
		if err != nil {
			if ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled) {
				return nil, 0, ctx.Err()
			}
			silent, tried = append(silent, err), append(tried, base)
			if ctx.Err() != nil || !call.safe && !unsent(err) {
				break
			}
			continue
		}
		if res.StatusCode < 400 {
			c.last.Store(int64(at))
			return res, 0, nil
		}
		e := refused(res)
		if !elsewhere(e.Code) {
			c.last.Store(int64(at))
			return nil, 0, e
		}
		refusal = e
	}
	if refusal != nil { // somebody answered: that says more than the silence of others
		return nil, max(refusal.RetryAfter, time.Second), refusal
	}
	return nil, 0, unreachable(tried, errors.Join(silent...))
}

func (c *Client) send(ctx context.Context, base string, call call) (*http.Response, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("%q is no address of a server; write it like https://10.0.0.1:7480", base)
	}
	target := strings.TrimRight(base, "/") + call.path
	if len(call.query) > 0 {
		target += "?" + call.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, call.method, target, bytes.NewReader(call.body))
	if err != nil {
		return nil, err
	}
	if call.header != nil {
		req.Header = call.header.Clone()
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	client := c.HTTP
	if client == nil {
		client = plain
	}
	return client.Do(req)
}

// refused reads and closes an answer of status 400 and above.
func refused(res *http.Response) *problem.Error {
	defer res.Body.Close()
	// A body that breaks off is read as far as it goes: the status has said enough.
	body, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	return problem.Read(res.StatusCode, res.Header, body)
}

// elsewhere reports whether another coordinator, or the same one a little
// later, may do what this one could not.
func elsewhere(c problem.Code) bool {
	switch c {
	case problem.NoLeader, problem.NoQuorum, problem.NotReady, problem.NoCapacity, problem.Busy:
		return true
	}
	return false
}

// unsent reports whether err says that no byte of the request has left.
func unsent(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

func noServer() error {
	return problem.New(problem.Invalid, "Give one with --server, or run prime-spark login.", "No server is set.")
}

func unreachable(tried []string, err error) *problem.Error {
	remedy := "Check that a coordinator runs there and that the address is right (--server)."
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		remedy = "Its certificate is not of the expected cluster; give the cluster's CA with ca_file, or run prime-spark login again."
	}
	return &problem.Error{
		Code:   problem.Unreachable,
		Detail: fmt.Sprintf("No coordinator answers at %s.", strings.Join(tried, ", ")),
		Remedy: remedy,
		Err:    err,
	}
}

// get reads JSON of path into out.
func (c *Client) get(ctx context.Context, path string, query url.Values, out any) error {
	a, err := c.do(ctx, call{method: http.MethodGet, path: path, query: query, safe: true})
	if err != nil {
		return err
	}
	return a.decode(out)
}

// post sends in as JSON (nothing if nil) and reads JSON into out (nothing if nil).
func (c *Client) post(ctx context.Context, path string, in, out any) error {
	call := call{method: http.MethodPost, path: path}
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode the request of %s: %w", path, err)
		}
		call.body, call.header = b, http.Header{"Content-Type": {"application/json"}}
	}
	a, err := c.do(ctx, call)
	if err != nil || out == nil {
		return err
	}
	return a.decode(out)
}

func (a answer) decode(out any) error {
	if err := json.Unmarshal(a.body, out); err != nil {
		return &problem.Error{
			Code: problem.Unexpected, Err: err,
			Detail: fmt.Sprintf("The answer of %s is not what a coordinator sends.", a.base),
			Remedy: "Check that the address is a coordinator's, and that its version is not older than this program's.",
		}
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) bool {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= d {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
