package systest

import (
	"context"
	"io"
	"net/http"
	"time"

	agentconfig "primespark/agent/config"
	"primespark/coordinator/config"
	"primespark/shared/fleet"
	"primespark/shared/identity"
)

// Tune starts a coordinator anew with another configuration.
func (f *Fleet) Tune(name string, change func(*config.Config)) {
	f.t.Helper()
	f.Stop(name)
	f.nodes[name].tune = change
	f.Start(name)
}

// TuneAgent starts an agent anew with another configuration.
func (f *Fleet) TuneAgent(name string, change func(*agentconfig.Config)) {
	f.t.Helper()
	f.Stop(name)
	f.nodes[name].tuneAgent = change
	f.Start(name)
}

// Figures are what a node shows to Prometheus: to the operator at a coordinator, to
// another node of the cluster at an agent.
func (f *Fleet) Figures(name string) string {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 10*time.Second)
	defer cancel()
	p := f.nodes[name]
	transport := &http.Transport{
		DialContext:     f.nodes["c1"].host.Dial,
		TLSClientConfig: f.Identity("c1").ClientTLSFor(identity.Node(name, p.role)),
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+p.addresses().API+"/metrics", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	if p.role == fleet.Coordinator {
		req.Header.Set("Authorization", "Bearer "+f.token)
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		f.t.Fatalf("figures of %s: %v", name, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	if err != nil || res.StatusCode != http.StatusOK {
		f.t.Fatalf("figures of %s: %s, %v, %s", name, res.Status, err, text)
	}
	return string(text)
}
