package oip_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/credentials/insecure"

	agentapi "primespark/agent/api"
	"primespark/agent/infer"
	"primespark/coordinator/api"
	"primespark/coordinator/dispatch"
	"primespark/coordinator/events"
	"primespark/coordinator/fsm"
	"primespark/coordinator/route"
	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/model"
	"primespark/shared/oip/rpc/rpctest"
	"primespark/shared/problem"
	"primespark/shared/tensor"
	"primespark/shared/watch"
	"primespark/shared/wire"
)

// catalog has the models that the documents speak of: "mymodel" is that of their
// examples, "echo" and "three" give each of their inputs back, "scores" has labels, "photos"
// takes images, and "lame" is not ready.
type catalog struct{}

func spec(name string, t tensor.Type, shape ...int) tensor.Spec {
	return tensor.Spec{Name: name, Type: t, Shape: shape}
}

var models = map[string]model.Metadata{
	"mymodel": {
		Name: "mymodel", Versions: []string{"1"}, Platform: "onnx_builtin",
		Inputs:  []tensor.Spec{spec("input0", tensor.Uint32, 2, 2), spec("input1", tensor.Bool, 3)},
		Outputs: []tensor.Spec{spec("output0", tensor.Float32, 3, 2)},
	},
	"echo": {Name: "echo", Versions: []string{"2"}, Platform: "onnx_builtin", Inputs: []tensor.Spec{spec("x", tensor.Float32, -1, 2)}, Outputs: []tensor.Spec{spec("x", tensor.Float32, -1, 2)}},
	"three": {
		Name: "three", Versions: []string{"2"}, Platform: "onnx_builtin",
		Inputs:  []tensor.Spec{spec("a", tensor.Uint8, 1), spec("b", tensor.Uint8, 1), spec("c", tensor.Int16, 1)},
		Outputs: []tensor.Spec{spec("a", tensor.Uint8, 1), spec("b", tensor.Uint8, 1), spec("c", tensor.Int16, 1)},
	},
	"scores": {Name: "scores", Versions: []string{"1"}, Platform: "onnx_builtin", Inputs: []tensor.Spec{spec("input0", tensor.Uint32, 2, 2)}, Outputs: []tensor.Spec{spec("output0", tensor.Float32, 4)}},
	"photos": {
		Name: "photos", Versions: []string{"1"}, Platform: "onnx_builtin", Image: true, Postprocess: "detections",
		Inputs: []tensor.Spec{spec("image", tensor.Float32, 1, 3, 2, 2)}, Outputs: []tensor.Spec{spec("boxes", tensor.Float32, 1, 4)},
	},
}

