// Package config is the coordinator's configuration file, coordinator.yaml: its
// keys, their defaults and what is wrong with a value. The commented reference
// file, which holds every key at its default, is embedded as Reference.
package config

import (
	_ "embed"
	"fmt"
	"net/url"
	"strings"
	"time"

	"primespark/shared/conf"
	"primespark/shared/fleet"
	"primespark/shared/overlay"
)

// Path is where the file lies unless it is named.
const Path = "/etc/prime-spark/coordinator.yaml"

// Reference is the commented file of all keys at their defaults.
//
//go:embed coordinator.yaml
var Reference []byte

// A Config is everything that can be set. Default gives each field a value that
// works on a host with nothing else on it.
type Config struct {
	Name     string `yaml:"name"`      // in the fleet; the host's name if empty
	StateDir string `yaml:"state_dir"` // identity, raft log and snapshots
	Role     string `yaml:"role"`      // coordinator or witness
	Node     string `yaml:"node"`      // the agent on this host; found by its address if empty

	HTTP     HTTP     `yaml:"http"`
	Raft     Raft     `yaml:"raft"`
	Gossip   Gossip   `yaml:"gossip"`
	Mesh     Mesh     `yaml:"mesh"`
	Dispatch Dispatch `yaml:"dispatch"`
	Tasks    Tasks    `yaml:"tasks"`
	Objects  Objects  `yaml:"objects"`
	MQTT     MQTT     `yaml:"mqtt"`
	History  History  `yaml:"history"`
	Sinks    Sinks    `yaml:"sinks"`
	Alerts   Alerts   `yaml:"alerts"`
	Backup   Backup   `yaml:"backup"`
	Log      Log      `yaml:"log"`

	Moved []conf.Move `yaml:"-"` // keys that the file gives by names of earlier releases
}

// The roles. A witness votes and keeps the log, and does nothing else.
const (
	Coordinator = "coordinator"
	Witness     = "witness"
)

// probes is where a witness tells how it fares, unless http.loopback says
// something else.
const probes = "127.0.0.1:7479"

// HTTP configures the API, the page and the inference gateway.
type HTTP struct {
	Listen       string    `yaml:"listen"`
	Advertise    string    `yaml:"advertise"`     // host:port by which the others reach Listen; found out if empty
	TLS          string    `yaml:"tls"`           // on, or off for a loopback Listen
	Loopback     string    `yaml:"loopback"`      // plain HTTP on a loopback address besides; empty: none
	LoopbackRole string    `yaml:"loopback_role"` // role of who calls there without a token: none, viewer or operator
	MaxBody      conf.Size `yaml:"max_body"`      // largest request body of the gateway
}

// Raft configures the group's log.
type Raft struct {
	Listen    string `yaml:"listen"`
	Advertise string `yaml:"advertise"`
	Profile   string `yaml:"profile"` // lan or wan
}

// Gossip configures the view of the fleet.
type Gossip struct {
	Listen    string   `yaml:"listen"`
	Advertise string   `yaml:"advertise"`
	Seeds     []string `yaml:"seeds"` // host:port to find the fleet by, besides those that joining told
}

// Dispatch configures the inference gateway.
type Dispatch struct {
	Deadline conf.Duration `yaml:"deadline"` // of a request that names none
}

// MQTT configures the embedded broker, and the one of somebody else's to listen to.
type MQTT struct {
	Embedded     bool   `yaml:"embedded"`
	Listen       string `yaml:"listen"`
	Prefix       string `yaml:"prefix"`        // first level of each topic
	Broker       string `yaml:"broker"`        // tcp://host:1883 or ssl://host:8883; empty: none
	Username     string `yaml:"username"`      //
	PasswordFile string `yaml:"password_file"` // holds the password alone
	CAFile       string `yaml:"ca_file"`       // PEM, for ssl://; the system's if empty, "cluster" for the cluster's own CA
	CertFile     string `yaml:"cert_file"`     // PEM, of a client certificate
	KeyFile      string `yaml:"key_file"`      // PEM, of its key
}

