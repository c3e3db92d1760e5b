package figures_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"primespark/agent/api"
	"primespark/agent/infer"
	"primespark/agent/infer/builtin"
	"primespark/agent/infer/infertest"
	"primespark/agent/models"
	"primespark/agent/models/blazeface"
	"primespark/shared/health"
	"primespark/shared/load"
	"primespark/shared/oip"
	"primespark/shared/tensor"
	"primespark/shared/testphoto"
)

// blank is a model for images of 416² whose engine does nothing, so that what is left
// is what the agent itself does.
func blank() models.Files {
	sum := sha256.Sum256([]byte(infertest.Model))
	return models.Files{"net.fake": []byte(infertest.Model), "model.yaml": fmt.Appendf(nil, `apiVersion: edge/v1
kind: Model
name: blank
variants: [{engine: fake, file: net.fake, sha256: %x}]
inputs: [{name: image, datatype: FP32, shape: [1, 3, 416, 416]}]
outputs: [{name: scores, datatype: FP32, shape: [1, 10]}]
preprocess: {resize: letterbox}
postprocess: {kind: classification, top: 1}
`, sum)}
}

// A node is an agent's models and API in this process, over loopback.
type node struct {
	models *models.Registry
	agent  string // address of the API
	plain  string // of a plain handler in front of the same models
}

func newNode(b *testing.B) *node {
	registry, err := models.New(models.Config{
		Backends: []infer.Backend{
			builtin.Backend{Threads: 1},
			&infertest.Fake{
				Inputs:  []tensor.Spec{{Name: "image", Type: tensor.Float32, Shape: []int{1, 3, 416, 416}}},
				Outputs: []tensor.Spec{{Name: "scores", Type: tensor.Float32, Shape: []int{1, 10}}},
				Answer:  func(_, _ []tensor.Tensor) error { return nil },
			},
		},
		Embedded: map[string]models.Files{blazeface.Name: models.Files(blazeface.Files()), "blank": blank()},
		Queue:    256,
	})
	if err != nil {
		b.Fatal(err)
	}
	back, front := listener(b), listener(b)
	server, err := api.New(api.Config{Node: "bench"}, api.Outside{
		Models: registry, Health: health.New(nil), Self: func() api.Self { return api.Self{} },
		Log: slog.New(slog.DiscardHandler), Serve: []api.Listener{{Listener: back}},
	})
	if err != nil {
		b.Fatal(err)
	}
	n := &node{registry, back.Addr().String(), front.Addr().String()}
	runs(b, registry.Run)
	runs(b, server.Run)
	plain := &http.Server{Handler: http.HandlerFunc(n.handle)}
	runs(b, func(ctx context.Context) error {
		context.AfterFunc(ctx, func() { _ = plain.Close() }) // of connections that are gone either way
		_ = plain.Serve(front)                               // it ends with Close
		return nil
	})
	<-registry.Settled()
	return n
}

// handle is the plain handler: a photo in, what was found out, and nothing else.
func (n *node) handle(w http.ResponseWriter, r *http.Request) {
	photo, err := io.ReadAll(r.Body)
	if err == nil {
		var answer infer.Response
		answer, err = n.models.Infer(r.Context(), strings.Trim(r.URL.Path, "/"), "", infer.Request{Inputs: []tensor.Tensor{tensor.FromBytes("image", photo)}})
		if err == nil {
			elements, _ := answer.Outputs[0].Elements() // the models made them
			var all []json.RawMessage
			for _, e := range elements {
				all = append(all, e)
			}
			err = json.NewEncoder(w).Encode(all)
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func listener(b *testing.B) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	return l
}

// runs runs a part until the benchmark ends.
func runs(b *testing.B, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
}

// A sender makes one kind of request, on as many connections as it is asked for.
type sender struct {
	url    string
	header http.Header
	body   []byte
}

func (s sender) run(b *testing.B, p load.Plan) *load.Result {
	clients := make([]*http.Client, p.Connections)
	for i := range clients {
		t := &http.Transport{MaxConnsPerHost: 1}
		defer t.CloseIdleConnections()
		clients[i] = &http.Client{Transport: t}
	}
	r := load.Run(b.Context(), p, func(ctx context.Context, worker int) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(s.body))
		if err != nil {
			return err
		}
		req.Header = s.header.Clone()
		res, err := clients[worker].Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
			return fmt.Errorf("%s, %w", res.Status, err)
		}
		return nil
	})
	if len(r.Failed) > 0 {
		b.Fatalf("%s: %v", s.url, r.Failed)
	}
	return r
}

