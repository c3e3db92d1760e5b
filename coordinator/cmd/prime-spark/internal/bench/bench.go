// Package bench measures how a server of the Open Inference Protocol answers for one
// model: with photos or made-up tensors, at a rate or as fast as it can. The load is
// that of shared/load.
package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"primespark/shared/load"
	"primespark/shared/model"
	"primespark/shared/oip"
	"primespark/shared/problem"
	"primespark/shared/tensor"
	"primespark/shared/wire"
)

// A Plan says what load to put.
type Plan = load.Plan

// A Job is what to measure.
type Job struct {
	Server  string // base URL
	Token   string
	Model   string
	Body    oip.Body      // of each request
	Timeout time.Duration // of one request; it travels along as its deadline
	Cached  bool          // results of before will do; otherwise each is computed
	Plan    Plan
}

// A Report is what was measured.
type Report struct {
	Model       string             `json:"model"`
	Server      string             `json:"server"`
	Rate        float64            `json:"rate_per_s"` // asked for; 0 for as fast as the connections can
	Connections int                `json:"connections"`
	Seconds     float64            `json:"seconds"`
	Sent        uint64             `json:"sent"`
	Unsent      uint64             `json:"unsent"` // due, and never sent for want of a free connection
	Good        uint64             `json:"good"`
	Cached      uint64             `json:"cached"` // of the good: results of before
	Failed      map[string]uint64  `json:"failed"` // by the code of the problem
	Throughput  float64            `json:"good_per_s"`
	Latency     Spread             `json:"latency_ms"` // of the good, from when each was due
	Service     Spread             `json:"service_ms"` // of the good, from when each was sent
	Steps       map[string]float64 `json:"steps_ms"`   // means of what the servers say of the good: queue, decode, infer, post
	Nodes       map[string]uint64  `json:"nodes"`      // good answers, by the agent that gave them
}

// A Spread is how times were spread, in ms.
type Spread struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
	Mean float64 `json:"mean"`
}

func spread(h *load.Histogram) Spread {
	ms := func(d time.Duration) float64 { return math.Round(float64(d)/float64(time.Microsecond)) / 1000 }
	return Spread{ms(h.Quantile(.5)), ms(h.Quantile(.9)), ms(h.Quantile(.99)), ms(h.Quantile(.999)), ms(h.Max()), ms(h.Mean())}
}

// Photo is the body of a request that asks for an image to be looked at.
func Photo(image []byte) oip.Body { return oip.Body{Bytes: image, JSON: 0} }

// maxTensors bounds what is made up for one request, in bytes.
const maxTensors = 64 << 20

// Tensors makes up the inputs of a model: the same ones each time, numbers from -1
// to 1, or small whole ones. A dimension that may be anything is 1.
func Tensors(m model.Metadata) (oip.Body, error) {
	r := &oip.Request{Params: oip.Params{oip.ParamBinaryOutput: true}}
	random := rand.New(rand.NewPCG(1, 2))
	left := maxTensors
	for _, s := range m.Inputs {
		shape := make([]int, len(s.Shape))
		for i, n := range s.Shape {
			shape[i] = max(n, -n) // -1 is 1
		}
		t, err := tensor.New(s.Name, s.Type, shape...)
		if left -= len(t.Data); err == nil && left < 0 {
			err = tensor.ErrTooLarge
		}
		if err != nil {
			return oip.Body{}, &problem.Error{
				Code: problem.Invalid, Err: err, Detail: fmt.Sprintf("The input %q of model %s (%s %v) cannot be made up.", s.Name, m.Name, s.Type, s.Shape),
				Remedy: "If the model takes images, give one with --image.",
			}
		}
		fill(t, random)
		r.Inputs = append(r.Inputs, oip.Input{Tensor: t})
	}
	return r.Encode(func(string) bool { return true })
}

func fill(t tensor.Tensor, random *rand.Rand) {
	if t.Type == tensor.Float32 {
		for i := range t.Float32s() {
			t.Float32s()[i] = 2*random.Float32() - 1
		}
		return
	}
	size := max(1, t.Type.Size())
	if t.Type == tensor.Float16 || t.Type == tensor.BF16 || t.Type == tensor.Float64 {
		return // zeros: numbers of these types would take more to make than they tell
	}
	for i := 0; i < len(t.Data); i += size {
		t.Data[i] = byte(random.IntN(2))
	}
}

