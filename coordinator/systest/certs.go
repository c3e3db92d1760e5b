package systest

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"

	"primespark/agent/plan"
	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/identity"
)

// Identity reads who a node is from its disk, as it was stored last.
func (f *Fleet) Identity(name string) *identity.Identity {
	f.t.Helper()
	id, err := identity.Load(filepath.Join(f.nodes[name].dir, "identity"))
	if err != nil {
		f.t.Fatal(err)
	}
	return id
}

// A Caller speaks to other nodes as an agent does, with its certificate and the
// deny list that it has kept, from a host of its own.
type Caller struct {
	fleet *Fleet
	http  *http.Client
}

// As returns a caller that is an agent as its disk has it now.
func (f *Fleet) As(name string) *Caller {
	f.t.Helper()
	id := f.Identity(name)
	plan.New(plan.Config{ // which sets the deny list
		Identity: id, Dir: f.nodes[name].dir, View: func() fleet.View { return nil }, Dial: f.nodes[name].host.Dial,
		Conditions: health.New(nil), Log: slog.New(slog.DiscardHandler),
	})
	t := &http.Transport{DialContext: f.nodes[name].host.Dial, TLSClientConfig: id.ClientTLS()}
	f.t.Cleanup(t.CloseIdleConnections)
	return &Caller{f, &http.Client{Transport: t}}
}

// Get asks a node for something that only members may have. Anything but an
// answer is an error.
func (c *Caller) Get(ctx context.Context, node string) error {
	p, path := c.fleet.nodes[node], "/v1/nodes?stale=1"
	if p.role == fleet.Agent {
		path = "/v2/models/" + Model
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+p.addresses().API+path, nil)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", res.Status, body)
	}
	return nil
}

// Close gives the connections back.
func (c *Caller) Close() { c.http.CloseIdleConnections() }

// Ready asks an agent for its /readyz, which it answers whoever asks, and returns
// the body.
func (f *Fleet) Ready(name string) string {
	f.t.Helper()
	p := f.nodes[name]
	t := &http.Transport{DialContext: p.host.Dial, TLSClientConfig: insecure()}
	defer t.CloseIdleConnections()
	res, err := (&http.Client{Transport: t}).Get("https://" + p.addresses().API + "/readyz")
	if err != nil {
		f.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(body)
}

// insecure takes any server: the caller is on the same host and shows nothing.
func insecure() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}
}
