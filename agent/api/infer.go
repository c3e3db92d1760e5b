package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"primespark/agent/infer"
	"primespark/shared/model"
	"primespark/shared/oip"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

// infer answers an inference request, and counts it.
func (a *API) infer(w http.ResponseWriter, r *http.Request) error {
	start := time.Now()
	a.metrics.inFlight.Inc()
	defer a.metrics.inFlight.Dec()
	c := call{api: a, start: start}
	err := c.do(w, r)
	switch {
	case err == nil:
		a.count(&c, "ok", &c.answer.Timing)
	case r.Context().Err() != nil && problem.Of(err).Code.Status() >= http.StatusInternalServerError:
		// Nobody reads the answer, and nothing is wrong here.
		a.count(&c, "gone", nil)
		return &problem.Error{
			Code: problem.Deadline, Err: err,
			Detail: "The client went away, or the node is shutting down.", Remedy: "Ask again.",
		}
	default:
		a.count(&c, string(problem.Of(err).Code), nil)
	}
	return err
}

// A call is one inference request on its way.
type call struct {
	api     *API
	start   time.Time
	meta    model.Metadata // its name is empty until the model is known
	version string
	request *oip.Request
	answer  infer.Response
}

func (c *call) do(w http.ResponseWriter, r *http.Request) error {
	name, version, err := named(r)
	if err != nil {
		return err
	}
	asked, err := readHeaders(r.Header)
	if err != nil {
		return err
	}
	// Who asks for what is not here need not send it.
	if c.meta, err = c.api.out.Models.Metadata(name, version); err != nil {
		return err
	}
	working := c.api.metrics.working.WithLabelValues(c.meta.Name)
	working.Inc()
	defer working.Dec()
	c.version = version
	if version == "" && len(c.meta.Versions) > 0 {
		c.version = c.meta.Versions[0]
	}
	b, err := c.api.bodies.read(w, r, c.api.cfg.MaxBody)
	if err != nil {
		return err
	}
	defer b.release()
	if c.request, err = oip.DecodeRequest(r.Header, b.bytes(), oip.Limits{Decoded: int(c.api.cfg.MaxBody)}); err != nil {
		return err
	}
	c.request.Framed = b.buf
	if err := c.request.Resolve(c.meta); err != nil {
		return err
	}
	if err := asked.merge(c.request, c.api.cfg.Deadline); err != nil {
		return err
	}
	post, err := c.request.Postprocess()
	if err != nil {
		return err
	}
	if post == nil && c.request.RawOnly(c.meta) {
		post = new(bool)
	}
	extend(w, asked.deadline)
	ctx, cancel := context.WithDeadline(r.Context(), c.start.Add(asked.deadline))
	defer cancel()
	c.answer, err = c.api.out.Models.Infer(ctx, name, version,
		infer.Request{Inputs: c.request.Tensors(), Postprocess: post, Priority: asked.priority, Cache: asked.cache})
	if err != nil {
		return translate(err, name)
	}
	return c.write(w, name)
}

func (c *call) write(w http.ResponseWriter, name string) error {
	outputs, err := c.request.Pick(c.answer.Outputs)
	if err == nil {
		outputs, err = c.request.Classify(outputs, c.answer.Labels)
	}
	if err != nil {
		return err
	}
	response := oip.Response{Model: name, Version: c.version, ID: c.request.ID, Outputs: outputs}
	encoded, err := response.Encode(nil, c.request.Binary)
	if err != nil {
		return err
	}
	h := w.Header()
	encoded.SetHeaders(h)
	h.Set("Content-Length", strconv.Itoa(len(encoded.Bytes)))
	h.Set("X-Prime-Spark-Backend", c.answer.Backend)
	h.Set("Server-Timing", serverTiming(c.answer.Timing))
	switch c.answer.Cache {
	case infer.Hit:
		h.Set(wire.HeaderCache, "hit")
	case infer.Miss:
		h.Set(wire.HeaderCache, "miss")
	}
	// A client that went away is no fault of ours.
	_, _ = w.Write(encoded.Bytes)
	return nil
}

// serverTiming writes where the time went, in milliseconds (W3C Server Timing).
func serverTiming(t infer.Timing) string {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return fmt.Sprintf("queue;dur=%.3f, decode;dur=%.3f, infer;dur=%.3f, post;dur=%.3f",
		ms(t.Queue), ms(t.Decode), ms(t.Infer), ms(t.Post))
}

