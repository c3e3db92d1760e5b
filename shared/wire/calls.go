package wire

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"primespark/shared/model"

	"primespark/shared/problem"
	"primespark/shared/version"
)

func (c *Client) reading() url.Values {
	q := url.Values{}
	if c.Stale {
		q.Set("stale", "1")
	}
	return q
}

// Status reads the state of the cluster.
func (c *Client) Status(ctx context.Context) (s StatusBody, err error) {
	err = c.get(ctx, PathStatus, c.reading(), &s)
	return s, err
}

// Nodes reads all nodes, by name.
func (c *Client) Nodes(ctx context.Context) ([]NodeBody, error) {
	var b NodesBody
	err := c.get(ctx, PathNodes, c.reading(), &b)
	return b.Nodes, err
}

// Node reads one node; problem.NotFound if there is none of that name.
func (c *Client) Node(ctx context.Context, name string) (n NodeBody, err error) {
	err = c.get(ctx, NodePath(name), c.reading(), &n)
	return n, err
}

// RevokeNode shuts a node out for good. A coordinator without which the others
// could not decide is refused (problem.Conflict), unless force says that this is
// wanted.
func (c *Client) RevokeNode(ctx context.Context, name string, force bool) (n NodeBody, err error) {
	path := NodeActionPath(name, Revoke)
	if force {
		path += "?force=1"
	}
	err = c.change(ctx, path, "", struct{}{}, &n)
	return n, err
}

// NodeAction does a to a node and returns how it then stands.
func (c *Client) NodeAction(ctx context.Context, name string, a Action) (n NodeBody, err error) {
	err = c.change(ctx, NodeActionPath(name, a), "", struct{}{}, &n)
	return n, err
}

// CreateJoinCode makes a code by which a node may join.
func (c *Client) CreateJoinCode(ctx context.Context, r JoinCodeRequest) (b JoinCodeBody, err error) {
	err = c.change(ctx, PathJoinCodes, "", r, &b)
	return b, err
}

// CreateToken makes a token for a person or a program.
func (c *Client) CreateToken(ctx context.Context, r TokenRequest) (b TokenBody, err error) {
	err = c.change(ctx, PathTokens, "", r, &b)
	return b, err
}

// Tokens reads all tokens, by name, without their secrets.
func (c *Client) Tokens(ctx context.Context) ([]TokenRow, error) {
	var b TokensBody
	err := c.get(ctx, PathTokens, c.reading(), &b)
	return b.Tokens, err
}

// RevokeToken ends a token and all log-ins on the page by it; problem.NotFound if
// there is none of that id, problem.Conflict for the last one of an admin.
func (c *Client) RevokeToken(ctx context.Context, id string) (t TokenRow, err error) {
	err = c.change(ctx, PathTokens+"/"+url.PathEscape(id)+":revoke", "", struct{}{}, &t)
	return t, err
}

// Route asks which nodes would answer for a model, and why.
func (c *Client) Route(ctx context.Context, model string) (b RouteBody, err error) {
	err = c.get(ctx, PathRoute, url.Values{"model": {model}}, &b)
	return b, err
}

// Events reads what happened after the event of that id, oldest first; the
// last ones if after is empty. A limit of 0 leaves it to the server.
func (c *Client) Events(ctx context.Context, after string, limit int) ([]Event, error) {
	q := url.Values{}
	if after != "" {
		q.Set("after", after)
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	var b EventsBody
	err := c.get(ctx, PathEvents, q, &b)
	return b.Events, err
}

// Version reads the build of the coordinator that answers.
func (c *Client) Version(ctx context.Context) (i version.Info, err error) {
	err = c.get(ctx, PathVersion, nil, &i)
	return i, err
}

// Ready asks one coordinator whether it is ready, and why not. That it is not
// is no error.
func (c *Client) Ready(ctx context.Context) (b ReadyBody, err error) {
	if len(c.BaseURLs) == 0 {
		return b, noServer()
	}
	call := call{method: http.MethodGet, path: PathReady}
	var silent []error
	for _, base := range c.BaseURLs {
		res, err := c.send(ctx, base, call)
		if err != nil {
			silent = append(silent, err)
			continue
		}
		a, err := read(res)
		if err != nil {
			silent = append(silent, err)
			continue
		}
		if res.StatusCode != http.StatusOK && json.Unmarshal(a.body, &b) != nil {
			return b, problem.Read(res.StatusCode, res.Header, a.body)
		}
		err = a.decode(&b)
		return b, err
	}
	return b, unreachable(c.BaseURLs, errors.Join(silent...))
}

// Models reads which models the fleet has, and where.
func (c *Client) Models(ctx context.Context) ([]ModelRow, error) {
	a, err := c.do(ctx, call{method: http.MethodPost, path: PathIndex, safe: true})
	if err != nil {
		return nil, err
	}
	var rows []ModelRow
	err = a.decode(&rows)
	return rows, err
}

// Model reads what a model takes and gives.
func (c *Client) Model(ctx context.Context, name string) (model.Metadata, error) {
	var m model.Metadata
	a, err := c.do(ctx, call{method: http.MethodGet, path: ModelPath(name)})
	if err != nil {
		return m, err
	}
	err = a.decode(&m)
	return m, err
}

// An InferAnswer is an answer of the inference gateway: a body of the Open
// Inference Protocol, JSON or binary as its header says, and who made it.
type InferAnswer struct {
	Header   http.Header
	Body     []byte
	Node     string // the agent
	Backend  string // its engine
	Gateway  string // the coordinator
	Attempts int
}

// InferImage has a model look at a JPEG, PNG, WebP, BMP or TIFF image. Header, which may
// be nil, adds request headers, such as HeaderDeadline.
func (c *Client) InferImage(ctx context.Context, model string, image []byte, header http.Header) (InferAnswer, error) {
	h := clone(header)
	h.Set(HeaderLength, "0")
	h.Set("Content-Type", "application/octet-stream")
	return c.infer(ctx, model, image, h)
}

// InferJSON sends a request of the Open Inference Protocol in JSON.
func (c *Client) InferJSON(ctx context.Context, model string, body []byte, header http.Header) (InferAnswer, error) {
	h := clone(header)
	h.Set("Content-Type", "application/json")
	return c.infer(ctx, model, body, h)
}

// infer may be sent twice: an inference changes nothing.
func (c *Client) infer(ctx context.Context, model string, body []byte, h http.Header) (InferAnswer, error) {
	a, err := c.do(ctx, call{method: http.MethodPost, path: ModelPath(model) + "/infer", header: h, body: body, safe: true})
	if err != nil {
		return InferAnswer{}, err
	}
	attempts, err := strconv.Atoi(a.header.Get(HeaderAttempts))
	if err != nil {
		attempts = 1 // an agent that was asked directly does not say
	}
	return InferAnswer{a.header, a.body, a.header.Get(HeaderNode), a.header.Get(HeaderBackend), a.header.Get(HeaderGateway), attempts}, nil
}

func clone(h http.Header) http.Header {
	if h == nil {
		return http.Header{}
	}
	return h.Clone()
}