func (catalog) Index() []model.Status {
	all := []model.Status{{Name: "lame", Version: "1", State: model.Unavailable, Reason: "sha256 differs"}}
	for name, m := range models {
		all = append(all, model.Status{Name: name, Version: m.Versions[0], State: model.Ready})
	}
	slices.SortFunc(all, func(a, b model.Status) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	return all
}

func (catalog) Metadata(name, version string) (model.Metadata, error) {
	m, ok := models[name]
	switch {
	case name == "lame":
		return m, problem.New(problem.NotReady, "Copy it again.", "Model lame cannot be loaded: sha256 differs.")
	case !ok || version != "" && version != m.Versions[0]:
		return model.Metadata{}, problem.New(problem.NotFound, "Look into the index.", "There is no model %q.", name)
	}
	return m, nil
}

func (c catalog) Ready(name, version string) bool {
	_, err := c.Metadata(name, version)
	return err == nil
}

func (catalog) Infer(_ context.Context, name, _ string, req infer.Request) (infer.Response, error) {
	out := infer.Response{Backend: "builtin"}
	switch name {
	case "mymodel":
		if len(req.Inputs) != 2 {
			return out, problem.New(problem.Invalid, "Give both.", "An input is missing.")
		}
		out.Outputs = []tensor.Tensor{tensor.FromFloat32s("output0", []float32{1, 1.1, 2, 2.1, 3, 3.1}, 3, 2)}
	case "scores":
		out.Labels = []string{"index_0_label", "index_1_label", "index_2_label", "index_3_label"}
		out.Outputs = []tensor.Tensor{tensor.FromFloat32s("output0", []float32{1.1, 3.3, 0.5, 2.4}, 4)}
	case "photos":
		out.Outputs = []tensor.Tensor{tensor.FromBytes("detections", []byte(`{"label":"cat"}`))}
	default:
		for _, in := range req.Inputs {
			in.Data = bytes.Clone(in.Data) // they are the request's
			out.Outputs = append(out.Outputs, in)
		}
	}
	return out, nil
}

func (catalog) Load(_ context.Context, name string) error {
	if _, ok := models[name]; !ok {
		return problem.New(problem.NotFound, "Put it into the store.", "There is no package %q.", name)
	}
	return nil
}

func (c catalog) Unload(ctx context.Context, name string) error { return c.Load(ctx, name) }

// A group of coordinators has agreed that there is one agent.
type group struct{ api.Group }

var changes = make(chan struct{}) // never

func (group) State() (fsm.State, <-chan struct{}) {
	return fsm.State{
		Cluster: fsm.Cluster{Name: "home"},
		Nodes:   map[string]fsm.Node{"pi-1": {Name: "pi-1", Role: fleet.Agent, State: fsm.Approved}},
	}, changes
}

// There is no mesh.
type noMesh struct{ api.Atlas }

func (noMesh) View(fsm.State, fleet.View, time.Time) wire.MeshViewBody { return wire.MeshViewBody{} }

// A server is one that speaks the protocol.
type server struct {
	name    string
	address string // of both REST and gRPC
	rpc     *rpctest.Client
}

// servers starts an agent, and a gateway in front of it.
func servers(t *testing.T) []server {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	back, front := listen(t), listen(t)
	agent, err := agentapi.New(agentapi.Config{Node: "pi-1", MaxBody: 1 << 20}, agentapi.Outside{
		Models: catalog{}, Health: health.New(nil), Self: func() agentapi.Self { return agentapi.Self{Name: "pi-1"} },
		Log: quiet, Serve: []agentapi.Listener{{Listener: back}},
	})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, agent)

	vital := fleet.Vital{Node: "pi-1", Ready: true}
	for name, m := range models {
		vital.Models = append(vital.Models, fleet.Serving{Name: name, Version: m.Versions[0], Backend: "builtin", Millis: 1})
	}
	views := watch.New(fleet.View{{Member: fleet.Member{Name: "pi-1", Role: fleet.Agent, API: back.Addr().String()}, Liveness: fleet.Alive, Vital: vital}})
	transport := dispatch.NewTransport(new(net.Dialer).DialContext, nil)
	t.Cleanup(transport.CloseIdleConnections)
	dispatcher := dispatch.New(dispatch.Config{
		Self: "c1", Views: views, States: func() map[string]string { return map[string]string{"pi-1": route.Approved} },
		Transport: &loopbackHost{transport}, Scheme: "http", Log: quiet,
	})
	gateway, err := api.New(api.Config{
		Self: "c1", Group: group{}, Views: views, Gateway: dispatcher, Events: events.NewLog(), Atlas: noMesh{}, SessionKey: make([]byte, 32),
		Health: func() health.List { return nil }, Standing: func() api.Standing { return api.Standing{} }, MaxBody: 1 << 20, Log: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, api.Server{Name: "gateway", Listener: front, Handler: gateway.Loopback(api.Operator), Stop: gateway.Stop, Log: quiet})

	var all []server
	for name, l := range map[string]net.Listener{"agent": back, "gateway": front} {
		all = append(all, server{name, l.Addr().String(), rpctest.Dial(t, l.Addr().String(), insecure.NewCredentials())})
	}
	return all
}

// loopbackHost names the agent's listener in requests to it, which is for its own
// host only.
type loopbackHost struct{ http.RoundTripper }

func (l *loopbackHost) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Host = "localhost"
	return l.RoundTripper.RoundTrip(r)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// serve runs a part until the test ends.
func serve(t *testing.T, part interface{ Run(context.Context) error }) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- part.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Error("the server does not end")
		}
	})
}
