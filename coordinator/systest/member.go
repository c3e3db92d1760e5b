package systest

import (
	"net/http"

	"primespark/shared/fleet"
	"primespark/shared/wire"
)

// Member returns a client that speaks to the coordinators named as that agent
// does: from its host, with its certificate.
func (f *Fleet) Member(agent string, coordinators ...string) *wire.Client {
	f.t.Helper()
	transport := &http.Transport{DialContext: f.nodes[agent].host.Dial, TLSClientConfig: f.Identity(agent).ClientTLS(fleet.Coordinator)}
	f.t.Cleanup(transport.CloseIdleConnections)
	c := &wire.Client{HTTP: &http.Client{Transport: transport}}
	for _, name := range coordinators {
		c.BaseURLs = append(c.BaseURLs, "https://"+f.nodes[name].addresses().API)
	}
	return c
}

// Stop ends a node as SIGTERM does, and returns once it has ended.
func (f *Fleet) Stop(name string) {
	f.Term(name)
	<-f.nodes[name].done
}

// Term is Stop that does not wait for the end.
func (f *Fleet) Term(name string) { f.nodes[name].stop() }
