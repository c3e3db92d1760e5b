package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/goldentest"
	"primespark/shared/health"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

// TestAnswers holds the body of each plain read against its golden file.
func TestAnswers(t *testing.T) {
	for name, target := range map[string]string{
		"livez": "GET /livez", "readyz": "GET /readyz", "status": "GET /v1/status", "nodes": "GET /v1/nodes", "node": "GET /v1/nodes/pi-1",
		"route": "GET /v1/route?model=blazeface", "events": "GET /v1/events", "server": "GET /v2", "ready": "GET /v2/health/ready",
		"index": "POST /v2/repository/index", "notfound": "GET /v1/nodes/none", "method": "DELETE /v1/nodes", "nothing": "GET /v1/nothing",
		"noverb": "POST /v1/nodes/pi-1:fly", "oip-nothing": "GET /v2/nothing", "badmodel": "GET /v2/models/NO",
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			method, path, _ := strings.Cut(target, " ")
			w := l.do(l.as("viewer", method, path, ""))
			goldentest.Compare(t, name+".json", target+"\n"+http.StatusText(w.Code)+"\n"+indent(t, scrub(w.Body.String())))
		})
	}
}

// scrub takes out what differs from run to run: the checksum depends on random tokens.
func scrub(s string) string {
	const key = `"state_checksum":"`
	if i := strings.Index(s, key); i >= 0 {
		i += len(key)
		s = s[:i] + "..." + s[i+64:]
	}
	return s
}

func indent(t *testing.T, s string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatalf("not JSON: %v: %s", err, s)
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}

// code is the problem of an answer.
func code(w *httptest.ResponseRecorder) problem.Code {
	if w.Code < 400 {
		return ""
	}
	return problem.Read(w.Code, w.Header(), w.Body.Bytes()).Code
}

func TestBadInput(t *testing.T) {
	for name, test := range map[string]struct {
		who, method, target, body string
		want                      problem.Code
		says                      string
	}{
		"unknown field":        {"admin", "POST", "/v1/join-codes", `{"role":"agent","tll":"1m"}`, problem.Invalid, `"tll"`},
		"wrong type":           {"admin", "POST", "/v1/join-codes", `{"role":7}`, problem.Invalid, "role"},
		"no body":              {"admin", "POST", "/v1/join-codes", "", problem.Invalid, "empty"},
		"not JSON":             {"admin", "POST", "/v1/join-codes", "role=agent", problem.Invalid, "JSON"},
		"two values":           {"admin", "POST", "/v1/join-codes", `{"role":"agent"}{}`, problem.Invalid, "follows"},
		"large body":           {"admin", "POST", "/v1/join-codes", `{"role":"` + strings.Repeat("a", maxJSON) + `"}`, problem.TooLarge, "larger"},
		"bad ttl":              {"admin", "POST", "/v1/join-codes", `{"role":"agent","ttl":"soon"}`, problem.Invalid, "soon"},
		"past ttl":             {"admin", "POST", "/v1/join-codes", `{"role":"agent","ttl":"-1m"}`, problem.Invalid, "-1m"},
		"bad role":             {"admin", "POST", "/v1/join-codes", `{"role":"king"}`, problem.Invalid, "king"},
		"too many uses":        {"admin", "POST", "/v1/join-codes", `{"role":"agent","uses":1001}`, problem.Invalid, "1001"},
		"coordinator's code":   {"operator", "POST", "/v1/join-codes", `{"role":"coordinator"}`, problem.Forbidden, "admin"},
		"bad token role":       {"admin", "POST", "/v1/tokens", `{"name":"bob","role":"king"}`, problem.Invalid, "king"},
		"bad token name":       {"admin", "POST", "/v1/tokens", `{"name":"B ob","role":"viewer"}`, problem.Invalid, "B ob"},
		"body of an action":    {"admin", "POST", "/v1/nodes/pi-1:drain", `{"force":true}`, problem.Invalid, `"force"`},
		"unknown node":         {"admin", "POST", "/v1/nodes/pi-9:drain", "", problem.NotFound, "pi-9"},
		"hostile node":         {"admin", "POST", "/v1/nodes/%3Cscript%3E:drain", "", problem.NotFound, "script"},
		"drain a pending one":  {"admin", "POST", "/v1/nodes/pi-2:drain", "", problem.Conflict, "pending"},
		"revoke one too many":  {"admin", "POST", "/v1/nodes/c2:revoke", "", problem.Conflict, "nothing could be decided"},
		"revoke coordinator":   {"operator", "POST", "/v1/nodes/c2:revoke", "", problem.Forbidden, "admin"},
		"no model":             {"viewer", "GET", "/v1/route", "", problem.Invalid, "model"},
		"bad limit":            {"viewer", "GET", "/v1/events?limit=0", "", problem.Invalid, "limit"},
		"huge limit":           {"viewer", "GET", "/v1/events?limit=1001", "", problem.Invalid, "limit"},
		"bad event id":         {"viewer", "GET", "/v1/events?after=x", "", problem.Invalid, "event"},
		"bad stream id":        {"viewer", "GET", "/v1/stream?after=x", "", problem.Invalid, "event"},
		"large inference":      {"operator", "POST", "/v2/models/m/infer", strings.Repeat("x", 1<<20+1), problem.TooLarge, "1048576"},
		"join with a bad code": {"", "POST", "/v1/join", `{"code":"zz","name":"pi-7"}`, problem.Forbidden, "pi-7 at 192.0.2.1"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			w := l.do(l.as(test.who, test.method, test.target, test.body))
			e := problem.Read(w.Code, w.Header(), w.Body.Bytes())
			if e.Code != test.want || w.Code != test.want.Status() || !strings.Contains(e.Detail, test.says) {
				t.Errorf("got %d %s %q, want %s and %q", w.Code, e.Code, e.Detail, test.want, test.says)
			}
			if e.Remedy == "" && !strings.HasPrefix(test.target, "/v2") {
				t.Error("there is no remedy")
			}
		})
	}
}

