package coordinator

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/coordinator/config"
	"primespark/coordinator/history"
	"primespark/coordinator/ingest"
	"primespark/shared/identity"
	"primespark/shared/mqttpipe"
	"primespark/shared/run"
	"primespark/shared/telemetry"
)

// commitEvery is how often samples are made durable while few come: a commit on
// each of a dozen nodes' own second would wear a card out within a year or two.
const commitEvery = time.Second

// openHistory opens the store of what the nodes measured.
func openHistory(cfg config.Config, log *slog.Logger, metrics prometheus.Registerer) (*history.Store, error) {
	dir := filepath.Join(cfg.StateDir, "history")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the history: %w", err)
	}
	return history.Open(history.Config{
		Dir: dir, MaxSize: int64(cfg.History.MaxSize), Raw: cfg.History.Raw.D(), Minutes: cfg.History.Minutes.D(), Every: commitEvery, Log: log, Metrics: metrics,
	})
}

// A chronicle is the history as the API uses it: what comes in goes through the
// ingest, and questions go to the store.
type chronicle struct {
	*ingest.Ingest
	*history.Store
}

// listener listens to the configured broker: one coordinator does, which leads.
func listener(cfg config.Config, id *identity.Identity, intake *ingest.Ingest, out Outside) (run.Part, error) {
	c, self, err := pipeTo(cfg, id, out)
	if err != nil {
		return nil, err
	}
	return intake.Listen(c, self.Prefix, self.Cluster), nil
}

// pipeTo says how this coordinator connects to the broker that is configured.
func pipeTo(cfg config.Config, id *identity.Identity, out Outside) (c mqttpipe.Config, self telemetry.Topics, err error) {
	self = telemetry.Topics{Prefix: cfg.MQTT.Prefix, Cluster: id.ID().Cluster, Node: id.ID().Name}
	at, err := mqttpipe.Parse(cfg.MQTT.Broker)
	if err != nil {
		return c, self, err
	}
	c = mqttpipe.Config{Broker: at, ClientID: self.ClientID(), Username: cfg.MQTT.Username, PasswordFile: cfg.MQTT.PasswordFile, Dial: out.Dial}
	if at.Scheme == "ssl" {
		files := mqttpipe.Files{CA: cfg.MQTT.CAFile, Cert: cfg.MQTT.CertFile, Key: cfg.MQTT.KeyFile}
		c.TLS, err = files.TLS(id.ClientTLS())
	}
	return c, self, err
}