// History configures what is kept of what the nodes measured.
type History struct {
	MaxSize conf.Size     `yaml:"max_size"` // on disk; the oldest makes room
	Raw     conf.Duration `yaml:"raw"`      // for which samples stay
	Minutes conf.Duration `yaml:"minutes"`  // for which minutes stay
}

// Log configures the log on standard error.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn or error
	Format string `yaml:"format"` // json or text
}

// Default returns the configuration of a coordinator whose file is empty.
func Default() Config {
	return Config{
		StateDir: "/var/lib/prime-spark/coordinator",
		Role:     Coordinator,
		HTTP:     HTTP{Listen: ":7480", TLS: "on", LoopbackRole: "none", MaxBody: 16 << 20},
		Raft:     Raft{Listen: ":7481", Profile: "lan"},
		Gossip:   Gossip{Listen: ":7482"},
		Mesh:     Mesh{Settings: overlay.DefaultSettings(), Hub: true},
		Dispatch: Dispatch{Deadline: conf.Duration(30 * time.Second)},
		Tasks:    Tasks{Max: 100_000, MaxBytes: 64 << 20},
		Objects:  Objects{Bytes: 1 << 30, Keep: conf.Duration(24 * time.Hour), Copies: 2},
		MQTT:     MQTT{Listen: ":7883", Prefix: "primespark"},
		History:  History{MaxSize: 1 << 30, Raw: conf.Duration(24 * time.Hour), Minutes: conf.Duration(30 * 24 * time.Hour)},
		Sinks:    Sinks{Kafka: Kafka{Brokers: []string{}, Topic: "primespark.telemetry", TLS: "on", Mechanism: "scram-sha-512"}},
		Alerts:   Alerts{Channels: []Channel{}, NodeDown: conf.Duration(time.Minute), Temperature: 80, Battery: 0.2},
		Backup:   Backup{Every: conf.Duration(time.Hour), Keep: 48},
		Log:      Log{Level: "info", Format: "json"},
	}
}

// Load reads the file at path; if must is false, a file that is not there is an
// empty one.
func Load(path string, must bool) (Config, error) { return conf.Load(path, must, Parse) }

// Parse returns the configuration in data over the defaults. Its error, a
// conf.Faults, lists all that is wrong.
func Parse(data []byte) (Config, error) {
	c := Default()
	f := conf.Decode(data, &c)
	c.check(f)
	c.Moved = f.Moves()
	if c.Role == Witness && c.HTTP.Loopback == "" {
		c.HTTP.Loopback = probes
	}
	if c.Name == "" {
		c.Name = conf.HostName()
		if !fleet.ValidName(c.Name) {
			f.Bad("name", "this host's name, %q, cannot name a node; give one of 1 to 32 of a-z, 0-9 and hyphen, as in c1", c.Name)
		}
	}
	return c, f.Err()
}