func TestActions(t *testing.T) {
	l := newLab(t)
	for _, step := range []struct{ who, node, do, state string }{
		{"operator", "pi-1", "drain", "draining"},
		{"operator", "pi-1", "drain", "draining"},
		{"operator", "pi-1", "undrain", "approved"},
		{"operator", "pi-2", "approve", "approved"},
		{"operator", "pi-2", "revoke", "revoked"},
		{"admin", "c3", "revoke", "revoked"},
	} {
		w := l.do(l.as(step.who, "POST", "/v1/nodes/"+step.node+":"+step.do, "{}"))
		var n wire.NodeBody
		if err := json.Unmarshal(w.Body.Bytes(), &n); err != nil || w.Code != 200 || n.State != step.state || n.Name != step.node {
			t.Errorf("%s %s: %d %s, want %s", step.do, step.node, w.Code, w.Body, step.state)
		}
	}
	s, _ := l.group.State()
	if last := s.Events[len(s.Events)-1]; last.Actor != "token:ada" || last.Subject != "c3" {
		t.Errorf("the audit says %+v", last)
	}
}

func TestSecretsAreShownOnce(t *testing.T) {
	l := newLab(t)
	w := l.do(l.as("operator", "POST", "/v1/join-codes", `{"role":"agent","ttl":"20m","uses":3}`))
	var code wire.JoinCodeBody
	if err := json.Unmarshal(w.Body.Bytes(), &code); err != nil || code.Code != "PS1.SECRET" || code.Uses != 3 || time.Until(code.Expires) < 19*time.Minute {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = l.do(l.as("admin", "POST", "/v1/tokens", `{"name":"bob","role":"viewer"}`))
	var token wire.TokenBody
	if err := json.Unmarshal(w.Body.Bytes(), &token); err != nil || token.Role != "viewer" || token.Name != "bob" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w.Header().Get("Cache-Control") != "no-store" {
		t.Error("a secret may be kept by a cache")
	}
	l.token["bob"] = token.Token
	if w := l.do(l.as("bob", "GET", "/v1/status", "")); w.Code != 200 {
		t.Errorf("the new token is refused: %d %s", w.Code, w.Body)
	}
}

// TestRevokeWhileLagging: an operator does not get around what only an admin may
// do by asking a coordinator that does not know yet what a node is.
func TestRevokeWhileLagging(t *testing.T) {
	l := newLab(t)
	ahead, _ := l.group.State()
	ahead.Nodes = maps.Clone(ahead.Nodes)
	n := ahead.Nodes["pi-1"]
	n.Role = fleet.Coordinator
	ahead.Nodes["pi-1"] = n
	l.group.ahead = &ahead
	for _, path := range []string{"/v1/nodes/pi-1:revoke", "/v1/nodes/pi-1:revoke?stale=1"} {
		if w := l.do(l.as("operator", "POST", path, "")); code(w) != problem.Forbidden {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// TestRemoved: what a coordinator still knows that the others have removed is
// marked as such wherever somebody may read it.
func TestRemoved(t *testing.T) {
	l := newLab(t)
	var b wire.StatusBody
	for _, removed := range []bool{false, true} {
		want := ""
		if removed {
			l.group.down, want = errNoQuorum, "removed"
			l.sick.Store(health.List{{Code: health.Removed, Severity: health.Unready}})
		}
		for _, path := range []string{"/v1/status", "/v1/status?stale=1", "/v1/nodes?stale=1", "/v1/tasks?stale=1"} {
			if w := l.do(l.as("viewer", "GET", path, "")); w.Code != 200 || w.Header().Get(wire.HeaderReason) != want {
				t.Errorf("%s: %d, reason %q, want %q", path, w.Code, w.Header().Get(wire.HeaderReason), want)
			}
		}
		w := l.do(l.as("viewer", "GET", "/v1/status?stale=1", ""))
		if err := json.Unmarshal(w.Body.Bytes(), &b); err != nil || b.Removed != removed {
			t.Errorf("removed: %t, want %t, %v", b.Removed, removed, err)
		}
		if page := l.do(l.as("viewer", "GET", "/", "")).Body.String(); strings.Contains(page, "was removed from the group") != removed {
			t.Errorf("the page says that it is removed: %t, want %t", !removed, removed)
		}
	}
}

func TestWithoutQuorum(t *testing.T) {
	l := newLab(t)
	l.group.down = errNoQuorum
	for target, want := range map[string]struct {
		code  problem.Code
		stale string
	}{
		"GET /v1/status": {"", "1"}, "GET /v1/status?stale=1": {"", "1"},
		"GET /v1/nodes": {problem.NoQuorum, ""}, "GET /v1/nodes?stale=1": {"", "1"},
		"GET /v1/nodes/pi-1": {problem.NoQuorum, ""}, "GET /v1/nodes/pi-1?stale=1": {"", "1"},
		"POST /v1/nodes/pi-1:drain": {problem.NoQuorum, ""},
		"GET /":                     {"", ""}, "GET /v1/events": {"", ""}, "GET /v1/route?model=m": {"", ""},
	} {
		method, path, _ := strings.Cut(target, " ")
		w := l.do(l.as("operator", method, path, ""))
		if code(w) != want.code || w.Header().Get(wire.HeaderStale) != want.stale {
			t.Errorf("%s: %d %q, stale %q", target, w.Code, code(w), w.Header().Get(wire.HeaderStale))
		}
		if want.code != "" && w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", target)
		}
	}
	l.group.down = nil
	w := l.do(l.as("viewer", "GET", "/v1/nodes", ""))
	if w.Header().Get(wire.HeaderStale) != "" || w.Header().Get(wire.HeaderIndex) == "" {
		t.Errorf("a fresh read is labelled %v", w.Header())
	}
	l.group.down = errBroken
	if w := l.do(l.as("viewer", "GET", "/v1/status", "")); code(w) != problem.Unexpected || strings.Contains(w.Body.String(), "broken") {
		t.Errorf("a fault of ours: %d %s", w.Code, w.Body)
	}
}

func TestReadiness(t *testing.T) {
	l := newLab(t)
	l.sick.Store(health.List{{Code: health.NoQuorum, Severity: health.Unready, Detail: "No quorum.", Remedy: "Start them.", Since: noon}})
	w := l.do(l.as("", "GET", "/readyz", ""))
	var b wire.ReadyBody
	if err := json.Unmarshal(w.Body.Bytes(), &b); err != nil || w.Code != 503 || b.Ready || len(b.Reasons) != 1 || b.Reasons[0].Code != "no_quorum" || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := l.do(l.as("", "GET", "/livez", "")); w.Code != 200 {
		t.Errorf("livez: %d", w.Code)
	}
	l.sick.Store(health.List{{Code: health.SlowDisk, Severity: health.Warning, Detail: "Slow.", Remedy: "Take an SSD.", Since: noon}})
	w, b = l.do(l.as("", "GET", "/readyz", "")), wire.ReadyBody{}
	if err := json.Unmarshal(w.Body.Bytes(), &b); err != nil || w.Code != 200 || !b.Ready || len(b.Reasons) != 0 || len(b.Warnings) != 1 || b.Warnings[0].Code != "slow_disk" {
		t.Errorf("with a warning only: %d %s", w.Code, w.Body)
	}
}

func TestMetrics(t *testing.T) {
	l := newLab(t)
	l.do(l.as("viewer", "GET", "/v1/nodes", ""))
	body := l.do(l.as("viewer", "GET", "/metrics", "")).Body.String()
	if !strings.Contains(body, `primespark_http_requests_total{method="GET",route="/v1/nodes",status="200"} 1`) {
		t.Errorf("got %s", body)
	}
}

// TestBlankState: a coordinator that has just started has no state yet. That it
// knows nobody is no reason to refuse for good whom the others know.
func TestBlankState(t *testing.T) {
	l := newLab(t)
	l.group.FSM = fsm.New()
	for _, r := range []*http.Request{l.as("viewer", "GET", "/v1/status", ""), l.as("agent/pi-1", "GET", "/v1/status", "")} {
		w := l.do(r)
		if w.Code != 503 || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), `"not_ready"`) {
			t.Errorf("%d %v %s, want 503, not_ready, with Retry-After", w.Code, w.Header(), w.Body)
		}
	}
	if w := l.do(l.as("viewer", "GET", "/livez", "")); w.Code != 200 {
		t.Errorf("livez: %d", w.Code)
	}
}

func TestCredentials(t *testing.T) {
	l := newLab(t)
	for name, test := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"good token":          {func(r *http.Request) { r.Header.Set("Authorization", "bearer "+l.token[Viewer]) }, 200},
		"no scheme":           {func(r *http.Request) { r.Header.Set("Authorization", l.token[Viewer]) }, 401},
		"other scheme":        {func(r *http.Request) { r.Header.Set("Authorization", "Basic "+l.token[Viewer]) }, 401},
		"wrong token":         {func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+l.token[Viewer]+"x") }, 401},
		"half a token":        {func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+l.token[Viewer][:15]) }, 401},
		"empty token":         {func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") }, 401},
		"agent":               {func(r *http.Request) { r.TLS = l.as("agent/pi-1", "GET", "/", "").TLS }, 200},
		"coordinator":         {func(r *http.Request) { r.TLS = l.as("coordinator/c2", "GET", "/", "").TLS }, 200},
		"pending agent":       {func(r *http.Request) { r.TLS = l.as("agent/pi-2", "GET", "/", "").TLS }, 403},
		"unknown agent":       {func(r *http.Request) { r.TLS = l.as("agent/pi-9", "GET", "/", "").TLS }, 403},
		"agent of other role": {func(r *http.Request) { r.TLS = l.as("coordinator/pi-1", "GET", "/", "").TLS }, 403},
		"certificate without a name": {func(r *http.Request) {
			r.TLS = l.as("x", "GET", "/", "").TLS
			r.TLS.PeerCertificates[0].URIs = nil
		}, 401},
		"a wrong token counts, not the certificate": {func(r *http.Request) {
			r.TLS = l.as("agent/pi-1", "GET", "/", "").TLS
			r.Header.Set("Authorization", "Bearer x")
		}, 401},
		"forged cookie": {func(r *http.Request) { r.AddCookie(&http.Cookie{Name: cookieName, Value: "abc.99999999999.AAAA"}) }, 401},
	} {
		r := httptest.NewRequest("GET", "/v1/status", nil)
		test.change(r)
		if w := l.do(r); w.Code != test.want {
			t.Errorf("%s: %d, want %d: %s", name, w.Code, test.want, w.Body)
		}
	}
	l.must(fsm.NodeRevoke{Name: "pi-1"})
	if w := l.do(l.as("agent/pi-1", "GET", "/v1/status", "")); w.Code != 403 {
		t.Errorf("a revoked agent on an old connection: %d", w.Code)
	}
}

