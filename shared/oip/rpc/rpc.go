package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"primespark/shared/problem"
)

// Config is what all calls of a server have in common. A zero value stands for
// the default.
type Config struct {
	MaxMessage  int64           // bytes of one message; 16 MiB
	Memory      int64           // bytes of all messages that are in memory at once; 4 × MaxMessage
	MaxDeadline time.Duration   // the longest that the server takes an X-Deadline-Ms; 24 h
	Read        time.Duration   // for one message to arrive; 30 s
	Write       time.Duration   // for a client to take one message; 60 s
	Until       context.Context // streams end when it does; nil for never
	Log         *slog.Logger    // of faults of this package
}

// A Server answers gRPC calls by REST handlers. It is safe to share.
type Server struct {
	cfg  Config
	room *semaphore.Weighted
}

// New returns a Server.
func New(cfg Config) *Server {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	if cfg.MaxMessage == 0 {
		cfg.MaxMessage = 16 << 20
	}
	if cfg.Memory == 0 {
		cfg.Memory = 4 * cfg.MaxMessage
	}
	set(&cfg.MaxDeadline, 24*time.Hour)
	set(&cfg.Read, 30*time.Second)
	set(&cfg.Write, 60*time.Second)
	if cfg.Until == nil {
		cfg.Until = context.Background()
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{cfg: cfg, room: semaphore.NewWeighted(cfg.Memory)}
}

// Beside returns a handler that answers gRPC calls by rest, and leaves all other
// requests to it. Admit says whether a caller may send messages at all, before one
// is read; nil lets all. What each may ask for is rest's to say.
func (s *Server) Beside(rest http.Handler, admit func(*http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !IsCall(r) {
			rest.ServeHTTP(w, r)
			return
		}
		if r.ProtoMajor < 2 {
			http.Error(w, "gRPC needs HTTP/2.", http.StatusHTTPVersionNotSupported)
			return
		}
		c := &call{server: s, rest: rest, w: w, r: r, out: http.NewResponseController(w)}
		c.serve(admit)
	})
}

// IsCall reports whether r is a gRPC call: a POST of that media type.
func IsCall(r *http.Request) bool {
	kind := r.Header.Get("Content-Type")
	return r.Method == http.MethodPost &&
		(kind == "application/grpc" || strings.HasPrefix(kind, "application/grpc+proto") || strings.HasPrefix(kind, "application/grpc;"))
}

// A call is one gRPC call on its way.
type call struct {
	server *Server
	rest   http.Handler
	w      http.ResponseWriter
	r      *http.Request
	out    *http.ResponseController
	in     *frames
	until  time.Time // the end of grpc-timeout; zero for none
	begun  bool      // the header is sent
}

func (c *call) serve(admit func(*http.Request) error) {
	h := c.w.Header()
	h.Set("Content-Type", "application/grpc")
	h.Set("Grpc-Accept-Encoding", "identity,gzip")
	h.Set("Trailer", "Grpc-Status, Grpc-Message, Grpc-Retry-Pushback-Ms")
	c.in = &frames{from: c.r.Body, most: c.server.cfg.MaxMessage, room: c.server.room}
	defer c.in.close()
	ctx := c.r.Context()
	err := c.do(ctx, admit)
	if errors.Is(err, http.ErrAbortHandler) {
		return // the client does not read any more
	}
	code, words := verdict(ctx, err)
	if err != nil {
		e := problem.Of(err)
		if e.Code == problem.Unexpected && code == Internal {
			c.server.cfg.Log.Error("call failed", "method", c.r.URL.Path, "err", err)
		}
		if !c.begun { // REST's headers become metadata
			problem.Header(h2{h}, e)
		}
	}
	if !c.begun {
		c.w.WriteHeader(http.StatusOK) // what is set from here on is a trailer alone
	}
	setStatus(h, code, words)
	if err != nil {
		pushback(h, problem.Of(err))
	}
}

// pushback says how long a client's retries are to wait (gRPC A6).
func pushback(h http.Header, e *problem.Error) {
	if e.RetryAfter > 0 {
		h.Set("Grpc-Retry-Pushback-Ms", fmt.Sprint(e.RetryAfter.Milliseconds()))
	}
}

// h2 lends a header the look of a ResponseWriter, of which no more is used.
type h2 struct{ header http.Header }

func (h h2) Header() http.Header       { return h.header }
func (h2) Write(b []byte) (int, error) { return len(b), nil }
func (h2) WriteHeader(int)             {}

func (c *call) do(ctx context.Context, admit func(*http.Request) error) error {
	if admit != nil {
		if err := admit(c.r); err != nil {
			return err
		}
	}
	switch encoding := c.r.Header.Get("Grpc-Encoding"); encoding {
	case "", "identity":
	case "gzip":
		c.in.gzip = true
	default:
		return &problem.Error{
			Code: problem.Invalid, Err: errUnimplemented,
			Detail: fmt.Sprintf("The compression %q is not understood.", clip(encoding)), Remedy: "Use gzip, or none.",
		}
	}
	left, err := timeout(c.r.Header, c.server.cfg.MaxDeadline)
	if err != nil {
		return err
	}
	if left > 0 {
		c.until = time.Now().Add(left)
	}
	service, method, _ := strings.Cut(strings.TrimPrefix(c.r.URL.Path, "/"), "/")
	if service == protocol && method == "ModelStreamInfer" {
		return c.stream(ctx)
	}
	do, ok := methods[service][method]
	if !ok {
		return &problem.Error{
			Code: problem.NotFound, Err: errUnimplemented,
			Detail: fmt.Sprintf("There is no method %q.", clip(c.r.URL.Path)), Remedy: "See inference.proto for those there are.",
		}
	}
	// Where the connection has no deadlines of its own (a test's), there is nothing to set.
	_ = c.out.SetReadDeadline(time.Now().Add(c.server.cfg.Read))
	request, err := c.in.next(nil)
	if err == nil {
		err = c.in.finish()
	} else if errors.Is(err, errEnd) {
		err = problem.New(problem.Invalid, "Send the request.", "The call has no message.")
	}
	if err != nil {
		return err
	}
	answer, header, err := do(c, ctx, request)
	c.tell(header)
	if err != nil {
		return err
	}
	return c.send(answer)
}

// told are the headers of a REST answer that a call's metadata have, too.
var told = []string{"Server-Timing", "X-Error-Code", "Retry-After", "Cache-Control", "Connection"}

// tell passes on the headers of the REST answer.
func (c *call) tell(header http.Header) {
	if c.begun {
		return
	}
	for name, v := range header {
		if strings.HasPrefix(name, "X-Prime-Spark-") || slices.Contains(told, name) {
			c.w.Header()[name] = v
		}
	}
}

func (c *call) send(m message) error {
	if !c.begun {
		c.begun = true
		c.w.WriteHeader(http.StatusOK)
	}
	_ = c.out.SetWriteDeadline(time.Now().Add(c.server.cfg.Write)) // where there is none, there is nothing to set
	return send(c.w, m)
}