func (c Config) check(f *conf.File) {
	if c.Name != "" && !fleet.ValidName(c.Name) {
		f.Bad("name", "%q cannot name a node; use 1 to 32 of a-z, 0-9 and hyphen, as in c1", c.Name)
	}
	if c.StateDir == "" {
		f.Bad("state_dir", "is empty; give a directory, as in /var/lib/prime-spark/coordinator")
	}
	if c.Node != "" && !fleet.ValidName(c.Node) {
		f.Bad("node", "%q cannot name a node; give the name of the agent on this host, as in pi-1", c.Node)
	}
	f.CheckOneOf("role", c.Role, Coordinator, Witness)
	if c.Role == Witness && c.MQTT.Embedded {
		f.Bad("mqtt.embedded", "is true, and a witness runs no broker; set it on another coordinator, or have role: coordinator here")
	}
	c.HTTP.check(f)
	f.CheckListen("raft.listen", c.Raft.Listen)
	f.CheckHostPort("raft.advertise", c.Raft.Advertise)
	f.CheckOneOf("raft.profile", c.Raft.Profile, "lan", "wan")
	f.CheckListen("gossip.listen", c.Gossip.Listen)
	f.CheckIPPort("gossip.advertise", c.Gossip.Advertise)
	for i, s := range c.Gossip.Seeds {
		f.CheckHostPort(fmt.Sprintf("gossip.seeds[%d]", i), s)
	}
	c.Mesh.check(f)
	f.CheckEvery("dispatch.deadline", c.Dispatch.Deadline, 100*time.Millisecond, 10*time.Minute)
	c.Tasks.check(f)
	c.Objects.check(f)
	c.MQTT.check(f)
	if c.MQTT.Prefix == "" || strings.ContainsAny(c.MQTT.Prefix, "+#\x00/$ ") || len(c.MQTT.Prefix) > 64 {
		f.Bad("mqtt.prefix", "%q cannot be a level of a topic; use letters, digits and hyphen, as in primespark", c.MQTT.Prefix)
	}
	c.History.check(f)
	c.Sinks.check(f)
	c.Alerts.check(f, c.MQTT)
	c.Backup.check(f)
	f.CheckOneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	f.CheckOneOf("log.format", c.Log.Format, "json", "text")
}

func (c MQTT) check(f *conf.File) {
	f.CheckListen("mqtt.listen", c.Listen)
	if (c.CertFile == "") != (c.KeyFile == "") {
		f.Bad("mqtt.cert_file", "goes with mqtt.key_file; give both or none")
	}
	if c.Broker == "" {
		return
	}
	u, err := url.Parse(c.Broker)
	if err != nil || u.Host == "" || u.Scheme != "tcp" && u.Scheme != "ssl" {
		f.Bad("mqtt.broker", "%q is not a broker's address; give one as in tcp://192.168.1.10:1883 or ssl://broker.example:8883", c.Broker)
		return
	}
	if u.User != nil {
		f.Bad("mqtt.broker", "holds a password in the open; use mqtt.username and mqtt.password_file")
	}
	if (c.CAFile != "" || c.CertFile != "") && u.Scheme != "ssl" {
		f.Bad("mqtt.ca_file", "is of use for ssl:// only; the broker's address begins with %s://", u.Scheme)
	}
}

func (c History) check(f *conf.File) {
	if m := c.MaxSize; m < 16<<20 || m > 1<<40 {
		f.Bad("history.max_size", "%v is not between 16MiB and 1TiB; 1GiB holds a month of some ten nodes", m)
	}
	f.CheckEvery("history.raw", c.Raw, time.Hour, 31*24*time.Hour)
	f.CheckEvery("history.minutes", c.Minutes, time.Hour, 5*366*24*time.Hour)
	if c.Minutes < c.Raw {
		f.Bad("history.minutes", "%v is less than history.raw, %v; samples would outlive what sums them up", c.Minutes, c.Raw)
	}
}

func (c HTTP) check(f *conf.File) {
	f.CheckListen("http.listen", c.Listen)
	f.CheckHostPort("http.advertise", c.Advertise)
	f.CheckOneOf("http.tls", c.TLS, "on", "off")
	if c.TLS == "off" && !conf.IsLoopback(c.Listen) {
		f.Bad("http.tls", "off is for loopback addresses only, and http.listen is %q; use http.loopback for plain HTTP on this host", c.Listen)
	}
	f.CheckLoopback("http.loopback", c.Loopback)
	f.CheckOneOf("http.loopback_role", c.LoopbackRole, "none", "viewer", "operator")
	if m := c.MaxBody; m < 64<<10 || m > 256<<20 {
		f.Bad("http.max_body", "%v is not between 64KiB and 256MiB; 16MiB holds any photo", m)
	}
}
