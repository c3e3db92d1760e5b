package api_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/agent/api"
	"primespark/agent/infer"
	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/model"
	"primespark/shared/problem"
	"primespark/shared/tensor"
)

// fakeModels has "double", which doubles two floats, "faces", which takes images,
// "text", which gives strings back, and "broken", which is not loaded.
type fakeModels struct {
	mu   sync.Mutex
	last infer.Request
	wait func(ctx context.Context) error // before an answer
	runs []infer.Run                     // that the next answers came of
}

var metadata = map[string]model.Metadata{
	"double": {
		Name: "double", Versions: []string{"1"}, Platform: "onnx_builtin",
		Inputs:  []tensor.Spec{{Name: "x", Type: tensor.Float32, Shape: []int{-1, 2}}},
		Outputs: []tensor.Spec{{Name: "y", Type: tensor.Float32, Shape: []int{-1, 2}}, {Name: "n", Type: tensor.Int64, Shape: []int{1}}},
	},
	"faces": {
		Name: "faces", Versions: []string{"2"}, Platform: "onnx_builtin", Image: true, Postprocess: "detections",
		Inputs:  []tensor.Spec{{Name: "image", Type: tensor.Float32, Shape: []int{1, 3, 128, 128}}},
		Outputs: []tensor.Spec{{Name: "boxes", Type: tensor.Float32, Shape: []int{1, 4}}},
	},
}

func (m *fakeModels) Index() []model.Status {
	return []model.Status{
		{Name: "broken", Version: "1", State: model.Unavailable, Reason: "sha256 differs"},
		{Name: "double", Version: "1", State: model.Ready},
		{Name: "faces", Version: "2", State: model.Ready},
	}
}

func (m *fakeModels) Metadata(name, version string) (model.Metadata, error) {
	meta, ok := metadata[name]
	switch {
	case name == "broken":
		return meta, problem.New(problem.NotReady, "Copy the package again.", "Model broken cannot be loaded: sha256 differs.")
	case !ok || version != "" && version != meta.Versions[0]:
		return model.Metadata{}, problem.New(problem.NotFound, "The models here are double and faces.", "There is no model %q.", name)
	}
	return meta, nil
}

func (m *fakeModels) Ready(name, version string) bool {
	meta, ok := metadata[name]
	return ok && (version == "" || version == meta.Versions[0])
}

func (m *fakeModels) Infer(ctx context.Context, name, _ string, req infer.Request) (infer.Response, error) {
	m.mu.Lock()
	m.last = req
	wait := m.wait
	m.mu.Unlock()
	if wait != nil {
		if err := wait(ctx); err != nil {
			return infer.Response{}, err
		}
	}
	out := infer.Response{Backend: "builtin", Timing: infer.Timing{
		Queue: time.Millisecond, Decode: 2 * time.Millisecond, Infer: 3500 * time.Microsecond, Post: 250 * time.Microsecond,
	}}
	m.mu.Lock()
	if len(m.runs) > 0 {
		out.Run, m.runs = m.runs[0], m.runs[1:]
	}
	m.mu.Unlock()
	in := req.Inputs[0]
	if name == "faces" {
		elements, err := in.Elements()
		if err != nil {
			return out, problem.New(problem.Invalid, "Send an image.", "Input %q is no image.", in.Name)
		}
		if string(elements[0]) == "\xff\xd8\xffbroken" {
			return out, problem.New(problem.BadMedia, "Send a whole JPEG, PNG, WebP, BMP or TIFF.", "The JPEG ends too early.")
		}
		if req.Postprocess != nil && !*req.Postprocess {
			out.Outputs = []tensor.Tensor{tensor.FromFloat32s("boxes", []float32{1, 2, 3, 4}, 1, 4)}
			return out, nil
		}
		out.Outputs = []tensor.Tensor{tensor.FromBytes("detections", []byte(`{"label":"face","score":0.9,"box":[1,2,3,4]}`))}
		return out, nil
	}
	if err := metadata[name].Inputs[0].Fits(in.Type, in.Shape); err != nil {
		return out, problem.New(problem.Invalid, "GET /v2/models/double shows the inputs.", "The input does not fit: %v.", err)
	}
	y := append([]float32{}, in.Float32s()...)
	for i := range y {
		y[i] *= 2
	}
	out.Labels = []string{"even", "odd"}
	out.Outputs = []tensor.Tensor{
		tensor.FromFloat32s("y", y, in.Shape...),
		{Name: "n", Type: tensor.Int64, Shape: []int{1}, Data: []byte{byte(len(y)), 0, 0, 0, 0, 0, 0, 0}},
	}
	return out, nil
}

func (m *fakeModels) Load(_ context.Context, name string) error {
	switch name {
	case "faces":
		return nil
	case "panic":
		panic("a fault of ours")
	case "fault":
		return errors.New("disk on fire at /secret/path")
	}
	return problem.New(problem.NotFound, "Put it into the store.", "There is no package %q.", name)
}

func (m *fakeModels) Unload(context.Context, string) error { return infer.ErrClosed }

func (m *fakeModels) request() infer.Request {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}

type rig struct {
	api    *api.API
	models *fakeModels
	health *health.Registry
	log    *strings.Builder
}

func newRig(t *testing.T, cfg api.Config, serve ...api.Listener) *rig {
	t.Helper()
	r := &rig{models: &fakeModels{}, health: health.New(nil), log: &strings.Builder{}}
	cfg.Node = "pi-1"
	var err error
	r.api, err = api.New(cfg, api.Outside{
		Models: r.models, Health: r.health, Metrics: prometheus.NewRegistry(), Serve: serve,
		Log: slog.New(slog.NewTextHandler(&locked{w: r.log}, nil)),
		Self: func() api.Self {
			return api.Self{
				Name: "pi-1", Role: fleet.Agent, Mode: fleet.Isolated, Addresses: map[string]string{"api": "127.0.0.1:7490"},
				Vital: fleet.Vital{Node: "pi-1", Boot: 7, Seq: 3, At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), CPU: 0.5},
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// ask sends a request; header is pairs of names and values.
func (r *rig) ask(method, path, body string, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	r.api.Handler().ServeHTTP(w, req)
	return w
}