func TestLogin(t *testing.T) {
	l := newLab(t)
	browser := func(method, target, form string, change ...func(*http.Request)) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, target, strings.NewReader(form))
		r.Header.Set("Accept", "text/html")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		for _, c := range change {
			c(r)
		}
		return l.do(r)
	}
	if w := browser("GET", "/", ""); w.Code != 303 || w.Header().Get("Location") != "/login" {
		t.Errorf("without a session: %d to %q", w.Code, w.Header().Get("Location"))
	}
	if w := browser("GET", "/login", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `name="token"`) {
		t.Errorf("the form: %d", w.Code)
	}
	if w := browser("POST", "/login", "token=wrong"); w.Code != 401 || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("a wrong token: %d, cookie %q", w.Code, w.Header().Get("Set-Cookie"))
	}
	good := url.Values{"token": {" " + l.token[Operator] + "\n"}}.Encode()
	if w := browser("POST", "/login", good, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }); w.Code != 403 {
		t.Errorf("a log-in by another site's page: %d", w.Code)
	}
	w := browser("POST", "/login", good)
	cookies := w.Result().Cookies()
	if w.Code != 303 || len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode || strings.Contains(cookies[0].Value, l.token[Operator]) {
		t.Fatalf("log-in: %d %+v", w.Code, cookies)
	}
	with := func(r *http.Request) { r.AddCookie(cookies[0]) }
	page := browser("GET", "/", "", with)
	if page.Code != 200 || !strings.Contains(page.Body.String(), "Log out") || page.Header().Get("Content-Security-Policy") == "" {
		t.Errorf("the page: %d", page.Code)
	}
	if w := browser("POST", "/v1/nodes/pi-1:drain", "", with); w.Code != 200 {
		t.Errorf("an act by our page: %d %s", w.Code, w.Body)
	}
	for site, change := range map[string]func(*http.Request){
		"by fetch metadata": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"by origin":         func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "https://evil.example") },
	} {
		if w := browser("POST", "/v1/nodes/pi-1:undrain", "", with, change); w.Code != 403 {
			t.Errorf("an act by another site's page, told %s: %d", site, w.Code)
		}
	}
	if w := browser("POST", "/v1/tokens", `{"name":"x","role":"admin"}`, with); w.Code != 403 {
		t.Errorf("an operator's session makes tokens: %d", w.Code)
	}
	state, _ := l.group.State()
	for id, token := range state.Tokens {
		if token.Access == fsm.Operator {
			l.must(fsm.TokenRevoke{ID: id})
		}
	}
	if w := browser("GET", "/", "", with); w.Code != 303 {
		t.Errorf("a session outlives its token: %d", w.Code)
	}
	if w := browser("POST", "/logout", "", with); w.Code != 303 || w.Result().Cookies()[0].MaxAge >= 0 {
		t.Errorf("log-out: %d %v", w.Code, w.Result().Cookies())
	}
	if w := browser("GET", "/nothing", ""); w.Code != 404 || !strings.Contains(w.Body.String(), "<h1>Not Found</h1>") {
		t.Errorf("a page that is not there: %d %s", w.Code, w.Body)
	}
}

