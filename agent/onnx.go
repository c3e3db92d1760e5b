package agent

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/agent/api"
	"primespark/agent/checkup"
	"primespark/agent/config"
	"primespark/agent/infer"
	"primespark/agent/infer/native"
	backend "primespark/agent/infer/onnxruntime"
	"primespark/agent/onnxruntime"
	"primespark/shared/run"
	"primespark/shared/worker"
)

// An onnxRuntime is ONNX Runtime in its worker. Nil is one that is switched off.
type onnxRuntime struct {
	*onnxruntime.Supervisor
	backend infer.Backend
}

// newONNX makes the engine of a configuration. It looks at nothing yet.
func newONNX(cfg config.Config, log *slog.Logger, metrics prometheus.Registerer) (*onnxRuntime, error) {
	if cfg.ONNX.Enabled == config.Off || cfg.SafeMode {
		return nil, nil
	}
	how := onnxConfig(cfg)
	how.Dir, how.Log = filepath.Join(cfg.StateDir, "onnxruntime"), log
	if err := os.MkdirAll(how.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the ONNX Runtime worker: %w", err)
	}
	o := &onnxRuntime{Supervisor: onnxruntime.New(how)}
	o.backend = backend.New(o.Supervisor)
	if err := metrics.Register(native.NewMetrics("onnxruntime", o.Status().Get)); err != nil {
		return nil, fmt.Errorf("metrics of ONNX Runtime: %w", err)
	}
	return o, nil
}

// onnxConfig is what the file says of ONNX Runtime.
func onnxConfig(cfg config.Config) onnxruntime.Config {
	c := onnxruntime.Config{
		Library: cfg.ONNX.Library, Worker: cfg.ONNX.Worker, Memory: int64(cfg.ONNX.Memory), Wanted: cfg.ONNX.Enabled == config.On, Threads: cfg.ONNX.Threads,
	}
	if c.Worker == "" { // a program of the owner's is in no unit
		c.Socket = worker.UnitSocket(onnxruntime.WorkerName)
	}
	if c.Threads == 0 {
		c.Threads = cfg.Infer.Threads
	}
	if c.Threads == 0 {
		c.Threads = runtime.GOMAXPROCS(0)
	}
	return c
}

// parts are those that run for the engine; what uses it comes after them.
func (o *onnxRuntime) parts() []run.Part {
	if o == nil {
		return nil
	}
	return []run.Part{o.Supervisor}
}

// describe is the engine as the node's API shows it; nil if it is switched off.
func (o *onnxRuntime) describe() *api.Engine {
	if o == nil {
		return nil
	}
	st := o.Status().Get()
	return &api.Engine{Sentence: onnxruntime.Sentence(st), Status: st}
}

// onnxOf is the engine for the doctor: what the host has, and what the running agent
// knows.
func onnxOf(cfg config.Config, running *api.Engine) checkup.ONNX {
	d := checkup.ONNX{Off: cfg.ONNX.Enabled == config.Off}
	if d.Off {
		return d
	}
	var found *onnxruntime.Finding
	if d.Library, _, found = onnxruntime.Diagnose(onnxConfig(cfg)); found != nil {
		d.Found = found
		return d
	}
	if running != nil {
		d.Found, d.Running = running.Cause, running.Sentence
	}
	return d
}
