package coordinator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/coordinator/alerts"
	"primespark/coordinator/config"
	"primespark/coordinator/consensus"
	"primespark/coordinator/fsm"
	"primespark/coordinator/history"
	"primespark/coordinator/lead"
	"primespark/coordinator/sinks"
	"primespark/coordinator/sinks/kafka"
	"primespark/coordinator/sinks/postgres"
	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/identity"
	"primespark/shared/logs"
	"primespark/shared/problem"
	"primespark/shared/run"
	"primespark/shared/telemetry"
)

// sinkParts are the parts that copy the history to the sinks that are configured:
// the leader feeds them, the others follow.
func sinkParts(cfg config.Config, records *history.Store, node *consensus.Node, conditions *health.Registry, log *slog.Logger, metrics prometheus.Registerer) ([]run.Part, error) {
	open := map[string]func(context.Context) (sinks.Sink, error){}
	if c := cfg.Sinks.Postgres; c.URL != "" {
		open["postgres"] = func(ctx context.Context) (sinks.Sink, error) {
			return postgres.Open(ctx, postgres.Config{URL: c.URL, Password: secretIn(c.PasswordFile), Keep: c.Keep.D(), Log: log})
		}
	}
	if c := cfg.Sinks.Kafka; len(c.Brokers) > 0 {
		open["kafka"] = func(ctx context.Context) (sinks.Sink, error) {
			secure, err := kafkaTLS(c)
			if err != nil {
				return nil, err
			}
			return kafka.Open(ctx, kafka.Config{
				Brokers: c.Brokers, Topic: c.Topic, TLS: secure, Mechanism: c.Mechanism, Username: c.Username, Password: secretIn(c.PasswordFile),
			})
		}
	}
	var parts []run.Part
	for name, open := range open {
		feed, err := sinks.New(sinks.Config{
			Name: name, Source: records, Open: open, Conditions: conditions, Log: log, Metrics: metrics,
			Say: func(ctx context.Context, logs map[string]uint64) error {
				_, err := node.Propose(ctx, lead.Actor, fsm.SinkRecord{Name: name, Node: cfg.Name, Logs: logs})
				return err
			},
		})
		if err != nil {
			return nil, err
		}
		follower := &sinks.Follower{
			Name: name, Source: records, Leading: node.Leading().Get, Log: log,
			Heard: func() (uint64, <-chan struct{}) {
				state, changed := node.State()
				return state.Sinks[name].Logs[records.ID()], changed
			},
		}
		parts = append(parts, lead.Part(node.Leading(), log, feed), run.Restart(follower, log))
	}
	return parts, nil
}

// secretIn returns what reads the secret that a file holds alone, each time anew;
// nil without a file.
func secretIn(path string) func() (logs.Secret, error) {
	if path == "" {
		return nil
	}
	return func() (logs.Secret, error) { return logs.ReadSecret(path) }
}

func kafkaTLS(c config.Kafka) (*tls.Config, error) {
	if c.TLS == "off" {
		return nil, nil
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile == "" {
		return secure, nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("sinks.kafka.ca_file: %w", err)
	}
	secure.RootCAs = x509.NewCertPool()
	if !secure.RootCAs.AppendCertsFromPEM(pem) {
		return nil, problem.New(problem.Invalid, "Correct sinks.kafka.ca_file.", "There is no PEM certificate in %s.", c.CAFile)
	}
	return secure, nil
}

// alertLoops are the leader's loops that find what is wrong, and tell people where a
// channel is configured.
func alertLoops(cfg config.Config, id *identity.Identity, node *consensus.Node, view func() fleet.View, out Outside, log *slog.Logger) ([]run.Part, error) {
	watch := &alerts.Watch{
		Group: node, View: view, Log: log,
		Limits: alerts.Limits{NodeDown: cfg.Alerts.NodeDown.D(), Celsius: cfg.Alerts.Temperature, Charge: cfg.Alerts.Battery},
	}
	loops := []run.Part{watch}
	client := alerts.Client()
	for _, c := range cfg.Alerts.Channels {
		watch.Channels = append(watch.Channels, c.Name)
		address := func() (logs.Secret, error) { return logs.Secret(c.URL), nil }
		if c.URLFile != "" {
			address = secretIn(c.URLFile)
		}
		var channel alerts.Channel = alerts.HTTP{URL: address, Token: secretIn(c.TokenFile), Ntfy: c.Type == "ntfy", Client: client}
		if c.Type == "mqtt" {
			pipe, self, err := pipeTo(cfg, id, out)
			if err != nil {
				return nil, err
			}
			pipe.ClientID = self.Errand(telemetry.AlertsErrand) // a broker knows only one client of a name
			channel = alerts.MQTT{Broker: pipe, Topic: self.Alerts()}
		}
		loops = append(loops, &alerts.Sender{Name: c.Name, Self: cfg.Name, Channel: channel, Group: node, Log: log})
	}
	return loops, nil
}