func TestLoopback(t *testing.T) {
	l := newLab(t)
	ask := func(role Role, method, host string, change ...func(*http.Request)) int {
		r := httptest.NewRequest(method, "http://"+host+"/v1/nodes/pi-1", nil)
		if method == "POST" {
			r.URL.Path += ":drain"
		}
		for _, c := range change {
			c(r)
		}
		w := httptest.NewRecorder()
		l.api.Loopback(role).ServeHTTP(w, r)
		return w.Code
	}
	for name, test := range map[string]struct{ got, want int }{
		"none":              {ask(Nobody, "GET", "localhost:7480"), 401},
		"viewer looks":      {ask(Viewer, "GET", "127.0.0.1:7480"), 200},
		"viewer acts":       {ask(Viewer, "POST", "127.0.0.1:7480"), 403},
		"operator acts":     {ask(Operator, "POST", "[::1]:7480"), 200},
		"by another name":   {ask(Operator, "GET", "evil.example:7480"), 403},
		"by an address":     {ask(Operator, "GET", "192.168.1.5:7480"), 403},
		"by a sly name":     {ask(Operator, "GET", "localhost.evil.example"), 403},
		"from another site": {ask(Operator, "POST", "localhost", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }), 403},
		"with a token":      {ask(Nobody, "POST", "localhost", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+l.token[Operator]) }), 200},
	} {
		if test.got != test.want {
			t.Errorf("%s: %d, want %d", name, test.got, test.want)
		}
	}
}

