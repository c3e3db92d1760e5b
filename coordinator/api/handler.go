package api

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"primespark/coordinator/status"
	"primespark/shared/oip"
	"primespark/shared/problem"
)

// A door is how a request came in: what its listener asks of it, and gives.
type door struct {
	loopback bool // plain HTTP for the same machine
	role     Role // of those who show nothing
}

// Handler answers requests that came in over TLS, or where the caller looks
// after privacy otherwise.
func (a *API) Handler() http.Handler { return a.handler(door{role: Nobody}) }

// Loopback answers requests on a loopback listener without TLS. Whoever shows
// neither token nor cookie there has the role given: Nobody, Viewer or Operator.
// A request whose Host is not a loopback name is refused, lest a web page reach
// the API by a name that resolves to this machine.
func (a *API) Loopback(role Role) http.Handler { return a.handler(door{loopback: true, role: role}) }

func (a *API) handler(d door) http.Handler {
	mux := http.NewServeMux()
	verbs := map[string]map[string]Route{} // by pattern without its verb
	for _, r := range routes() {
		path, verb := r.Path, ""
		if i := strings.LastIndex(path, "}:") + 1; i > 0 { // net/http takes a verb after a plain word
			path, verb = path[:i], path[i+1:]
		}
		if path == "/" {
			path = "/{$}"
		}
		pattern := r.Method + " " + path
		if verb == "" {
			mux.HandleFunc(pattern, func(w http.ResponseWriter, q *http.Request) { a.serve(d, r, w, q) })
			continue
		}
		if verbs[pattern] == nil {
			verbs[pattern] = map[string]Route{}
			mux.HandleFunc(pattern, func(w http.ResponseWriter, q *http.Request) { a.serveVerb(d, verbs[pattern], w, q) })
		}
		verbs[pattern][verb] = r
	}
	rest := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		if ending(r.TLS, time.Now()) {
			w.Header().Set("Connection", "close") // the caller has renewed it, and shows the new one on the next
		}
		if err := d.check(r); err != nil {
			a.fail(w, r, err)
			return
		}
		if _, pattern := mux.Handler(r); pattern == "" {
			a.fail(w, r, missing(mux, r))
			return
		}
		mux.ServeHTTP(w, r)
	})
	return a.rpc.Beside(rest, func(r *http.Request) error { return a.admitCall(d, r) })
}

// check refuses a request that names another host than this one where only this
// one is served.
func (d door) check(r *http.Request) error {
	if d.loopback && !loopbackHost(r.Host) {
		return problem.New(problem.Forbidden, "Call it as localhost or 127.0.0.1.", "This listener is for the same machine only.")
	}
	return nil
}

// admitCall says whether a caller of gRPC may send a message at all. What it asks
// for is checked once more, as that of the row of the table that it comes to.
func (a *API) admitCall(d door, r *http.Request) error {
	if err := d.check(r); err != nil {
		return err
	}
	return a.admit(d, Route{Permission: View}, &call{Request: r})
}

// missing is the problem of a request that no route takes.
func missing(mux *http.ServeMux, r *http.Request) error {
	var probe header // of the mux's own answer, which tells 404 from 405
	h, _ := mux.Handler(r)
	h.ServeHTTP(&probe, r)
	if allowed := probe.Header().Get("Allow"); allowed != "" {
		return problem.New(problem.BadMethod, "Use "+allowed+".", "The path %.100q takes no %.16s.", r.URL.Path, r.Method)
	}
	return problem.New(problem.NotFound, "See /docs for all there is.", "There is nothing at %.100q.", r.URL.Path)
}

// header is a ResponseWriter that keeps nothing but the header.
type header struct{ h http.Header }

func (p *header) Header() http.Header {
	if p.h == nil {
		p.h = http.Header{}
	}
	return p.h
}
func (*header) Write(b []byte) (int, error) { return len(b), nil }
func (*header) WriteHeader(int)             {}

// serveVerb finds the row of "POST /v1/nodes/{name}:verb", which net/http's
// patterns cannot tell apart.
func (a *API) serveVerb(d door, rows map[string]Route, w http.ResponseWriter, r *http.Request) {
	name, verb := "", ""
	for _, row := range rows { // they share the name of their last part
		key := row.Path[strings.LastIndexByte(row.Path, '{')+1 : strings.LastIndexByte(row.Path, '}')]
		name = r.PathValue(key)
		if i := strings.LastIndexByte(name, ':'); i >= 0 {
			name, verb = name[:i], name[i+1:]
		}
		r.SetPathValue(key, name)
		break
	}
	row, ok := rows[verb]
	if !ok {
		a.fail(w, r, problem.New(problem.NotFound, "See /docs for all there is.", "There is nothing to POST at %.100q.", r.URL.Path))
		return
	}
	a.serve(d, row, w, r)
}

