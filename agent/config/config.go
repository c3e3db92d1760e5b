// Package config is the agent's configuration file, agent.yaml: its keys, their
// defaults and what is wrong with a value. The commented reference file, which
// holds every key at its default, is embedded as Reference.
package config

import (
	_ "embed"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"primespark/shared/conf"
	"primespark/shared/fleet"
	"primespark/shared/model"
	"primespark/shared/overlay"
)

// Path is where the file lies unless it is named.
const Path = "/etc/prime-spark/agent.yaml"

// Reference is the commented file of all keys at their defaults.
//
//go:embed agent.yaml
var Reference []byte

// A Config is everything that can be set. Default gives each field a value that
// works on a node with nothing attached.
type Config struct {
	Name     string `yaml:"name"`      // in the fleet; the host's name if empty
	StateDir string `yaml:"state_dir"` // identity, models, caches
	Site     string `yaml:"site"`      // what shares its mains with this node; empty: nothing

	HTTP      HTTP      `yaml:"http"`
	Gossip    Gossip    `yaml:"gossip"`
	Mesh      Mesh      `yaml:"mesh"`
	Models    Models    `yaml:"models"`
	Infer     Infer     `yaml:"infer"`
	Cache     Cache     `yaml:"cache"`
	Hailo     Hailo     `yaml:"hailo"`
	ONNX      ONNX      `yaml:"onnxruntime"`
	I2C       I2C       `yaml:"i2c"`
	Battery   Battery   `yaml:"battery"`
	Power     Power     `yaml:"power"`
	Telemetry Telemetry `yaml:"telemetry"`
	Outbox    Outbox    `yaml:"outbox"`
	MQTT      MQTT      `yaml:"mqtt"`
	Log       Log       `yaml:"log"`

	SafeMode bool        `yaml:"-"` // see Safe
	Moved    []conf.Move `yaml:"-"` // keys that the file gives by names of earlier releases
}

// Safe returns the configuration of an agent that has crashed again and again, so
// that somebody can look: without what comes from outside and may be why, which
// are all models but the embedded one, tasks and the uplink. The battery is still
// watched, and the node still belongs to its cluster.
func (c Config) Safe() Config {
	c.SafeMode = true
	c.Models.Dir = ""
	c.Infer.Fault = ""
	c.Cache = Cache{}
	c.MQTT.Broker = ""
	return c
}

// HTTP configures the inference and node API.
type HTTP struct {
	Listen    string    `yaml:"listen"`    // HTTPS for this cluster's nodes; served once the node has joined
	Advertise string    `yaml:"advertise"` // host:port by which the others reach Listen; found out if empty
	Socket    string    `yaml:"socket"`    // path of the Unix socket; empty: none
	Loopback  string    `yaml:"loopback"`  // plain HTTP on a loopback address; empty: none
	MaxBody   conf.Size `yaml:"max_body"`  // largest request body
}

// Gossip configures the view of the fleet.
type Gossip struct {
	Listen    string   `yaml:"listen"`
	Advertise string   `yaml:"advertise"`
	Seeds     []string `yaml:"seeds"` // host:port to find the fleet by, besides those that joining told
}

// Mesh configures this node's end of the mesh.
type Mesh = overlay.Settings

// Models configures which models there are and what they may take.
type Models struct {
	Dir    string    `yaml:"dir"`    // of model packages; <state_dir>/models if empty
	Memory conf.Size `yaml:"memory"` // for all resident models together
}

// Infer configures the engines.
type Infer struct {
	Threads  int           `yaml:"threads"`  // of the built-in engine; 0: one per core
	Queue    int           `yaml:"queue"`    // requests that may wait for a device
	Deadline conf.Duration `yaml:"deadline"` // of a request that names none
	Engines  []string      `yaml:"engines"`  // order in which variants are tried; empty: each manifest's
	Fault    string        `yaml:"fault"`    // for tests: crash, hang, garbage, slow or paced; of one engine: hailo:crash
}

// Cache configures the results that are kept for when the same is asked again.
type Cache struct {
	Memory conf.Size     `yaml:"memory"`  // for them in memory; 0: none are kept
	Disk   conf.Size     `yaml:"disk"`    // for those that were asked for twice; 0: none reach the disk
	Daily  conf.Size     `yaml:"daily"`   // written to the disk in a day
	MaxAge conf.Duration `yaml:"max_age"` // of a result
}

