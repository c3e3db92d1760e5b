package api

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/model"
	"primespark/shared/oip"
	"primespark/shared/problem"
	"primespark/shared/version"
	"primespark/shared/wire"
)

func (a *API) serverMetadata(w http.ResponseWriter, _ *call) error {
	return answer(w, oip.Server{
		Name: "prime-spark", Version: version.Number,
		// Of what agents do, and what the gateway makes of several of them.
		Extensions: []string{oip.BinaryTensorData, oip.Classification, oip.ModelRepository, oip.Statistics},
	})
}

// healthBody has both keys, since the protocol's REST text says that ready
// answers with "live" while its gRPC says "ready".
type healthBody struct {
	Live  bool `json:"live"`
	Ready bool `json:"ready"`
}

func (a *API) oipLive(w http.ResponseWriter, _ *call) error {
	return answer(w, healthBody{true, a.serving()})
}

func (a *API) oipReady(w http.ResponseWriter, _ *call) error {
	if !a.serving() {
		return &problem.Error{
			Code: problem.NotReady, Detail: "No agent is ready.", RetryAfter: 2 * time.Second,
			Remedy: "Try again in a few seconds; prime-spark nodes shows how they fare.",
		}
	}
	return answer(w, healthBody{true, true})
}

// serving reports whether there is an agent that could answer something.
func (a *API) serving() bool {
	state, _ := a.cfg.Group.State()
	return slices.ContainsFunc(a.cfg.Views.Get(), func(n fleet.Node) bool {
		return usable(n, state.Nodes[n.Name])
	})
}

func usable(n fleet.Node, decided fsm.Node) bool {
	return n.Role == fleet.Agent && n.Liveness == fleet.Alive && n.Vital.Ready && decided.State == fsm.Approved
}

// ofModel passes a question about a model on to an agent that has it.
func (a *API) ofModel(w http.ResponseWriter, r *call) error { return a.pass(w, r, nil) }

// infer passes an inference on. The body is kept whole, so that it can be sent
// to the next agent; what all of them may take together is bounded.
func (a *API) infer(w http.ResponseWriter, r *call) error {
	size := r.ContentLength
	if size > a.cfg.MaxBody {
		w.Header().Set("Connection", "close") // the rest of it is not wanted
		return &problem.Error{
			Code: problem.TooLarge, Detail: fmt.Sprintf("The request has %d bytes, at most %d are taken.", size, a.cfg.MaxBody),
			Remedy: "Send a smaller body; for images, a JPEG instead of raw tensors.",
		}
	}
	if size < 0 {
		size = a.cfg.MaxBody // not told: it may be so much
	}
	if !a.bodies.TryAcquire(size) {
		return &problem.Error{
			Code: problem.Busy, Detail: "This coordinator is passing on as much as it can hold.", RetryAfter: time.Second,
			Remedy: "Try again in a second, or ask another coordinator.",
		}
	}
	defer a.bodies.Release(size)
	body, err := readBody(http.MaxBytesReader(w, r.Body, a.cfg.MaxBody), r.ContentLength)
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return err
		}
		return &problem.Error{Code: problem.Invalid, Err: err, Detail: "The body broke off before its end.", Remedy: "Send it again."}
	}
	return a.pass(w, r, body)
}

// readBody reads all of r, with the room that is known to be needed.
func readBody(r io.Reader, size int64) ([]byte, error) {
	if size < 0 {
		return io.ReadAll(r)
	}
	b := make([]byte, size)
	_, err := io.ReadFull(r, b)
	return b, err
}

// replied are the headers of an agent's answer that go to the client.
var replied = []string{
	"Content-Type", "Content-Encoding", "Content-Length", "Retry-After", "X-Error-Code",
	wire.HeaderLength, wire.HeaderNode, wire.HeaderBackend, wire.HeaderGateway, wire.HeaderAttempts, wire.HeaderTiming, wire.HeaderCache,
}

func (a *API) pass(w http.ResponseWriter, r *call, body []byte) error {
	name := r.PathValue("model")
	if !model.ValidName(name) {
		return problem.New(problem.NotFound, "prime-spark models lists the models that there are.", "No model can have the name %.64q.", name)
	}
	// The answer may take as long as the request allows; the client may not hang up
	// without being noticed either.
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{}) // where the connection has none, there is nothing to lift
	_ = out.SetWriteDeadline(time.Time{})
	start := time.Now()
	res, err := a.cfg.Gateway.Forward(r.Request, name, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	h := w.Header()
	for _, key := range replied {
		if v := res.Header.Values(key); len(v) > 0 {
			h[http.CanonicalHeaderKey(key)] = v
		}
	}
	h.Add(wire.HeaderTiming, fmt.Sprintf("gateway;dur=%.2f", millis(time.Since(start))))
	_ = out.SetWriteDeadline(time.Now().Add(sendTimeout))
	w.WriteHeader(res.StatusCode)
	if _, err := io.Copy(w, res.Body); err != nil {
		panic(http.ErrAbortHandler) // half an answer must not look whole
	}
	return nil
}

// maxDeadline is the longest that an inference may ask for; dispatch has the same.
const maxDeadline = 10 * time.Minute

// sendTimeout is how long a client may take to accept its answer.
const sendTimeout = time.Minute

func millis(d time.Duration) float64 { return math.Round(float64(d.Microseconds())/10) / 100 }