// BenchmarkAgentOverhead is what the agent adds to decoding and to the engine, for one
// request of a 416² photo at a time. The goals are 0.3 ms at the median and 1 ms for
// 99 of 100. Floor is what a handler takes, in turns with it, that reads as many bytes and
// answers with as many: the share of HTTP, of the kernel and of the client.
func BenchmarkAgentOverhead(b *testing.B) {
	n := newNode(b)
	var photo bytes.Buffer
	img := image.NewYCbCr(image.Rect(0, 0, 416, 416), image.YCbCrSubsampleRatio420)
	for i := range img.Y {
		img.Y[i] = byte(i * 7)
	}
	if err := jpeg.Encode(&photo, img, nil); err != nil {
		b.Fatal(err)
	}
	agent := dial(b, n.agent, oip.InferPath("blank", ""), photo.Bytes())
	_, answer := ask(b, agent)
	floor := dial(b, echo(b, bytes.Clone(answer)), "/", photo.Bytes())
	var added, least load.Histogram
	for b.Loop() {
		added, least = load.Histogram{}, load.Histogram{}
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
			start := time.Now()
			header, _ := ask(b, agent)
			added.Add(time.Since(start) - within(b, header, "decode", "infer"))
			start = time.Now()
			ask(b, floor)
			least.Add(time.Since(start))
		}
	}
	for name, h := range map[string]*load.Histogram{"": &added, "floor-": &least} {
		b.ReportMetric(float64(h.Quantile(.5).Microseconds())/1000, name+"p50-ms")
		b.ReportMetric(float64(h.Quantile(.99).Microseconds())/1000, name+"p99-ms")
	}
	b.ReportMetric(float64(added.Count()), "photos")
}

// within sums up parts of an answer's Server-Timing.
func within(b *testing.B, h http.Header, parts ...string) (sum time.Duration) {
	for part := range strings.SplitSeq(h.Get("Server-Timing"), ", ") {
		if name, ms, _ := strings.Cut(part, ";dur="); slices.Contains(parts, name) {
			v, err := strconv.ParseFloat(ms, 64)
			if err != nil {
				b.Fatal(err)
			}
			sum += time.Duration(v * float64(time.Millisecond))
		}
	}
	return sum
}

// echo is the address of a handler that reads what is sent and answers with that.
func echo(b *testing.B, answer []byte) string {
	l := listener(b)
	buf := make([]byte, 1<<20) // one request at a time
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := r.Body.Read(buf); err != nil {
				break
			}
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		_, _ = w.Write(answer) // the client sees what is missing
	})}
	runs(b, func(ctx context.Context) error {
		context.AfterFunc(ctx, func() { _ = s.Close() })
		_ = s.Serve(l) // it ends with Close
		return nil
	})
	return l.Addr().String()
}

// dial returns a line for a photo.
func dial(b *testing.B, addr, path string, photo []byte) *load.Line {
	l, err := load.Dial(b.Context(), addr, http.MethodPost, path, http.Header{oip.HeaderLength: {"0"}}, photo)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() }) // of a connection that is done with
	return l
}

// ask sends the request of a line and returns the answer.
func ask(b *testing.B, l *load.Line) (http.Header, []byte) {
	header, answer, err := l.Ask()
	if err != nil {
		b.Fatal(err)
	}
	return header, answer
}

// BenchmarkThroughput is how many photos a second 1 to 64 clients get through the
// agent, as a share of what they get through a plain handler in front of the same
// model. The goal is 0.9. The two have their turns, and the better of each counts.
func BenchmarkThroughput(b *testing.B) {
	n := newNode(b)
	agent := sender{url: "http://" + n.agent + oip.InferPath(blazeface.Name, ""), header: http.Header{oip.HeaderLength: {"0"}}, body: testphoto.Astronaut()}
	plain := sender{url: "http://" + n.plain + "/" + blazeface.Name, body: testphoto.Astronaut()}
	for _, clients := range []int{1, 4, 16, 64} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			var ours, theirs float64
			for b.Loop() {
				for range 3 {
					p := load.Plan{Connections: clients, Duration: 2 * time.Second, Warmup: 200 * time.Millisecond}
					ours = max(ours, agent.run(b, p).Throughput())
					theirs = max(theirs, plain.run(b, p).Throughput())
				}
			}
			b.ReportMetric(ours, "photos/s")
			b.ReportMetric(theirs, "plain-photos/s")
			b.ReportMetric(ours/theirs, "share")
		})
	}
}