// Run puts the load on the server. Client's transport is the model of those that are
// made, one for each connection; nil for the usual one. If no request at all succeeds,
// the problem of one of them is the error.
func Run(ctx context.Context, client *http.Client, j Job) (*Report, error) {
	run := &running{Job: j, report: Report{
		Model: j.Model, Server: j.Server, Rate: j.Plan.Rate, Connections: j.Plan.Connections,
		Steps: map[string]float64{}, Nodes: map[string]uint64{},
	}}
	for range max(1, j.Plan.Connections) {
		t := transport(client)
		defer t.CloseIdleConnections()
		run.clients = append(run.clients, &http.Client{Transport: t, Timeout: j.Timeout + 5*time.Second, CheckRedirect: noRedirect})
	}
	result := load.Run(ctx, j.Plan, run.send)
	r := &run.report
	r.Seconds = math.Round(result.Took.Seconds()*1000) / 1000
	r.Sent, r.Unsent, r.Good, r.Failed = result.Sent, result.Unsent, result.Service.Count(), result.Failed
	r.Throughput = math.Round(result.Throughput()*100) / 100
	if run.answered > 0 { // the warm-up has its share
		r.Cached = uint64(math.Round(float64(run.hits) * float64(r.Good) / float64(run.answered)))
	}
	r.Latency, r.Service = spread(&result.Latency), spread(&result.Service)
	for step, sum := range r.Steps {
		r.Steps[step] = math.Round(1000*sum/float64(run.answered)) / 1000
	}
	if r.Good == 0 && run.last != nil {
		return r, run.last
	}
	return r, nil
}

// transport is one that keeps a single connection, over HTTP/1.1: HTTP/2 would put
// all of them on one.
func transport(client *http.Client) *http.Transport {
	t, ok := http.DefaultTransport.(*http.Transport)
	if client != nil {
		if own, is := client.Transport.(*http.Transport); is {
			t, ok = own, true
		}
	}
	if !ok {
		t = &http.Transport{}
	}
	t = t.Clone()
	t.MaxConnsPerHost, t.MaxIdleConnsPerHost, t.IdleConnTimeout = 1, 1, 0
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	t.ForceAttemptHTTP2, t.TLSNextProto = false, nil
	if t.TLSClientConfig != nil {
		t.TLSClientConfig.NextProtos = nil // Clone has copied it, with the original's HTTP/2 in it
	}
	return t
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// A running is one Run.
type running struct {
	Job
	clients []*http.Client

	mu       sync.Mutex
	report   Report
	answered uint64 // good answers, those of the warm-up included
	hits     uint64 // of them, results of before
	last     error  // of a request that failed
}

func (r *running) send(ctx context.Context, worker int) error {
	res, err := r.ask(ctx, r.clients[worker])
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.last = err
		return &load.Failure{Name: string(problem.Of(err).Code), Err: err}
	}
	r.answered++
	r.report.Nodes[res.Get(wire.HeaderNode)]++
	if res.Get(wire.HeaderCache) == "hit" {
		r.hits++
	}
	for _, timing := range res.Values(wire.HeaderTiming) {
		for step, ms := range steps(timing) {
			r.report.Steps[step] += ms
		}
	}
	return nil
}

// ask sends one request, and returns the header of an answer that is good.
func (r *running) ask(ctx context.Context, client *http.Client) (http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(r.Server, "/")+oip.InferPath(r.Model, ""), bytes.NewReader(r.Body.Bytes))
	if err != nil {
		return nil, err
	}
	r.Body.SetHeaders(req.Header)
	req.Header.Set(wire.HeaderDeadline, strconv.FormatInt(max(1, r.Timeout.Milliseconds()), 10))
	if !r.Cached {
		req.Header.Set("Cache-Control", "no-store")
	}
	if r.Token != "" {
		req.Header.Set("Authorization", "Bearer "+r.Token)
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, unreachable(r.Server, err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusOK {
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return nil, unreachable(r.Server, err)
		}
		return res.Header, nil
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return nil, unreachable(r.Server, err)
	}
	return nil, problem.Read(res.StatusCode, res.Header, body)
}

func unreachable(server string, err error) error {
	code := problem.Unreachable
	if errors.Is(err, context.DeadlineExceeded) {
		code = problem.Deadline
	}
	return &problem.Error{Code: code, Err: err, Detail: "The server " + server + " did not answer.", Remedy: "Check that it runs, and that its address is right."}
}

// steps reads a Server-Timing header: "queue;dur=0.1, infer;dur=4.2".
func steps(header string) map[string]float64 {
	all := map[string]float64{}
	for part := range strings.SplitSeq(header, ",") {
		name, dur, ok := strings.Cut(strings.TrimSpace(part), ";dur=")
		if ms, err := strconv.ParseFloat(dur, 64); ok && err == nil {
			all[name] = ms
		}
	}
	return all
}