func TestPanicsAreAnswered(t *testing.T) {
	l := newLab(t)
	l.api.cfg.Health = func() health.List { panic("oops") }
	w := l.do(l.as("", "GET", "/readyz", ""))
	if w.Code != 500 || strings.Contains(w.Body.String(), "oops") || code(w) != problem.Unexpected {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func FuzzBodies(f *testing.F) {
	f.Add("/v1/join-codes", `{"role":"agent","ttl":"1m","uses":2}`)
	f.Add("/v1/tokens", `{"name":"bob","role":"viewer"}`)
	f.Add("/v1/join", `{"code":"a","secret":"b","role":"agent","csr":"","name":"x","addresses":{"api":""},"version":""}`)
	f.Add("/v1/nodes/pi-1:drain", `{}`)
	f.Add("/v1/nodes/:", `[`)
	f.Fuzz(func(t *testing.T, path, body string) {
		if !strings.HasPrefix(path, "/v1/") {
			return
		}
		u, err := url.ParseRequestURI(path)
		if err != nil {
			return
		}
		l := newLab(t)
		r := l.as("admin", "POST", "/v1/x", body)
		r.URL = u
		w := l.do(r)
		if w.Code >= 500 {
			t.Errorf("%q with %q: %d %s", path, body, w.Code, w.Body)
		}
		if w.Code >= 400 && problem.Read(w.Code, w.Header(), w.Body.Bytes()).Remedy == "" {
			t.Errorf("%q with %q: no remedy: %s", path, body, w.Body)
		}
	})
}

func TestSentences(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*lab)
		mode   fleet.Mode
		want   string
	}{
		"as it is":   {func(*lab) {}, fleet.Normal, "1 of 1 agents healthy, quorum 2/2, 1 node waits for approval."},
		"no agents":  {func(l *lab) { l.must(fsm.NodeRevoke{Name: "pi-1"}); l.must(fsm.NodeRevoke{Name: "pi-2"}) }, fleet.Normal, "No agent has joined yet, quorum 2/2."},
		"all agents": {func(l *lab) { l.must(fsm.NodeApprove{Name: "pi-2"}) }, fleet.Normal, "2 of 2 agents healthy, quorum 2/2."},
		"draining":   {func(l *lab) { l.must(fsm.NodeDrain{Name: "pi-1"}) }, fleet.Normal, "0 of 1 agents healthy, quorum 2/2, 1 node waits for approval."},
		"on battery": {func(l *lab) {
			l.change("pi-1", func(n *fleet.Node) { m := 42.4; n.Vital.Power = fleet.Power{Source: fleet.Battery, Minutes: &m} })
		}, fleet.Normal, "1 of 1 agents healthy, quorum 2/2, 1 on battery 42 min, 1 node waits for approval."},
		"a coordinator dead": {func(l *lab) { l.change("c2", dead); l.leader("c1") }, fleet.Normal, "1 of 1 agents healthy, quorum 1/2, 1 node waits for approval."},
		"election":           {func(l *lab) { l.leader("") }, fleet.Normal, "1 of 1 agents healthy, 2/2 coordinators, electing a leader, 1 node waits for approval."},
		"no quorum":          {func(l *lab) { l.leader(""); l.change("c2", dead) }, fleet.Degraded, "1 of 1 agents healthy, no quorum (1/2), 1 node waits for approval."},
		"alone": {func(l *lab) {
			l.leader("")
			for _, n := range []string{"c2", "pi-1", "pi-2"} {
				l.change(n, dead)
			}
		}, fleet.Isolated, "0 of 1 agents healthy, no quorum (1/2), 1 node waits for approval."},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			test.change(l)
			s, _ := l.group.State()
			b := l.api.picture(s, time.Now()).status()
			if b.Summary.Sentence != test.want || b.Mode != test.mode {
				t.Errorf("got %s: %q, want %s: %q", b.Mode, b.Summary.Sentence, test.mode, test.want)
			}
		})
	}
	l := newLab(t)
	l.leader("")
	s, _ := l.group.State()
	l.api.picture(s, noon)
	if b := l.api.picture(s, noon.Add(electing)).status(); b.Mode != fleet.Degraded {
		t.Errorf("after 3 s without a leader the mode is %s", b.Mode)
	}
	l.leader("c2")
	l.api.picture(s, noon)
	l.leader("")
	if b := l.api.picture(s, noon.Add(time.Hour)).status(); b.Mode != fleet.Normal {
		t.Errorf("in the next election the mode is %s", b.Mode)
	}
}

func dead(n *fleet.Node) { n.Liveness = fleet.Dead }

func (l *lab) leader(name string) {
	l.stand.Update(func(s Standing) Standing { s.Leader = name; return s })
}

func (l *lab) change(name string, f func(*fleet.Node)) {
	l.nodes.Update(func(v fleet.View) fleet.View {
		v = append(fleet.View(nil), v...)
		for i := range v {
			if v[i].Name == name {
				f(&v[i])
			}
		}
		return v
	})
}
