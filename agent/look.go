package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"primespark/agent/config"
	"primespark/agent/infer"
	"primespark/agent/models"
	"primespark/shared/model"
	"primespark/shared/oip"
	"primespark/shared/problem"
	"primespark/shared/run"
	"primespark/shared/tensor"
)

// Bounds of one look at an image from the command line.
const (
	maxImage = 16 << 20 // bytes
	lookTime = 30 * time.Second
)

// A Sight is what a model saw in an image.
type Sight struct {
	Model   string          `json:"model"`
	Backend string          `json:"backend"`
	By      string          `json:"by"` // who ran it, for people
	Millis  float64         `json:"ms"` // from the file's bytes to the labels
	Found   []oip.Detection `json:"found"`
}

// Look runs a model of this node on an image file: the running agent does it or,
// if none runs, this process.
func Look(ctx context.Context, cfg config.Config, name, file string) (Sight, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	image, err := readImage(file)
	if err != nil {
		return Sight{}, err
	}
	start := time.Now()
	s, err := ask(ctx, cfg, name, image)
	if errors.Is(err, errNobody) {
		start = time.Now()
		s, err = alone(ctx, cfg, name, image)
	}
	if err != nil {
		return Sight{}, err
	}
	s.Model, s.Millis = name, float64(time.Since(start).Microseconds())/1000
	return s, nil
}

func readImage(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, &problem.Error{Code: problem.NotFound, Err: err, Detail: fmt.Sprintf("The image %s cannot be read.", file), Remedy: "Give the path of a JPEG, PNG, WebP, BMP or TIFF file."}
	}
	defer f.Close()
	image, err := io.ReadAll(io.LimitReader(f, maxImage+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the image: %w", err)
	case len(image) > maxImage:
		return nil, problem.New(problem.TooLarge, "Save it smaller.", "The image %s is larger than %d MiB.", file, maxImage>>20)
	}
	return image, nil
}

// errNobody means that no agent answers on this host's socket.
var errNobody = errors.New("no agent runs here")

// toSocket reaches the agent that runs on this host; without one, errNobody.
func toSocket(cfg config.Config) *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, "unix", cfg.HTTP.Socket)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNobody, err)
		}
		return c, nil
	}}
}

// ask has the running agent do it.
func ask(ctx context.Context, cfg config.Config, name string, image []byte) (Sight, error) {
	if cfg.HTTP.Socket == "" {
		return Sight{}, errNobody
	}
	transport := toSocket(cfg)
	defer transport.CloseIdleConnections()
	req, err := oip.NewImageRequest(ctx, "http://localhost", name, "", image)
	if err != nil {
		return Sight{}, err
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return Sight{}, err
	}
	backend := res.Header.Get("X-Prime-Spark-Backend")
	answer, err := oip.ReadResponse(res, maxImage)
	if err != nil {
		return Sight{}, err
	}
	found, err := detections(answer.Outputs)
	return Sight{Backend: backend, By: "by the running agent", Found: found}, err
}

// alone loads the models here.
func alone(ctx context.Context, cfg config.Config, name string, image []byte) (Sight, error) {
	registry, err := models.New(models.Config{
		Backends: engines(cfg.Infer, nil, nil, Outside{}), Dir: cfg.Models.Dir, Memory: int64(cfg.Models.Memory), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return Sight{}, err
	}
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- run.All(running, registry) }() // waited for below
	defer func() { stop(); <-done }()
	select {
	case <-registry.Settled():
	case <-ctx.Done():
		return Sight{}, ctx.Err()
	}
	if err := refused(registry.Index(), name); err != nil {
		return Sight{}, err
	}
	answer, err := registry.Infer(ctx, name, "", infer.Request{Inputs: []tensor.Tensor{tensor.FromBytes("image", image)}})
	if err != nil {
		return Sight{}, err
	}
	found, err := detections(answer.Outputs)
	return Sight{Backend: answer.Backend, By: "in this process, no agent runs here", Found: found}, err
}

// refused says why a model that is there cannot answer.
func refused(index []model.Status, name string) error {
	for _, m := range index {
		if m.Name == name && m.State != model.Ready {
			return problem.New(problem.Conflict, "Correct the package.", "The model %s was not loaded: %s.", name, m.Reason)
		}
	}
	return nil
}

func detections(outputs []tensor.Tensor) ([]oip.Detection, error) {
	for _, t := range outputs {
		if t.Name == "detections" || t.Name == "classes" {
			return oip.Detections(t)
		}
	}
	return nil, problem.New(problem.Invalid, "Ask for it over HTTP.", "The model gives tensors, not labels or boxes.")
}