// Faulty is the engine that a simulated fault is of, empty for all, and the fault.
func (c Infer) Faulty() (engine, fault string) {
	if engine, fault, ok := strings.Cut(c.Fault, ":"); ok {
		return engine, fault
	}
	return "", c.Fault
}

// engines are all that there are.
var engines = []string{"builtin", "hailo", "onnxruntime"}

// ONNX configures ONNX Runtime.
type ONNX struct {
	Enabled string    `yaml:"enabled"` // auto, on or off
	Library string    `yaml:"library"` // path of libonnxruntime; found if empty
	Worker  string    `yaml:"worker"`  // path of the worker program; found if empty
	Threads int       `yaml:"threads"` // of one inference; 0: as infer.threads
	Memory  conf.Size `yaml:"memory"`  // that the worker may have, all models together
}

// Hailo configures the accelerator.
type Hailo struct {
	Enabled string   `yaml:"enabled"` // auto, on or off
	Library string   `yaml:"library"` // path of libhailort; found if empty
	Worker  string   `yaml:"worker"`  // path of the worker program; found if empty
	Share   string   `yaml:"share"`   // exclusive or service
	Models  string   `yaml:"models"`  // folder of HEF files
	Load    []string `yaml:"load"`    // of them, those to load at the start; a well-known detector if empty
	Depth   int      `yaml:"depth"`   // inferences of a model at a time
	Warm    float64  `yaml:"warm"`    // °C
	Hot     float64  `yaml:"hot"`     // °C
}

// What Hailo's Enabled and Share may be.
const (
	Auto      = "auto" // used if it is there
	On        = "on"   // missed if it is not
	Off       = "off"
	Exclusive = "exclusive"
	Service   = "service" // shared with other programs through hailort.service
)

// Telemetry configures the samples of the host.
type Telemetry struct {
	Every conf.Duration `yaml:"every"`
}

// Outbox configures the samples that wait until they are stored elsewhere.
type Outbox struct {
	MaxSize conf.Size     `yaml:"max_size"` // on disk; the oldest makes room
	MaxAge  conf.Duration `yaml:"max_age"`
}

// MQTT configures the uplink.
type MQTT struct {
	Broker       string `yaml:"broker"`        // tcp://host:1883 or ssl://host:8883; empty: no uplink
	Prefix       string `yaml:"prefix"`        // first level of each topic
	Username     string `yaml:"username"`      //
	PasswordFile string `yaml:"password_file"` // holds the password alone
	CAFile       string `yaml:"ca_file"`       // PEM, for ssl://; the system's if empty, "cluster" for the cluster's own CA
	CertFile     string `yaml:"cert_file"`     // PEM, of a client certificate; with "cluster" the node's own is shown
	KeyFile      string `yaml:"key_file"`      // PEM, of its key
	Ack          string `yaml:"ack"`           // who acknowledges samples: coordinator or broker
	Profile      string `yaml:"profile"`       // primespark, or sparkplug: Sparkplug B besides

	HomeAssistant string `yaml:"home_assistant"` // on, off, or remove: discovery
}

// Log configures the log on standard error.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn or error
	Format string `yaml:"format"` // json or text
}

