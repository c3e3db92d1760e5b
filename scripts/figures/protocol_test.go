package figures_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
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

// newNode returns such a node, with a result cache if it is given one.
func newNode(b *testing.B, results models.Results) *node {
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
		Results:  results,
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

// BenchmarkThroughput is how many photos a second 1 to 64 clients get through the
// agent, as a share of what they get through a plain handler in front of the same
// model. The goal is 0.9. The two have their turns, and the better of each counts.
func BenchmarkThroughput(b *testing.B) {
	n := newNode(b, nil)
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
