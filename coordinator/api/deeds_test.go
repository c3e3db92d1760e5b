package api

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/task"
)

// form sends what a browser sends that shows a cookie.
func (l *lab) form(cookie *http.Cookie, method, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if cookie != nil {
		r.AddCookie(cookie)
	}
	return l.do(r)
}

// enter logs somebody in.
func (l *lab) enter(role Role) *http.Cookie {
	l.t.Helper()
	w := l.form(nil, "POST", "/login", url.Values{"token": {l.token[role]}}.Encode())
	if w.Code != http.StatusSeeOther || len(w.Result().Cookies()) != 1 {
		l.t.Fatalf("log-in: %d %s", w.Code, w.Body)
	}
	return w.Result().Cookies()[0]
}

// dead puts a task into the queue that nobody will do, and returns its id.
func (l *lab) dead() string {
	l.t.Helper()
	id := task.NewID(time.Now())
	l.must(fsm.TaskBatch{Ops: []fsm.TaskOp{{Actor: "token:ada", Submit: &fsm.TaskSubmit{ID: id, Spec: task.Spec{Kind: task.Noop, MaxAttempts: 1}}}}})
	l.must(fsm.TaskBatch{Ops: []fsm.TaskOp{{Actor: "agent:pi-1", Lease: &fsm.TaskLease{Node: "pi-1", Kinds: []task.Kind{task.Noop}, Max: 1, Grant: "g"}}}})
	s, _ := l.group.State()
	t, _ := s.Tasks.Get(id)
	l.must(fsm.TaskBatch{Ops: []fsm.TaskOp{{Actor: "agent:pi-1", Fail: &fsm.TaskFail{ID: id, Node: "pi-1", Lease: t.Lease, Error: "<b>broken</b>", Permanent: true}}}})
	return id
}

// TestDeeds does on the page, without a script, what an operator may do.
func TestDeeds(t *testing.T) {
	l := newLab(t)
	id := l.dead()
	cookie := l.enter(Operator)
	for _, test := range []struct {
		path, asks, then, shows string
		is                      func(fsm.State) bool
	}{
		{"/nodes/pi-2/approve", "Approve pi-2?", "/nodes/pi-2", "approved", func(s fsm.State) bool { return s.Nodes["pi-2"].State == fsm.Approved }},
		{"/nodes/pi-1/drain", "Drain pi-1?", "/nodes/pi-1", "draining", func(s fsm.State) bool { return s.Nodes["pi-1"].State == fsm.Draining }},
		{"/nodes/pi-1/undrain", "Undrain pi-1?", "/nodes/pi-1", "approved", func(s fsm.State) bool { return s.Nodes["pi-1"].State == fsm.Approved }},
		{"/tasks/" + id + "/requeue", "&lt;b&gt;broken", "/#tasks", "Tasks", func(s fsm.State) bool { t, _ := s.Tasks.Get(id); return t.State == task.Ready }},
	} {
		t.Run(test.path, func(t *testing.T) {
			s, _ := l.group.State()
			before := s.Index
			w := l.form(cookie, "GET", test.path, "")
			if w.Code != 200 || !strings.Contains(w.Body.String(), test.asks) || !strings.Contains(w.Body.String(), `<form method="post" action="`+test.path+`"`) || !strings.Contains(w.Body.String(), "with your name, operator") {
				t.Fatalf("the question: %d %s", w.Code, w.Body)
			}
			if s, _ = l.group.State(); s.Index != before {
				t.Error("a question has changed something")
			}
			if w := l.form(cookie, "POST", test.path, ""); w.Code != http.StatusSeeOther || w.Header().Get("Location") != test.then {
				t.Fatalf("the deed: %d to %q, %s", w.Code, w.Header().Get("Location"), w.Body)
			}
			s, _ = l.group.State()
			if !test.is(s) {
				t.Error("it was not done")
			}
			if w := l.form(cookie, "GET", strings.TrimSuffix(test.then, "#tasks"), ""); w.Code != 200 || !strings.Contains(w.Body.String(), test.shows) {
				t.Errorf("afterwards: %d, no %q", w.Code, test.shows)
			}
			if last := s.Events[len(s.Events)-1]; strings.HasPrefix(test.path, "/nodes") && last.Actor != "token:operator" {
				t.Errorf("the audit names %q", last.Actor)
			}
		})
	}
	if w := l.form(cookie, "POST", "/tasks/"+id+"/requeue", ""); w.Code != http.StatusSeeOther {
		t.Errorf("a form that was sent twice: %d %s", w.Code, w.Body)
	}
}

