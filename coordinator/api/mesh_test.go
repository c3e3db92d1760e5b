package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"primespark/coordinator/fsm"
	"primespark/shared/mesh"
	"primespark/shared/wire"
)

// TestMesh is the life of a node's key and of a phone, as the API takes them.
func TestMesh(t *testing.T) {
	l := newLab(t)
	key := func(n byte) string { return mesh.PublicKey{n, 31: 1}.String() }
	announce := func(generation, n string) string {
		return `{"keys": [{"generation": ` + generation + `, "public": "` + n + `"}], "endpoints": [{"kind": "lan", "address": "192.0.2.7:51820"}]}`
	}
	for i, step := range []struct {
		who, method, path, body string
		code                    int
		answer                  string
	}{
		{"agent/pi-1", "GET", "/v1/mesh?wait=1s&sum=ab", "", 200, `"map":{"asked":"ab 1s"}`},
		{"agent/pi-1", "GET", "/v1/mesh?wait=2m", "", 400, "up to 60s"},
		{"agent/pi-1", "GET", "/v1/mesh?version=-1", "", 400, "version"},
		{"agent/pi-1", "POST", "/v1/mesh:announce", announce("1", key(1)), 200, `{"version":`},
		{"agent/pi-1", "POST", "/v1/mesh:announce", announce("1", "AAAA"), 400, "WireGuard key"},
		{"agent/pi-2", "POST", "/v1/mesh:announce", announce("1", key(2)), 403, "remedy"}, // waits for approval
		{"coordinator/c2", "POST", "/v1/mesh:announce", announce("1", key(1)), 409, "another's"},
		{"coordinator/c2", "POST", "/v1/mesh:announce", announce("1", key(2)), 200, `{"version":`},
		{"operator", "POST", "/v1/mesh:rotate", `{"nodes": ["pi-1"]}`, 200, `{"asked":["pi-1"]}`},
		{"operator", "POST", "/v1/mesh:rotate", `{}`, 200, `{"asked":["c2"]}`},
		{"operator", "POST", "/v1/mesh:rotate", `{"nodes": ["pi-7"]}`, 404, "takes part in the mesh"},
		{"operator", "POST", "/v1/mesh/clients", `{"name": "phone", "public_key": "` + key(3) + `", "ttl": "720h"}`, 201, `"by":"token:operator"`},
		{"operator", "POST", "/v1/mesh/clients", `{"name": "phone", "public_key": "` + key(3) + `", "ttl": "soon"}`, 400, "as in 720h"},
		{"operator", "POST", "/v1/mesh/clients", `{"name": "pi-1", "public_key": "` + key(4) + `", "ttl": "1h"}`, 409, "is a node"},
		{"operator", "POST", "/v1/mesh/clients/phone:revoke", "", 200, `{"version":`},
		{"operator", "POST", "/v1/mesh/clients/phone:revoke", "", 404, "no client"},
		{"agent/pi-1", "POST", "/v1/mesh:leave", "", 200, `{"version":`},
		{"viewer", "GET", "/v1/mesh/view", "", 200, `"outside":["c1","c2","pi-1","pi-2","c3"]`},
	} {
		w := l.do(l.as(step.who, step.method, step.path, step.body))
		if w.Code != step.code || !strings.Contains(w.Body.String(), step.answer) {
			t.Errorf("%d: %s %s: %d %s, want %d and %s", i, step.method, step.path, w.Code, w.Body, step.code, step.answer)
		}
	}
	s, _ := l.group.State()
	if len(s.Mesh.Nodes) != 1 || len(s.Mesh.Clients) != 0 || len(s.Mesh.Revoked) != 1 {
		t.Errorf("in the end: %+v", s.Mesh)
	}
	for _, e := range s.Events {
		if e.Kind == fsm.KindMeshAnnounce && e.Subject == "pi-1" && e.Actor != "agent:pi-1" {
			t.Errorf("announced by %s", e.Actor)
		}
	}
}

// TestMeshOfAGroupThatIsLost: nobody gets an old map for a new one.
func TestMeshOfAGroupThatIsLost(t *testing.T) {
	l := newLab(t)
	l.group.down = errNoQuorum
	w := l.do(l.as("agent/pi-1", "GET", "/v1/mesh", ""))
	var b wire.MeshBody
	if w.Code != http.StatusServiceUnavailable || json.Unmarshal(w.Body.Bytes(), &b) == nil && b.Version != 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