// asked is what a request's headers, and then its parameters, ask for.
type asked struct {
	deadline time.Duration // from the arrival of the request; 0 if not said
	priority int           // -1 if not said
	cache    infer.Cache
}

// readHeaders reads X-Deadline-Ms, X-Priority and Cache-Control.
func readHeaders(h http.Header) (asked, error) {
	a := asked{priority: -1, cache: cacheControl(h)}
	ms, ok, err := whole(h, "X-Deadline-Ms", 1, int64(oip.MaxTimeout/time.Millisecond))
	if err != nil {
		return a, err
	}
	if ok {
		a.deadline = time.Duration(ms) * time.Millisecond
	}
	p, ok, err := whole(h, "X-Priority", 0, infer.MaxPriority)
	if ok {
		a.priority = int(p)
	}
	return a, err
}

// cacheControl reads the two words of Cache-Control that a result can heed (RFC 9111,
// section 5.2.1).
func cacheControl(h http.Header) infer.Cache {
	words := strings.ToLower(strings.Join(h.Values("Cache-Control"), ","))
	switch {
	case strings.Contains(words, "no-store"):
		return infer.NoStore
	case strings.Contains(words, "no-cache"):
		return infer.NoCache
	}
	return infer.UseCache
}

// whole reads a header that is a whole number from least to most, if it is there.
func whole(h http.Header, name string, least, most int64) (int64, bool, error) {
	values := h.Values(name)
	if len(values) == 0 {
		return 0, false, nil
	}
	n, err := strconv.ParseInt(values[0], 10, 64)
	if err != nil || n < least || n > most || len(values) > 1 {
		return 0, false, problem.New(problem.Invalid, fmt.Sprintf("Send one whole number from %d to %d.", least, most),
			"Header %s is %s.", name, clip(strings.Join(values, ", ")))
	}
	return n, true, nil
}

// merge adds what the request's parameters say: the nearer deadline holds, and a
// header's priority goes before a parameter's. What nobody says gets its default.
func (a *asked) merge(r *oip.Request, deadline time.Duration) error {
	timeout, err := r.Timeout()
	if err != nil {
		return err
	}
	p, ok, err := r.Priority(infer.MaxPriority)
	if err != nil {
		return err
	}
	if use, err := r.Params.Bool(oip.ParamCache); err != nil {
		return err
	} else if use != nil && !*use {
		a.cache = infer.NoStore
	}
	if a.priority < 0 {
		a.priority = defaultPriority
		if ok {
			a.priority = p
		}
	}
	if timeout > 0 && (a.deadline == 0 || timeout < a.deadline) {
		a.deadline = timeout
	}
	if a.deadline == 0 {
		a.deadline = deadline
	}
	return nil
}

// defaultPriority is in the middle, so that there is room on both sides.
const defaultPriority = infer.MaxPriority / 2

// translate gives the errors of models the words of an API.
func translate(err error, name string) error {
	if _, ok := errors.AsType[*problem.Error](err); ok {
		return err
	}
	switch {
	case errors.Is(err, infer.ErrBusy):
		return &problem.Error{
			Code: problem.Busy, Err: err, Detail: "The queue of model " + name + " is full.",
			Remedy: "Try again in a second, or ask another node.",
		}
	case errors.Is(err, infer.ErrClosed):
		return &problem.Error{
			Code: problem.NotReady, Err: err, Detail: "Model " + name + " is not loaded.",
			Remedy: "Load it with POST /v2/repository/models/" + name + "/load.",
		}
	case errors.Is(err, context.DeadlineExceeded):
		return &problem.Error{
			Code: problem.Deadline, Err: err, Detail: "The answer was not ready in the time that was given.",
			Remedy: "Give more with X-Deadline-Ms, or ask a node that is less busy.",
		}
	}
	return err
}

// batchSize is how many inferences a request is: the first dimension of the
// first input if the model leaves it free, otherwise one.
func (c *call) batchSize() int {
	if c.request == nil || len(c.request.Inputs) == 0 {
		return 1
	}
	for _, spec := range c.meta.Inputs {
		in := c.request.Inputs[0]
		if spec.Name == in.Name && spec.Type == in.Type && len(spec.Shape) > 0 && spec.Shape[0] == -1 && len(in.Shape) > 0 {
			return min(max(1, in.Shape[0]), math.MaxInt32)
		}
	}
	return 1
}
