package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// concrete fills in a path's parameters.
func concrete(path string) string {
	return strings.NewReplacer("{name}", "pi-1", "{model}", "blazeface", "{version}", "1", "{file}", "page.css", "{id}", "00000000000000000000000000", "{sha}", strings.Repeat("0", 64)).Replace(path)
}

// TestPermissions asks for every route in every role: what the table grants is
// let in, and nothing else.
func TestPermissions(t *testing.T) {
	callers := map[Role]string{Nobody: "", Viewer: "viewer", Operator: "operator", Admin: "admin", Node: "agent/pi-1", Fellow: "coordinator/c2"}
	for _, row := range routes() {
		for role, who := range callers {
			l := newLab(t)
			l.api.Stop() // so that streams end at once
			w := l.do(l.as(who, row.Method, concrete(row.Path), ""))
			// Coordinators are nodes, and do no tasks.
			allowed := row.Permission.to(role) && (role != Fellow || row.Permission != Belong || !strings.HasPrefix(row.Audit, "task."))
			refused := w.Code == http.StatusUnauthorized || w.Code == http.StatusForbidden
			// /login answers a wrong token, and /v1/join a wrong code, in the same way.
			if row.Path == "/login" || row.Path == "/v1/join" {
				refused = false
			}
			if allowed == refused {
				t.Errorf("%s %s as %s: status %d, allowed %v", row.Method, row.Path, role, w.Code, allowed)
			}
			if want := http.StatusUnauthorized; !allowed && role == Nobody && w.Code != want {
				t.Errorf("%s %s as nobody: status %d, want %d", row.Method, row.Path, w.Code, want)
			}
			if w.Code == http.StatusInternalServerError || w.Code == http.StatusNotFound && row.Permission == Public {
				t.Errorf("%s %s as %s: status %d: %s", row.Method, row.Path, role, w.Code, w.Body)
			}
			if refused && !strings.HasPrefix(row.Path, "/v2") && !strings.Contains(w.Body.String(), `"remedy":"`) {
				t.Errorf("%s %s as %s: no remedy in %s", row.Method, row.Path, role, w.Body)
			}
		}
	}
}