// Default returns the configuration of a node whose file is empty.
func Default() Config {
	return Config{
		StateDir:  "/var/lib/prime-spark/agent",
		HTTP:      HTTP{Listen: ":7490", Socket: "/run/prime-spark/agent.sock", MaxBody: 16 << 20},
		Gossip:    Gossip{Listen: ":7482"},
		Mesh:      overlay.DefaultSettings(),
		Models:    Models{Memory: 512 << 20},
		Infer:     Infer{Engines: []string{}, Queue: 16, Deadline: conf.Duration(30 * time.Second)},
		Cache:     Cache{Memory: 8 << 20, Disk: 64 << 20, Daily: 64 << 20, MaxAge: conf.Duration(24 * time.Hour)},
		ONNX:      ONNX{Enabled: Auto, Memory: 1 << 30},
		Hailo:     Hailo{Enabled: Auto, Share: Exclusive, Models: "/usr/share/hailo-models", Load: []string{}, Depth: 4, Warm: 85, Hot: 95},
		I2C:       I2C{Bus: "/dev/i2c-1"},
		Battery:   defaultBattery(),
		Power:     defaultPower(),
		Telemetry: Telemetry{Every: conf.Duration(10 * time.Second)},
		Outbox:    Outbox{MaxSize: 256 << 20, MaxAge: conf.Duration(7 * 24 * time.Hour)},
		MQTT:      MQTT{Prefix: "primespark", Ack: "coordinator", Profile: "primespark", HomeAssistant: "on"},
		Log:       Log{Level: "info", Format: "json"},
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
	if c.Name == "" {
		c.Name = conf.HostName()
		if !fleet.ValidName(c.Name) {
			f.Bad("name", "this host's name, %q, cannot name a node; give one of 1 to 32 of a-z, 0-9 and hyphen, as in pi-kitchen", c.Name)
		}
	}
	if c.Models.Dir == "" {
		c.Models.Dir = filepath.Join(c.StateDir, "models")
	}
	return c, f.Err()
}

func (c Config) check(f *conf.File) {
	if c.Name != "" && !fleet.ValidName(c.Name) {
		f.Bad("name", "%q cannot name a node; use 1 to 32 of a-z, 0-9 and hyphen, as in pi-kitchen", c.Name)
	}
	if c.StateDir == "" {
		f.Bad("state_dir", "is empty; give a directory, as in /var/lib/prime-spark/agent")
	}
	f.CheckListen("http.listen", c.HTTP.Listen)
	f.CheckHostPort("http.advertise", c.HTTP.Advertise)
	f.CheckLoopback("http.loopback", c.HTTP.Loopback)
	if m := c.HTTP.MaxBody; m < 64<<10 || m > 256<<20 {
		f.Bad("http.max_body", "%v is not between 64KiB and 256MiB; 16MiB holds any photo", m)
	}
	f.CheckListen("gossip.listen", c.Gossip.Listen)
	f.CheckIPPort("gossip.advertise", c.Gossip.Advertise)
	for i, s := range c.Gossip.Seeds {
		f.CheckHostPort(fmt.Sprintf("gossip.seeds[%d]", i), s)
	}
	c.Mesh.Check(f)
	if c.Models.Memory < 16<<20 {
		f.Bad("models.memory", "%v is less than the embedded model needs; give 64MiB or more", c.Models.Memory)
	}
	c.Infer.check(f)
	c.Cache.check(f)
	c.Hailo.check(f)
	c.ONNX.check(f)
	if !filepath.IsAbs(c.I2C.Bus) {
		f.Bad("i2c.bus", "%q is not a path from the root; give one as in /dev/i2c-1", c.I2C.Bus)
	}
	c.Battery.check(f)
	c.Power.check(f)
	if c.Site != "" && !fleet.ValidName(c.Site) {
		f.Bad("site", "%q cannot name a site; use 1 to 32 of a-z, 0-9 and hyphen, as in barn", c.Site)
	}
	f.CheckEvery("telemetry.every", c.Telemetry.Every, 100*time.Millisecond, time.Hour)
	if m := c.Outbox.MaxSize; m < 1<<20 || m > 64<<30 {
		f.Bad("outbox.max_size", "%v is not between 1MiB and 64GiB; 256MiB holds a week of four samples a second", m)
	}
	f.CheckEvery("outbox.max_age", c.Outbox.MaxAge, time.Minute, 31*24*time.Hour)
	c.MQTT.check(f)
	f.CheckOneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	f.CheckOneOf("log.format", c.Log.Format, "json", "text")
}

func (c Infer) check(f *conf.File) {
	if c.Threads < 0 || c.Threads > 64 {
		f.Bad("infer.threads", "%d is not a number of threads; give 1 to 64, or 0 for one per core", c.Threads)
	}
	if c.Queue < 1 || c.Queue > 1024 {
		f.Bad("infer.queue", "%d is not between 1 and 1024; 16 keeps waiting short", c.Queue)
	}
	f.CheckEvery("infer.deadline", c.Deadline, 100*time.Millisecond, 10*time.Minute)
	for i, name := range c.Engines {
		key := fmt.Sprintf("infer.engines[%d]", i)
		f.CheckOneOf(key, name, engines...)
		if slices.Contains(c.Engines[:i], name) {
			f.Bad(key, "%s stands there twice; name each engine once", name)
		}
	}
	if engine, fault := c.Faulty(); c.Fault != "" {
		f.CheckOneOf("infer.fault", fault, "crash", "hang", "garbage", "slow", "paced")
		if c.Fault != fault && !slices.Contains(engines, engine) {
			f.Bad("infer.fault", "%q is no engine; give one as in hailo:crash, or the fault alone for all", engine)
		}
	}
}

func (c Cache) check(f *conf.File) {
	for key, size := range map[string]conf.Size{"cache.memory": c.Memory, "cache.disk": c.Disk, "cache.daily": c.Daily} {
		if size < 0 || size > 16<<30 {
			f.Bad(key, "%v is no bound for a cache; give 0 to 16GiB, like 64MiB", size)
		}
	}
	f.CheckEvery("cache.max_age", c.MaxAge, time.Second, 366*24*time.Hour)
}

func (c Hailo) check(f *conf.File) {
	f.CheckOneOf("hailo.enabled", c.Enabled, Auto, On, Off)
	f.CheckOneOf("hailo.share", c.Share, Exclusive, Service)
	for key, path := range map[string]string{"hailo.library": c.Library, "hailo.worker": c.Worker, "hailo.models": c.Models} {
		if path != "" && !filepath.IsAbs(path) {
			f.Bad(key, "%q is not a path from the root; give one as in /usr/lib/libhailort.so.4.23.0", path)
		}
	}
	for i, name := range c.Load {
		if !model.ValidName(name) {
			f.Bad(fmt.Sprintf("hailo.load[%d]", i), "%q cannot name a model; give the start of a file's name, as in yolov8s", name)
		}
	}
	if c.Depth < 1 || c.Depth > 16 {
		f.Bad("hailo.depth", "%d is not between 1 and 16; 4 keeps the chip busy", c.Depth)
	}
	if !(c.Warm >= 40 && c.Warm <= 105) { // also what is no number
		f.Bad("hailo.warm", "%v °C is not between 40 and 105, where its makers end; 85 leaves room", c.Warm)
	}
	if !(c.Hot >= c.Warm && c.Hot <= 105) {
		f.Bad("hailo.hot", "%v °C is not between hailo.warm, %v °C, and 105, where its makers end; give 95", c.Hot, c.Warm)
	}
}

func (c ONNX) check(f *conf.File) {
	f.CheckOneOf("onnxruntime.enabled", c.Enabled, Auto, On, Off)
	for key, path := range map[string]string{"onnxruntime.library": c.Library, "onnxruntime.worker": c.Worker} {
		if path != "" && !filepath.IsAbs(path) {
			f.Bad(key, "%q is not a path from the root; give one as in /usr/lib/aarch64-linux-gnu/libonnxruntime.so.1.21", path)
		}
	}
	if c.Threads < 0 || c.Threads > 64 {
		f.Bad("onnxruntime.threads", "%d is not a number of threads; give 1 to 64, or 0 for as many as infer.threads", c.Threads)
	}
	if c.Memory < 64<<20 || c.Memory > 64<<30 {
		f.Bad("onnxruntime.memory", "%v is not between 64MiB and 64GiB; 1GiB does for most models", c.Memory)
	}
}

func (c MQTT) check(f *conf.File) {
	if c.Prefix == "" || strings.ContainsAny(c.Prefix, "+#\x00/$ ") || len(c.Prefix) > 64 {
		f.Bad("mqtt.prefix", "%q cannot be a level of a topic; use letters, digits and hyphen, as in primespark", c.Prefix)
	}
	f.CheckOneOf("mqtt.home_assistant", c.HomeAssistant, "on", "off", "remove")
	f.CheckOneOf("mqtt.ack", c.Ack, "coordinator", "broker")
	f.CheckOneOf("mqtt.profile", c.Profile, "primespark", "sparkplug")
	if c.Profile == "sparkplug" && c.Broker == "" {
		f.Bad("mqtt.profile", "is sparkplug, and mqtt.broker is empty; set that")
	}
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
	if c.CertFile != "" && (u.Scheme != "ssl" || c.CAFile == "cluster") {
		f.Bad("mqtt.cert_file", "is of use for ssl:// and another authority than the cluster's, to which the node shows its own certificate")
	}
	if c.CAFile != "" && u.Scheme != "ssl" {
		f.Bad("mqtt.ca_file", "is of use for ssl:// only; the broker's address begins with %s://", u.Scheme)
	}
}