// TestDeedsAreRefused tries them where they must not work; each is answered with a page.
func TestDeedsAreRefused(t *testing.T) {
	const drain = "/nodes/pi-1/drain"
	for name, test := range map[string]struct {
		role   Role
		target string
		change func(*lab, *http.Request)
		status int
	}{
		"a viewer":          {Viewer, drain, nil, 403},
		"another site":      {Operator, drain, func(_ *lab, r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		"another subdomain": {Operator, drain, func(_ *lab, r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }, 403},
		"another origin": {Operator, drain, func(_ *lab, r *http.Request) {
			r.Header.Del("Sec-Fetch-Site")
			r.Header.Set("Origin", "https://evil.example")
		}, 403},
		"a sandboxed origin": {Operator, drain, func(_ *lab, r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "null") }, 403},
		"from nowhere":       {Operator, drain, func(_ *lab, r *http.Request) { r.Header.Del("Sec-Fetch-Site") }, 403},
		"unknown node":       {Operator, "/nodes/pi-9/drain", nil, 404},
		"no name":            {Operator, "/nodes/%3Cscript%3E/drain", nil, 404},
		"no task":            {Operator, "/tasks/x/requeue", nil, 404},
		"no quorum":          {Operator, drain, func(l *lab, _ *http.Request) { l.group.down = errNoQuorum }, 503},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			cookie := l.enter(test.role)
			r := httptest.NewRequest("POST", test.target, nil)
			r.Header.Set("Accept", "text/html")
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			r.AddCookie(cookie)
			if test.change != nil {
				test.change(l, r)
			}
			w := l.do(r)
			if w.Code != test.status || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") || strings.Contains(w.Body.String(), "<script>") {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if s, _ := l.group.State(); s.Nodes["pi-1"].State != fsm.Approved {
				t.Error("it was done")
			}
		})
	}
	l := newLab(t)
	if w := l.form(nil, "POST", drain, ""); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/login" {
		t.Errorf("without a log-in: %d to %q", w.Code, w.Header().Get("Location"))
	}
	cookie := l.enter(Operator)
	l.stand.Store(Standing{Role: "candidate"})
	if w := l.form(cookie, "GET", drain, ""); w.Code != 503 || !strings.Contains(w.Body.String(), "No coordinator leads") {
		t.Errorf("the question without a leader: %d %s", w.Code, w.Body)
	}
}

// TestPageByRole: a viewer is shown nothing that would be refused.
func TestPageByRole(t *testing.T) {
	l := newLab(t)
	id := l.dead()
	for role, may := range map[Role]bool{Viewer: false, Operator: true, Admin: true} {
		cookie := l.enter(role)
		for target, deed := range map[string]string{"/": "/tasks/" + id + "/requeue", "/nodes/pi-1": "/nodes/pi-1/drain", "/nodes/pi-2": "/nodes/pi-2/approve"} {
			if w := l.form(cookie, "GET", target, ""); w.Code != 200 || strings.Contains(w.Body.String(), `href="`+deed+`"`) != may {
				t.Errorf("%s for %s: %d, %s is there: %v", target, role, w.Code, deed, !may)
			}
		}
	}
}

// TestSessionOnAnotherCoordinator: a log-in is good at all of them, and ends with its token.
func TestSessionOnAnotherCoordinator(t *testing.T) {
	one, other := newLab(t), newLab(t)
	other.group, other.api.cfg.Group = one.group, one.group
	cookie := one.enter(Operator)
	if w := other.form(cookie, "GET", "/", ""); w.Code != 200 {
		t.Errorf("on another coordinator: %d", w.Code)
	}
	list := one.do(one.as("admin", "GET", "/v1/tokens", ""))
	if list.Code != 200 || strings.Contains(list.Body.String(), "hash") {
		t.Fatalf("the tokens: %d %s", list.Code, list.Body)
	}
	id, _, _ := strings.Cut(cookie.Value, ".")
	if w := one.do(one.as("admin", "POST", "/v1/tokens/"+id+":revoke", "")); w.Code != 200 || !strings.Contains(w.Body.String(), `"role":"operator"`) {
		t.Fatalf("revoke: %d %s", w.Code, w.Body)
	}
	if w := other.form(cookie, "GET", "/", ""); w.Code != http.StatusSeeOther {
		t.Errorf("after its token was revoked: %d", w.Code)
	}
}

// TestLoginIsLimited: after ten wrong tokens even the right one waits.
func TestLoginIsLimited(t *testing.T) {
	l := newLab(t)
	right := url.Values{"token": {l.token[Viewer]}}.Encode()
	for range 2 * maxWrong {
		l.form(nil, "POST", "/login", right) // right ones do not count
	}
	for range maxWrong {
		if w := l.form(nil, "POST", "/login", "token=pst_abc_wrong"); w.Code != http.StatusUnauthorized {
			t.Fatalf("a wrong token: %d", w.Code)
		}
	}
	w := l.form(nil, "POST", "/login", right)
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || w.Header().Get("Set-Cookie") != "" || !strings.Contains(w.Body.String(), "Wait") {
		t.Errorf("one more: %d %v %s", w.Code, w.Header(), w.Body)
	}
}