// TestWhoMayDoWhat holds the table itself against the rules, in words.
func TestWhoMayDoWhat(t *testing.T) {
	want := map[string]Permission{
		"GET /livez": Public, "GET /readyz": Public, "GET /v1/version": Public, "POST /v1/join": Public,
		"GET /login": Public, "POST /login": Public, "POST /logout": Public, "GET /static/{file}": Public,
		"POST /v1/tokens":             Administer,
		"GET /v1/tokens":              Administer,
		"POST /v1/tokens/{id}:revoke": Administer,
		"GET /nodes/{name}/approve":   Operate, "POST /nodes/{name}/approve": Operate,
		"GET /nodes/{name}/drain": Operate, "POST /nodes/{name}/drain": Operate,
		"GET /nodes/{name}/undrain": Operate, "POST /nodes/{name}/undrain": Operate,
		"GET /tasks/{id}/requeue": Operate, "POST /tasks/{id}/requeue": Operate,
		"POST /v1/renew":             Belong,
		"GET /v1/plan":               Belong,
		"POST /v1/heartbeat":         Belong,
		"POST /v1/telemetry":         Belong,
		"GET /v1/telemetry/log":      Belong,
		"POST /v1/gossip-key:rotate": Administer,
		"POST /v1/mesh:announce":     Belong, "POST /v1/mesh:leave": Belong, "POST /v1/mesh:rotate": Operate,
		"POST /v1/mesh/clients": Operate, "POST /v1/mesh/clients/{name}:revoke": Operate,
		"POST /v1/backup":               Administer,
		"POST /v1/join-codes":           Operate,
		"POST /v1/nodes/{name}:approve": Operate, "POST /v1/nodes/{name}:drain": Operate, "POST /v1/nodes/{name}:undrain": Operate, "POST /v1/nodes/{name}:revoke": Operate,
		"POST /v1/tasks": Infer, "POST /v1/tasks/{id}:cancel": Operate, "POST /v1/tasks/{id}:requeue": Operate, "POST /v1/tasks:lease": Belong, "POST /v1/tasks:release": Belong,
		"POST /v1/tasks/{id}:renew": Belong, "POST /v1/tasks/{id}:complete": Belong, "POST /v1/tasks/{id}:fail": Belong,
		"PUT /v1/objects": Infer, "PUT /v1/objects/{sha}": Assist, "POST /v1/objects:missing": Assist,
		"POST /v2/repository/models/{model}/load": Operate, "POST /v2/repository/models/{model}/unload": Operate,
		"POST /v1/models": Operate, "POST /v1/models/{name}:remove": Operate,
		"POST /v2/models/{model}/infer": Infer, "POST /v2/models/{model}/versions/{version}/infer": Infer,
	}
	for _, r := range routes() {
		name := r.Method + " " + r.Path
		p, special := want[name]
		if !special {
			p = View
		}
		if r.Permission != p {
			t.Errorf("%s: %s, want %s", name, r.Permission, p)
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("routes are missing: %v", want)
	}
}

func TestCheckRefusesUnfitRoutes(t *testing.T) {
	if err := check(routes()); err != nil {
		t.Error(err)
	}
	good := Route{Method: "POST", Path: "/v1/x", Permission: Operate, Audit: "x", Summary: "X.", handle: (*API).live}
	for name, change := range map[string]func(*Route){
		"no permission":      func(r *Route) { r.Permission = "" },
		"unknown permission": func(r *Route) { r.Permission = "everybody" },
		"no summary":         func(r *Route) { r.Summary = "" },
		"no handler":         func(r *Route) { r.handle = nil },
		"no audit":           func(r *Route) { r.Audit = "" },
		"strange path":       func(r *Route) { r.Path = "/V1 x" },
	} {
		bad := good
		change(&bad)
		if check([]Route{bad}) == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if check([]Route{good, good}) == nil {
		t.Error("a route that is there twice is accepted")
	}
}

func TestNewRefusesAShortKey(t *testing.T) {
	if _, err := New(Config{SessionKey: make([]byte, 16)}); err == nil {
		t.Error("a session key of 16 bytes is accepted")
	}
}

func TestOpenAPI(t *testing.T) {
	l := newLab(t)
	w := l.do(l.as("viewer", "GET", "/openapi.json", ""))
	var doc struct {
		OpenAPI    string                               `json:"openapi"`
		Paths      map[string]map[string]map[string]any `json:"paths"`
		Components struct{ Schemas map[string]any }     `json:"components"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("openapi %q", doc.OpenAPI)
	}
	ids := map[string]bool{}
	for _, r := range routes() {
		op := doc.Paths[r.Path][strings.ToLower(r.Method)]
		if op["summary"] != r.Summary {
			t.Errorf("%s %s is not described", r.Method, r.Path)
		}
		if _, secured := op["security"]; secured != (r.Permission != Public) {
			t.Errorf("%s %s: security is %v", r.Method, r.Path, op["security"])
		}
		id, _ := op["operationId"].(string)
		if id == "" || ids[id] {
			t.Errorf("%s %s: operationId %q is empty or not unique", r.Method, r.Path, id)
		}
		ids[id] = true
	}
	for _, part := range strings.Split(w.Body.String(), `"$ref":"#/components/schemas/`)[1:] {
		name, _, _ := strings.Cut(part, `"`)
		if doc.Components.Schemas[name] == nil {
			t.Errorf("schema %s is named and not there", name)
		}
	}
	status := doc.Components.Schemas["StatusBody"].(map[string]any)["properties"].(map[string]any)
	for _, name := range []string{"cluster", "mode", "leader", "term", "applied_index", "state_checksum", "coordinators", "summary"} {
		if status[name] == nil {
			t.Errorf("StatusBody has no %s", name)
		}
	}
}

func TestDocs(t *testing.T) {
	l := newLab(t)
	body := l.do(l.as("viewer", "GET", "/docs", "")).Body.String()
	for _, r := range routes() {
		if !strings.Contains(body, "<code>"+r.Method+" "+r.Path+"</code>") {
			t.Errorf("%s %s is not on the page", r.Method, r.Path)
		}
	}
}

func TestSessionCookies(t *testing.T) {
	key, other := []byte(strings.Repeat("k", 32)), []byte(strings.Repeat("o", 32))
	cookie := sign(key, "abc", noon.Add(time.Hour))
	if id, ok := verify(key, cookie, noon); !ok || id != "abc" {
		t.Errorf("got %q, %v", id, ok)
	}
	if _, ok := verify(key, cookie, noon.Add(time.Hour)); ok {
		t.Error("a cookie that has ended is accepted")
	}
	if _, ok := verify(other, cookie, noon); ok {
		t.Error("a cookie of another cluster is accepted")
	}
	for i := range cookie {
		b := []byte(cookie)
		b[i] ^= 1
		if id, ok := verify(key, string(b), noon); ok && i < strings.LastIndexByte(cookie, '.') {
			t.Errorf("with byte %d changed it is accepted as %q", i, id)
		}
	}
	for _, bad := range []string{"", ".", "..", "abc", "abc.1.", strings.Repeat("a.", 500)} {
		if _, ok := verify(key, bad, noon); ok {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func FuzzVerify(f *testing.F) {
	key := []byte(strings.Repeat("k", 32))
	good := sign(key, "abc", noon.Add(time.Hour))
	f.Add(good)
	f.Add("abc.99999999999." + strings.Repeat("A", 43))
	f.Fuzz(func(t *testing.T, cookie string) {
		id, ok := verify(key, cookie, noon)
		if ok && (id != "abc" || cookie[:strings.LastIndexByte(cookie, '.')] != good[:strings.LastIndexByte(good, '.')]) {
			t.Errorf("%q was never signed, and is accepted as %q", cookie, id)
		}
	})
}
