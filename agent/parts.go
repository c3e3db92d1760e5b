package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/agent/config"
	"primespark/agent/infer"
	"primespark/agent/infer/builtin"
	"primespark/agent/models"
	"primespark/agent/outbox"
	"primespark/agent/record"
	"primespark/agent/uplink"
	"primespark/shared/health"
	"primespark/shared/identity"
	"primespark/shared/mqttpipe"
	"primespark/shared/run"
	"primespark/shared/telemetry"
)

// selftests is how many inferences a model goes through before it is ready: one
// to warm up, one that is checked. A simulated fault shows after them.
const selftests = 2

// engines returns what the node can run models on.
func engines(cfg config.Infer, chip *accelerator, onnx *onnxRuntime, out Outside) []infer.Backend {
	all := slices.Clone(out.Backends)
	if all == nil {
		all = []infer.Backend{builtin.Backend{Threads: cfg.Threads}}
	}
	if chip != nil {
		all = append(all, chip.backend)
	}
	if onnx != nil {
		all = append(all, onnx.backend)
	}
	engine, fault := cfg.Faulty()
	for i, b := range all {
		if engine == "" || engine == b.Engine() {
			all[i] = infer.Faulty(b, infer.Fault(fault), selftests)
		}
	}
	return all
}

// membership reads who the node is in its cluster; nil if it belongs to none. An
// identity that cannot be read keeps the node from its cluster, not from serving.
func membership(cfg config.Config, log *slog.Logger) *identity.Identity {
	id, err := identity.Load(identityDir(cfg))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		log.Info("this node belongs to no cluster yet and serves its own host only",
			"remedy", "have a join code made with prime-spark join-code create --role agent, then run prime-spark-agent join")
		return nil
	case err != nil:
		log.Error("the node's identity cannot be read, it serves its own host only", "err", err,
			"remedy", "move "+identityDir(cfg)+" away and join again")
		return nil
	}
	return id
}

// readiness keeps the conditions of the models: an agent that can infer nothing
// is not ready.
func readiness(registry *models.Registry, conditions *health.Registry) run.Part {
	conditions.Set(health.Starting, health.Unready, "The models are being loaded.", "Wait a few seconds.")
	return run.Func("readiness", func(ctx context.Context) error {
		settled := registry.Settled()
		tick := time.NewTimer(run.Due(pulse))
		defer tick.Stop()
		for {
			able := len(registry.Serving()) > 0
			if able {
				conditions.Clear(health.Starting)
				conditions.Clear(health.NoModels)
			}
			select {
			case <-settled:
				settled = nil
				conditions.Clear(health.Starting)
			case <-tick.C:
				tick.Reset(run.Due(pulse))
			case <-ctx.Done():
				return nil
			}
			if settled == nil && len(registry.Serving()) == 0 {
				conditions.Set(health.NoModels, health.Unready, "No model can answer on this node.",
					"See POST /v2/repository/index for the reason of each model, and load one.")
			}
		}
	})
}

// workload records how busy the node is with inference.
func workload(registry *models.Registry, recorder *record.Recorder, every time.Duration, log *slog.Logger) run.Part {
	return run.Func("workload", func(ctx context.Context) error {
		for run.Sleep(ctx, run.Due(every)) {
			fields := map[string]float64{"in_flight": float64(registry.InFlight()), "queue": float64(registry.Queue())}
			for _, m := range registry.Serving() {
				if m.Millis > 0 {
					fields["latency_seconds"] = max(fields["latency_seconds"], m.Millis/1000)
				}
			}
			if err := recorder.Record(telemetry.Inference, telemetry.Fields(fields)); err != nil {
				log.Warn("workload not recorded", "err", err)
			}
		}
		return nil
	})
}

// newUplink makes the way of the samples to the MQTT broker.
func newUplink(cfg config.Config, self node, id *identity.Identity, recorder *record.Recorder, box *outbox.Box, log *slog.Logger, metrics prometheus.Registerer) (*uplink.Uplink, error) {
	c := uplink.Config{
		Box: box, AckByBroker: cfg.MQTT.Ack == "broker", Conditions: self.conditions,
		Broker: cfg.MQTT.Broker, Username: cfg.MQTT.Username, PasswordFile: cfg.MQTT.PasswordFile,
		Topics: telemetry.Topics{Prefix: cfg.MQTT.Prefix, Cluster: id.ID().Cluster, Node: id.ID().Name},
	}
	var err error
	if c.TLS, err = brokerTLS(cfg.MQTT, id); err != nil {
		return nil, err
	}
	forHomeAssistant(&c, cfg.MQTT.HomeAssistant, cfg.Telemetry, self, recorder.Newest().Get, log)
	return uplink.New(c, recorder, log, metrics)
}

// brokerTLS are the settings of a connection to the broker; nil for one in the clear.
func brokerTLS(cfg config.MQTT, id *identity.Identity) (*tls.Config, error) {
	if !strings.HasPrefix(cfg.Broker, "ssl://") {
		return nil, nil
	}
	return mqttpipe.Files{CA: cfg.CAFile, Cert: cfg.CertFile, Key: cfg.KeyFile}.TLS(id.ClientTLS())
}
