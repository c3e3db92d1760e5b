package agent

import (
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/agent/config"
	"primespark/agent/homeassistant"
	"primespark/agent/sparkplug"
	"primespark/agent/uplink"
	"primespark/shared/identity"
	"primespark/shared/mqttpipe"
	"primespark/shared/telemetry"
	"primespark/shared/version"
)

// forHomeAssistant adds to an uplink what Home Assistant reads.
func forHomeAssistant(c *uplink.Config, mode string, cfg config.Telemetry, n node, newest func() telemetry.Newest, log *slog.Logger) {
	c.Self = func() any { return homeassistant.SelfOf(n.vital.Get(), n.conditions.All(), n.registry.Index()) }
	switch mode {
	case "off":
		return
	case "remove":
		c.Standing = append(c.Standing, uplink.Standing{Topic: c.Topics.Discovery(), Payload: func() ([]byte, error) { return []byte{}, nil }})
		return
	}
	known, err := openEntities(n.cfg.StateDir)
	if err != nil {
		log.Warn("what Home Assistant was told of is not known", "err", err, "remedy", "nothing is to be done; entities that are gone may have to be deleted there by hand")
	}
	d := &discovery{known: known, log: log, node: n, topics: c.Topics, every: cfg.Every.D(), newest: newest, board: board("model"), serial: board("serial-number")}
	c.Standing = append(c.Standing, uplink.Standing{
		Topic: c.Topics.Discovery(), Payload: d.message, Come: telemetry.HomeAssistant, Word: homeassistant.Birth,
	})
}

// A discovery makes the message by which Home Assistant learns of the node. It
// belongs to the uplink's goroutine.
type discovery struct {
	node
	topics        telemetry.Topics
	every         time.Duration
	newest        func() telemetry.Newest
	board, serial string
	known         *entities
	log           *slog.Logger
}

// message returns the discovery of the node as it is; nil until all sensors have
// been read: what is missing from a message is taken away at the reader.
func (d *discovery) message() ([]byte, error) {
	if time.Since(d.started) < 2*d.every+5*time.Second {
		return nil, nil
	}
	n := homeassistant.Node{
		Topics: d.topics, Version: version.Number, Board: d.board, Serial: d.serial, Every: d.every, Streams: d.newest(),
	}
	for _, m := range d.vital.Get().Models {
		n.Models = append(n.Models, m.Name)
	}
	b, err := homeassistant.Config(n, d.known.all)
	if err != nil {
		return nil, err
	}
	if err := d.known.add(homeassistant.Entities(n)); err != nil { // known all the same, until the agent ends
		d.log.Warn("what Home Assistant was told of is not kept", "err", err, "remedy", "see that the disk under state_dir is writable")
	}
	return b, nil
}

// board reads what the firmware says of the board; empty where it says nothing.
func board(what string) string {
	b, err := os.ReadFile("/sys/firmware/devicetree/base/" + what)
	if err != nil {
		return "" // no Raspberry Pi, and nothing hangs on it
	}
	return strings.TrimRight(string(b), "\x00\n")
}

// newSparkplug makes the node's second face at the broker, for hosts that speak
// Sparkplug B.
func newSparkplug(cfg config.Config, n node, id *identity.Identity, newest func() telemetry.Newest, log *slog.Logger, metrics prometheus.Registerer) (*sparkplug.Edge, error) {
	at, err := mqttpipe.Parse(cfg.MQTT.Broker)
	if err != nil {
		return nil, err
	}
	secure, err := brokerTLS(cfg.MQTT, id)
	if err != nil {
		return nil, err
	}
	return sparkplug.New(sparkplug.Config{
		Pipe: mqttpipe.Config{
			Broker: at, Username: cfg.MQTT.Username, PasswordFile: cfg.MQTT.PasswordFile, TLS: secure, Dial: new(net.Dialer).DialContext,
		},
		Topics: telemetry.Topics{Prefix: cfg.MQTT.Prefix, Cluster: id.ID().Cluster, Node: id.ID().Name},
		Dir:    cfg.StateDir, Newest: newest, Facts: n.facts,
	}, log, metrics)
}

// facts are what a Sparkplug host is told of the node besides its samples.
func (n node) facts() []sparkplug.Fact {
	self := homeassistant.SelfOf(n.vital.Get(), n.conditions.All(), n.registry.Index())
	return []sparkplug.Fact{
		{Name: "Node/version", Value: version.Number},
		{Name: "Node/ready", Value: self.Ready},
		{Name: "Node/mode", Value: string(self.Mode)},
		{Name: "Node/problem", Value: self.Problem.Sentence},
		{Name: "Node/remedy", Value: self.Problem.Remedy},
	}
}
