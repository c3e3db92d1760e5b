package rpc

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"google.golang.org/protobuf/encoding/protowire"

	"primespark/shared/model"
	"primespark/shared/oip"
	"primespark/shared/problem"
)

// protocol is the name of the service.
const protocol = "inference.GRPCInferenceService"

// A method answers one message with another, and with the headers of the REST
// answer that it comes from.
type method func(c *call, ctx context.Context, request []byte) (message, http.Header, error)

// methods are the unary ones, by service and name.
var methods = map[string]map[string]method{
	protocol: {
		"ServerLive":            serverLive,
		"ServerReady":           serverReady,
		"ModelReady":            modelReady,
		"ServerMetadata":        describe("/v2", serverMetadata),
		"ModelMetadata":         modelDescription,
		"ModelInfer":            modelInfer,
		"ModelStatistics":       statistics,
		"RepositoryIndex":       index,
		"RepositoryModelLoad":   control("load"),
		"RepositoryModelUnload": control("unload"),
	},
	"grpc.health.v1.Health": {"Check": check},
}

func serverLive(c *call, ctx context.Context, _ []byte) (message, http.Header, error) {
	a := c.ask(ctx, http.MethodGet, "/v2/health/live", nil)
	if err := a.err(); err != nil {
		return nil, a.header, err
	}
	return message{appendBool(nil, 1, true)}, a.header, nil
}

func serverReady(c *call, ctx context.Context, _ []byte) (message, http.Header, error) {
	ready, header, err := c.ready(ctx, "/v2/health/ready")
	return message{appendBool(nil, 1, ready)}, header, err
}

func modelReady(c *call, ctx context.Context, request []byte) (message, http.Header, error) {
	path, err := modelOf(request)
	ready, header := false, http.Header(nil)
	if err == nil {
		ready, header, err = c.ready(ctx, path+"/ready")
	}
	if problem.Is(err, problem.NotFound) {
		return nil, nil, nil // as Triton has it: it is not ready
	}
	return message{appendBool(nil, 1, ready)}, header, err
}

// ready asks whether something is, for which 503 is an answer and no fault.
func (c *call) ready(ctx context.Context, path string) (bool, http.Header, error) {
	a := c.ask(ctx, http.MethodGet, path, nil)
	if a.status == http.StatusServiceUnavailable {
		return false, nil, nil
	}
	return a.status == http.StatusOK, a.header, a.err()
}

// describe returns the method that answers with what is at path.
func describe[T any](path string, encode func(T) message) method {
	return func(c *call, ctx context.Context, _ []byte) (message, http.Header, error) {
		return get(c, ctx, http.MethodGet, path, nil, encode)
	}
}

// get asks for JSON and encodes it.
func get[T any](c *call, ctx context.Context, method, path string, body []byte, encode func(T) message) (message, http.Header, error) {
	a := c.ask(ctx, method, path, body)
	if err := a.err(); err != nil {
		return nil, a.header, err
	}
	var v T
	if err := json.Unmarshal(a.body.Bytes(), &v); err != nil {
		return nil, a.header, fmt.Errorf("read the answer of %s: %w", path, err)
	}
	return encode(v), a.header, nil
}

func modelDescription(c *call, ctx context.Context, request []byte) (message, http.Header, error) {
	path, err := modelOf(request)
	if err != nil {
		return nil, nil, err
	}
	return get(c, ctx, http.MethodGet, path, nil, modelMetadata)
}

func statistics(c *call, ctx context.Context, request []byte) (message, http.Header, error) {
	name, version, err := twoStrings(request)
	if err != nil {
		return nil, nil, err
	}
	path := "/v2/models"
	if name != "" {
		if path, err = modelPath(name, version); err != nil {
			return nil, nil, err
		}
	}
	return get(c, ctx, http.MethodGet, path+"/stats", nil, modelStatistics)
}

func index(c *call, ctx context.Context, request []byte) (message, http.Header, error) {
	var ask oip.IndexRequest
	err := fields(request, func(f field) error {
		if f.is(2, protowire.VarintType) {
			ask.Ready = f.value != 0
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	body, err := json.Marshal(ask)
	if err != nil {
		return nil, nil, err
	}
	return get(c, ctx, http.MethodPost, "/v2/repository/index", body, func(rows []model.Status) message { return repositoryIndex(rows) })
}

// control returns the method that loads or unloads a model.
func control(act string) method {
	return func(c *call, ctx context.Context, request []byte) (message, http.Header, error) {
		var name string
		ask := oip.LoadRequest{Parameters: map[string]any{}}
		err := fields(request, func(f field) (err error) {
			switch {
			case f.is(2, protowire.BytesType):
				name, err = f.text()
			case f.is(3, protowire.BytesType):
				err = loadParam(ask.Parameters, f.data)
			}
			return err
		})
		if err != nil {
			return nil, nil, err
		}
		if err := named(name, ""); err != nil {
			return nil, nil, err
		}
		body, err := json.Marshal(ask)
		if err != nil {
			return nil, nil, err
		}
		a := c.ask(ctx, http.MethodPost, "/v2/repository/models/"+name+"/"+act, body)
		return nil, a.header, a.err()
	}
}

// loadParam reads an entry of a map of ModelRepositoryParameter into p. Bytes
// stand for files, which no server of ours takes: their name is enough to refuse them.
func loadParam(p map[string]any, b []byte) error {
	name, value, err := entry(b, func(f field) (v any, err error) {
		switch {
		case f.is(1, protowire.VarintType):
			v = f.value != 0
		case f.is(2, protowire.VarintType):
			v = int64(f.value)
		case f.is(3, protowire.BytesType):
			v, err = f.text()
		case f.is(4, protowire.BytesType):
			v = ""
		}
		return v, err
	})
	if err == nil && value != nil {
		p[name] = value
	}
	return err
}

// check is that of grpc.health.v1: 1 is SERVING, 2 is NOT_SERVING.
func check(c *call, ctx context.Context, request []byte) (message, http.Header, error) {
	service, _, err := twoStrings(request)
	if err != nil {
		return nil, nil, err
	}
	if service != "" && service != protocol {
		return nil, nil, problem.New(problem.NotFound, "Ask for "+protocol+", or for none.", "There is no service %q.", clip(service))
	}
	ready, header, err := c.ready(ctx, "/v2/health/ready")
	status := uint64(2)
	if ready {
		status = 1
	}
	return message{appendUint(nil, 1, status)}, header, err
}

// modelOf returns the REST path of the model that a message of a name and a
// version names.
func modelOf(request []byte) (string, error) {
	name, version, err := twoStrings(request)
	if err != nil {
		return "", err
	}
	return modelPath(name, version)
}

func modelPath(name, version string) (string, error) {
	return oip.ModelPath(name, version), named(name, version)
}

// twoStrings reads fields 1 and 2.
func twoStrings(request []byte) (one, two string, err error) {
	err = fields(request, func(f field) (err error) {
		switch {
		case f.is(1, protowire.BytesType):
			one, err = f.text()
		case f.is(2, protowire.BytesType):
			two, err = f.text()
		}
		return err
	})
	return one, two, err
}

// named refuses names that no model can have, which would be other paths.
func named(name, version string) error {
	if name == "" {
		return problem.New(problem.Invalid, "Name the model.", "The request names no model.")
	}
	if !model.ValidName(name) || version != "" && !model.ValidName(version) {
		what := clip(name)
		if version != "" {
			what += " version " + clip(version)
		}
		return problem.New(problem.NotFound, "RepositoryIndex lists the models there are.", "There is no model %q here.", what)
	}
	return nil
}
