package systest

import (
	"encoding/json"
	"net/http"

	"primespark/shared/fleet"
	"primespark/shared/wire"
)

// probesPort is where a witness tells how it fares.
const probesPort = ":7479"

// JoinWitness makes a new coordinator of that name that only votes.
func (f *Fleet) JoinWitness(name string) {
	f.t.Helper()
	p := f.process(name, fleet.Coordinator)
	p.witness = true
	f.enter(p)
}

// Probe asks a witness how it fares, on its own host.
func (f *Fleet) Probe(name, path string) (status int, body wire.ReadyBody) {
	f.t.Helper()
	host := f.nodes[name].host
	t := &http.Transport{DialContext: host.Dial}
	defer t.CloseIdleConnections()
	res, err := (&http.Client{Transport: t}).Get("http://" + host.Name() + probesPort + path)
	if err != nil {
		f.t.Fatal(err)
	}
	defer res.Body.Close()
	_ = json.NewDecoder(res.Body).Decode(&body) // not all paths have such a body
	return res.StatusCode, body
}
