// Package archtest holds the rules of who may import whom, and the check that
// the tree keeps them. A rule is changed here, on purpose, or not at all.
package archtest

// Rules are what Check holds a module to. A folder that is named stands for
// all below it, unless a longer name has a row of its own.
type Rules struct {
	// Module is the path that imports of the module's own packages begin with.
	Module string
	// Sides lists, for each top-level folder, the others that it may import.
	Sides map[string][]string
	// Free names packages that may import from every side: those that exist to
	// put whole fleets together for tests.
	Free []string
	// Seams lists, for a package, the packages of its own side that it may
	// import besides those below itself. A part without a row imports no sibling;
	// a package of shared without one imports whatever it wants of shared.
	Seams map[string][]string
	// Libraries lists, for each outside module, the packages that may import it;
	// nil means every one. An outside module without a row is a fault.
	Libraries map[string][]string
	// TestLibraries may be imported by tests only.
	TestLibraries []string
	// BadNames are no names for packages, since they say nothing.
	BadNames []string
}

// PrimeSpark are the rules of this module (DESIGN §2).
var PrimeSpark = Rules{
	Module: "primespark",
	Sides: map[string][]string{
		"shared":      {},
		"hailo":       {"shared"},
		"agent":       {"shared", "hailo"},
		"coordinator": {"shared"},
		"scripts":     {"shared", "hailo", "agent", "coordinator"}, // what developers run
	},
	Free: []string{"coordinator/systest"},
	Seams: map[string][]string{
		// The root of a side wires its parts together.
		"agent":       {"agent"},
		"coordinator": {"coordinator"},
		"hailo":       {"hailo"},
		"agent/cmd":   {"agent", "agent/config", "agent/battery/detect", "agent/power"}, // whose reports commands print
		// The daemon's commands that work on its files, with the daemon not running.
		"coordinator/cmd/prime-spark-coordinator": {"coordinator", "coordinator/config"},
		// The operator's command line talks HTTP like everybody else.
		"coordinator/cmd/prime-spark": {},

		// Backends, and what surrounds them, speak the contract of agent/infer.
		"agent/infer/builtin":     {"agent/infer"},
		"agent/infer/native":      {"agent/infer"},
		"agent/infer/hailo":       {"agent/infer", "agent/infer/native"},
		"agent/infer/onnxruntime": {"agent/infer", "agent/infer/native", "agent/onnxruntime"},
		"agent/infer/image":       {"agent/infer", "agent/infer/image/baseline"},
		"agent/infer/infertest":   {"agent/infer"},
		"agent/models":            {"agent/infer", "agent/infer/image"},
		"agent/api":               {"agent/infer"},
		"agent/duties":            {"agent/infer"},

		// Gauges and the buses that they hang on, below the samples that they give.
		"agent/battery/i2cdev":      {"agent/battery/registers"}, // a file in place of a bus
		"agent/battery/batterytest": {"agent/battery/i2cdev", "agent/battery/registers"},
		"agent/battery/gauge":       {"agent/battery"},
		"agent/battery/detect":      {"agent/battery/gauge", "agent/battery/gpioline", "agent/battery/i2cdev"},

		// The two ways of samples away from the node empty the same box.
		"agent/upload": {"agent/outbox"},
		"agent/uplink": {"agent/outbox"},

		// What is agreed on: fsm is plain state; the others work on it.
		"coordinator/consensus": {"coordinator/fsm"},
		"coordinator/lead":      {"coordinator/fsm"},
		"coordinator/atlas":     {"coordinator/fsm"},
		"coordinator/backup":    {"coordinator/fsm", "coordinator/pki"},
		"coordinator/tasks":     {"coordinator/fsm"},
		// Sinks take rows of the history.
		"coordinator/alerts":            {"coordinator/fsm"},
		"coordinator/broker/brokertest": {"coordinator/broker"}, // which it runs for tests
		"coordinator/sinks":             {"coordinator/history"},
		"coordinator/sinks/postgres":    {"coordinator/history", "coordinator/sinks"},
		"coordinator/sinks/kafka":       {"coordinator/history", "coordinator/sinks"},
		"coordinator/enroll":            {"coordinator/fsm", "coordinator/pki"},
		"coordinator/events":            {"coordinator/fsm"},
		"coordinator/dispatch":          {"coordinator/route"},
		"coordinator/ingest":            {"coordinator/fsm", "coordinator/history"},
		"coordinator/api":               {"coordinator/fsm", "coordinator/history", "coordinator/route", "coordinator/events", "coordinator/status"},
	},
	Libraries: map[string][]string{
		"filippo.io/age":                      {"coordinator/backup"},
		"github.com/hashicorp/raft":           {"coordinator/fsm", "coordinator/consensus"},
		"github.com/hashicorp/go-hclog":       {"coordinator/consensus"},
		"go.etcd.io/bbolt":                    {"shared/boltfile", "coordinator/consensus", "coordinator/history", "agent/outbox", "agent/cache"},
		"github.com/hashicorp/memberlist":     {"shared/gossip", "shared/gossiptest"},
		"github.com/eclipse/paho.mqtt.golang": {"shared/mqttpipe", "agent/uplink", "agent/sparkplug", "coordinator/ingest"},
		"github.com/mochi-mqtt/server":        {"coordinator/broker"},
		"github.com/jackc/pgx":                {"coordinator/sinks/postgres"},
		"github.com/twmb/franz-go":            {"coordinator/sinks/kafka"},
		"github.com/shirou/gopsutil":          {"agent/sensors"},
		"github.com/spf13/cobra":              {"shared/cli", "agent/cmd", "coordinator/cmd", "shared/meshnet/cmd"},
		"github.com/spf13/pflag":              {"shared/cli"},
		"golang.org/x/term":                   {"shared/cli"},
		"rsc.io/qr":                           {"coordinator/cmd/prime-spark/internal/qrcode"},
		"github.com/zeebo/xxh3":               {"hailo/hef"},
		"golang.org/x/image":                  {"agent/infer/image"},
		"periph.io/x/conn":                    {"agent/battery/i2cdev"},
		"go.yaml.in/yaml":                     {"shared/conf", "shared/model"},
		"github.com/prometheus/client_golang": nil,
		"google.golang.org/protobuf":          {"hailo", "agent/sparkplug", "shared/oip/rpc"}, // its wire format only: what HailoRT monitors, Sparkplug B, and gRPC
		"github.com/godbus/dbus":              {"agent/power/logind"},
		"github.com/prometheus/procfs":        {"shared/hostmetrics"},
		"github.com/vishvananda/netlink":      {"shared/meshnet/device"},
		"github.com/google/nftables":          {"shared/meshnet/device"},
		"golang.zx2c4.com/wireguard":          {"shared/meshnet/device"},
		"golang.zx2c4.com/wireguard/wgctrl":   {"shared/meshnet/device"},
		"golang.org/x/sync":                   nil,
		"golang.org/x/sys":                    nil,
	},
	TestLibraries: []string{
		"github.com/anishathalye/porcupine",
		"github.com/bufbuild/protocompile",
		"github.com/chromedp/chromedp", // and its protocol: a real browser looks at the page
		"github.com/chromedp/cdproto",
		"github.com/google/go-cmp",
		"github.com/rogpeppe/go-internal",
		"github.com/santhosh-tekuri/jsonschema",
		"github.com/twmb/franz-go/pkg/kfake",
		"github.com/prometheus/client_model",
		"golang.org/x/net",
		"pgregory.net/rapid",
		"google.golang.org/grpc",
		"periph.io/x/host", // whose bus loses answers, beside ours that does not
	},
	BadNames: []string{"util", "utils", "common", "types", "helpers", "misc"},
}