// serve checks a request against its row, has it handled, and tells how it went.
func (a *API) serve(d door, row Route, w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	out := &recorder{ResponseWriter: w}
	c := &call{Request: r}
	c.still = func() error { return a.admit(d, row, c) }
	c.outlive = func() func() error {
		own := &call{Request: &http.Request{Method: r.Method, URL: r.URL, Header: r.Header, TLS: r.TLS, RemoteAddr: r.RemoteAddr}}
		return func() error { return a.admit(d, row, own) }
	}
	defer func() {
		if v := recover(); v != nil {
			a.panicked(out, r, v)
		}
		a.metrics.done(row, out.code(), time.Since(start))
		if row.Audit != "" {
			a.cfg.Log.Log(r.Context(), row.level(), "request", "audit", row.Audit, "actor", c.who.Actor, "path", r.URL.Path, "status", out.code(), "from", r.RemoteAddr)
		}
	}()
	err := c.still()
	if err == nil {
		if row.Permission != Infer { // those bodies are large, and bounded by their handler
			r.Body = http.MaxBytesReader(out, r.Body, row.limit())
		}
		if err = c.markOnce(row); err == nil {
			err = row.handle(a, out, c)
		}
	}
	if err != nil {
		a.fail(out, r, err)
	}
}

// admit lets a call in that its row allows.
func (a *API) admit(d door, row Route, c *call) (err error) {
	if c.who, err = a.identify(d, c.Request); err != nil {
		if row.Permission != Public { // there, a stale token or certificate does no harm
			return err
		}
		c.who = anybody
	}
	if c.who.Ambient || row.Path == "/login" || row.Path == "/logout" {
		if err := sameSite(c); err != nil {
			return &problem.Error{
				Code: problem.Forbidden, Err: err, Detail: "The request comes from a page of another site.",
				Remedy: "Use the page of this coordinator, or send a token.",
			}
		}
	}
	return allow(c.who, row.Permission)
}

// sameSite refuses what another site's page had the browser send. A browser that
// shows our cookie says where a change comes from; one that does not, or what is no
// browser, is taken for another site.
func sameSite(c *call) error {
	h := c.Header
	if c.who.Session && c.Method != http.MethodGet && c.Method != http.MethodHead && h.Get("Sec-Fetch-Site") == "" && h.Get("Origin") == "" {
		return errors.New("neither Sec-Fetch-Site nor Origin says where it comes from")
	}
	return http.NewCrossOriginProtection().Check(c.Request)
}

func (a *API) panicked(w *recorder, r *http.Request, v any) {
	if v == http.ErrAbortHandler {
		panic(v) // net/http's way to break off an answer
	}
	a.cfg.Log.Error("handler panicked", "path", r.URL.Path, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	if w.status != 0 {
		panic(http.ErrAbortHandler) // half an answer must not look whole
	}
	a.fail(w, r, errors.New("handler panicked"))
}

// fail answers with an error, in the form that the caller expects.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, status.ErrGone) || r.Context().Err() != nil {
		return // nobody listens
	}
	e := problem.Of(err)
	if e.Code == problem.Unexpected {
		a.cfg.Log.Error("request failed", "path", r.URL.Path, "err", err)
	}
	if rec, ok := w.(*recorder); ok && rec.status != 0 {
		panic(http.ErrAbortHandler)
	}
	if e.Code == problem.Unauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="prime-spark"`)
	}
	switch {
	case r.URL.Path == "/v2" || strings.HasPrefix(r.URL.Path, "/v2/"):
		oip.WriteError(w, err)
	case byBrowser(r):
		a.failPage(w, r, e)
	default:
		problem.Write(w, err)
	}
}

// byBrowser reports whether a person looks at the answer: who follows a link or
// sends a form of ours.
func byBrowser(r *http.Request) bool {
	form := r.Method == http.MethodPost && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") && !strings.HasPrefix(r.URL.Path, "/v1/")
	return (r.Method == http.MethodGet || form) && strings.Contains(r.Header.Get("Accept"), "text/html")
}

// failPage shows an error to a person with a browser.
func (a *API) failPage(w http.ResponseWriter, r *http.Request, e *problem.Error) {
	if e.Code == problem.Unauthorized {
		w.Header().Del("WWW-Authenticate")
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	problem.Header(w, e)
	err := status.Show(w, r, e.Code.Status(), func(b io.Writer) error {
		return status.RenderProblem(b, status.Problem{Title: http.StatusText(e.Code.Status()), Detail: e.Detail, Remedy: e.Remedy})
	})
	if err != nil && !errors.Is(err, status.ErrGone) {
		a.cfg.Log.Error("page failed", "path", r.URL.Path, "err", err)
	}
}

func loopbackHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// A recorder notes the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int // 0: not begun
}

func (r *recorder) WriteHeader(code int) {
	if r.status == 0 {
		r.status = code
	}
	r.ResponseWriter.WriteHeader(code)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Hijack takes the connection over, for a protocol that it is switched to.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(r.ResponseWriter).Hijack()
	if err == nil {
		r.status = http.StatusSwitchingProtocols
	}
	return conn, buffered, err
}

// Unwrap lets http.ResponseController through.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) code() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}
