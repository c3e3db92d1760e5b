package agent

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/agent/api"
	"primespark/agent/config"
	"primespark/agent/infer"
	"primespark/agent/infer/hailo"
	"primespark/agent/models/shelf"
	"primespark/agent/record"
	chip "primespark/hailo"
	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/run"
	"primespark/shared/telemetry"
	"primespark/shared/watch"
	"primespark/shared/worker"
)

// An accelerator is the Hailo of the node, if it may be used. Nil is one that is
// switched off.
type accelerator struct {
	*chip.Supervisor
	backend infer.Backend
	cfg     config.Hailo
}

// newAccelerator makes the accelerator of a configuration. It looks at nothing yet.
func newAccelerator(cfg config.Config, log *slog.Logger, metrics prometheus.Registerer) (*accelerator, error) {
	if cfg.Hailo.Enabled == config.Off || cfg.SafeMode {
		return nil, nil
	}
	dir := filepath.Join(cfg.StateDir, "hailo")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the Hailo worker: %w", err)
	}
	a := &accelerator{cfg: cfg.Hailo}
	socket := ""
	if cfg.Hailo.Worker == "" { // a program of the owner's is in no unit
		socket = worker.UnitSocket(chip.WorkerC)
	}
	a.Supervisor = chip.New(chip.Config{
		Library: cfg.Hailo.Library, Socket: socket, Workers: chip.FindWorkers(cfg.Hailo.Worker), Share: cfg.Hailo.Share == config.Service,
		Dir: dir, Depth: cfg.Hailo.Depth, Warm: cfg.Hailo.Warm, Hot: cfg.Hailo.Hot, Log: log,
	})
	a.backend = hailo.New(a.Supervisor, cfg.Hailo.Depth)
	if err := metrics.Register(hailo.NewMetrics(a.Status().Get)); err != nil {
		return nil, fmt.Errorf("metrics of the Hailo: %w", err)
	}
	return a, nil
}

// on is the models that are on the shelf, and those of them to load at the start.
func (a *accelerator) on() (shelf.Shelf, []string) {
	if a == nil {
		return shelf.Shelf{}, nil
	}
	s := shelf.Shelf{Dir: a.cfg.Models}
	if len(a.cfg.Load) > 0 {
		return s, a.cfg.Load
	}
	if name := s.Favourite(); name != "" {
		return s, []string{name}
	}
	return s, nil
}

// parts are those that run for the accelerator; what uses it comes after them.
// The chip rests while rests says so.
func (a *accelerator) parts(every time.Duration, rests *watch.Value[bool], recorder *record.Recorder, conditions *health.Registry, log *slog.Logger) []run.Part {
	if a == nil {
		return nil
	}
	return []run.Part{
		resting{a.Supervisor, rests, worker.Park("Bring the mains back; power.actions in the configuration has park_hailo.", "The accelerator rests while the node is on battery.")},
		run.Func("hailo conditions", func(ctx context.Context) error { return a.judge(ctx, conditions) }),
		run.Func("hailo samples", func(ctx context.Context) error { return a.sample(ctx, every, recorder, log) }),
	}
}

// judge keeps the condition of the accelerator: a node serves without one, and
// says what it lacks if it was meant to have one.
func (a *accelerator) judge(ctx context.Context, conditions *health.Registry) error {
	for {
		st, changed := a.Status().Load()
		if f := a.trouble(st); f != nil {
			conditions.Set(health.Accelerator, health.Warning, f.Detail, f.Remedy)
		} else {
			conditions.Clear(health.Accelerator)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// trouble is what to warn of; nil if there is nothing.
func (a *accelerator) trouble(st chip.Status) *chip.Finding {
	if c := st.Cause; c != nil {
		if c.Code == worker.Parked {
			return nil // as its owner has set it
		}
		if c.Severity == chip.Info && a.cfg.Enabled != config.On {
			return nil // most nodes have none
		}
		return c
	}
	if st.Zone == "hot" {
		return &chip.Finding{Detail: fmt.Sprintf("The accelerator has %.0f °C.", *st.Hottest()), Remedy: "Fit the active cooler and the HAT's heat sink, and give the case air."}
	}
	for _, f := range st.Findings {
		if f.Severity != chip.Info {
			return &f
		}
	}
	return nil
}

// sample records what the chip measures, while it answers.
func (a *accelerator) sample(ctx context.Context, every time.Duration, recorder *record.Recorder, log *slog.Logger) error {
	for run.Sleep(ctx, run.Due(every)) {
		fields := samples(a.Status().Get())
		if len(fields) == 0 {
			continue
		}
		if err := recorder.Record(telemetry.Hailo, telemetry.Fields(fields)); err != nil {
			log.Warn("accelerator not recorded", "err", err)
		}
	}
	return nil
}

// samples are the fields of the stream hailo.
func samples(st chip.Status) map[string]float64 {
	fields := map[string]float64{}
	if st.State != chip.StateReady {
		return fields
	}
	if t := st.Hottest(); t != nil {
		fields["temperature_celsius"] = *t
	}
	if st.PowerW != nil {
		fields["power_watts"] = *st.PowerW
	}
	if st.Utilization != nil {
		fields["utilization"] = *st.Utilization // of the time
	}
	busy := 0.0
	for _, m := range st.Models {
		fields["frames_per_second"] += m.FPS
		if m.Bottleneck > 0 {
			busy += m.FPS / m.Bottleneck
		}
	}
	fields["used"] = min(busy, 1) // of the compiler's own estimate
	return fields
}

// vital is the accelerator as the others are told of it; nil where there is none
// to tell of.
func (a *accelerator) vital() *fleet.Accelerator {
	if a == nil {
		return nil
	}
	st := a.Status().Get()
	if st.State == chip.StateAbsent && a.cfg.Enabled != config.On {
		return nil
	}
	v := &fleet.Accelerator{Kind: st.Arch, State: string(st.State), Temperature: st.Hottest(), Simulated: st.Simulated}
	if v.Kind == "" {
		v.Kind = "hailo"
	}
	if st.Cause != nil {
		v.Detail = clipped(st.Cause.Detail)
	}
	for _, m := range st.Models {
		v.FPS += m.FPS
	}
	if v.FPS = math.Round(v.FPS*10) / 10; v.FPS > 10 {
		v.FPS = math.Round(v.FPS) // gossip tells what changes
	}
	return v
}

// clipped is a sentence short enough for gossip.
func clipped(s string) string {
	const most = 160
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// describe is the accelerator as the node's API shows it; nil if it is switched off.
func (a *accelerator) describe() *api.Accelerator {
	if a == nil {
		return nil
	}
	st := a.Status().Get()
	return &api.Accelerator{Sentence: st.Sentence(), Status: st}
}
