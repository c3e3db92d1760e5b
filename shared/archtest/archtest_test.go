package archtest_test

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"primespark/shared/archtest"
)

func TestPrimeSpark(t *testing.T) {
	faults, err := archtest.Check(os.DirFS("../.."), archtest.PrimeSpark)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Error(f)
	}
}

func TestCheck(t *testing.T) {
	for name, test := range map[string]struct {
		file    string
		imports string
		want    string // part of the one fault, or "" for none
	}{
		"standard library":               {"shared/run/run.go", "net/http", ""},
		"shared uses shared":             {"shared/wire/wire.go", "primespark/shared/problem", ""},
		"shared uses an agent":           {"shared/wire/wire.go", "primespark/agent/infer", "shared/ may import none"},
		"shared's test uses an agent":    {"shared/wire/wire_test.go", "primespark/agent/infer", "shared/ may import none"},
		"agent uses hailo":               {"agent/agent.go", "primespark/hailo", ""},
		"hailo uses the agent":           {"hailo/hailo.go", "primespark/agent", "hailo/ may import shared"},
		"coordinator uses the agent":     {"coordinator/api/api.go", "primespark/agent/infer", "coordinator/ may import shared"},
		"coordinator's root, the same":   {"coordinator/coordinator.go", "primespark/agent", "coordinator/ may import shared"},
		"systest uses the agent":         {"coordinator/systest/fleet.go", "primespark/agent", ""},
		"a test uses its counterpart":    {"agent/uplink/uplink_test.go", "primespark/coordinator/broker", ""},
		"the root wires its parts":       {"agent/agent.go", "primespark/agent/uplink", ""},
		"the command uses the root":      {"agent/cmd/prime-spark-agent/main.go", "primespark/agent", ""},
		"the command reaches for a part": {"agent/cmd/prime-spark-agent/main.go", "primespark/agent/uplink", "of its own side"},
		"the operator's uses the daemon": {"coordinator/cmd/prime-spark/main.go", "primespark/coordinator", "of its own side"},
		"the operator's own packages":    {"coordinator/cmd/prime-spark/main.go", "primespark/coordinator/cmd/prime-spark/demo", ""},
		"its packages use each other":    {"coordinator/cmd/prime-spark/demo/demo.go", "primespark/coordinator/cmd/prime-spark/fleet", ""},
		"sideways":                       {"agent/uplink/uplink.go", "primespark/agent/record", "parts meet in Run"},
		"sideways below a part":          {"agent/uplink/deep/deep.go", "primespark/agent/record", "parts meet in Run"},
		"upwards":                        {"agent/uplink/uplink.go", "primespark/agent", "parts meet in Run"},
		"within a part":                  {"agent/battery/sim/sim.go", "primespark/agent/battery", ""},
		"a seam":                         {"agent/models/models.go", "primespark/agent/infer/image/detect", ""},
		"no seam":                        {"agent/models/models.go", "primespark/agent/api", "parts meet in Run"},
		"no seam to below":               {"agent/api/api.go", "primespark/agent/models", "parts meet in Run"},
		"library at home":                {"coordinator/fsm/fsm.go", "github.com/hashicorp/raft", ""},
		"library of another version":     {"coordinator/broker/broker.go", "github.com/mochi-mqtt/server/v2/listeners", ""},
		"library abroad":                 {"coordinator/api/api.go", "github.com/hashicorp/raft", "lives in coordinator/fsm, coordinator/consensus"},
		"library in a test":              {"coordinator/systest/fleet_test.go", "github.com/hashicorp/raft", ""},
		"a name that only begins alike":  {"coordinator/api/api.go", "github.com/hashicorp/raft-boltdb", "without a row"},
		"library unknown":                {"agent/api/api.go", "example.org/left-pad", "without a row"},
		"library for tests":              {"agent/api/api.go", "github.com/google/go-cmp/cmp", "is for tests"},
		"library for tests, in a test":   {"agent/api/api_test.go", "github.com/google/go-cmp/cmp", ""},
		"test package":                   {"agent/api/api.go", "primespark/agent/infer/infertest", "for tests only"},
		"test package in a test":         {"agent/api/api_test.go", "primespark/agent/infer/infertest", ""},
	} {
		t.Run(name, func(t *testing.T) {
			faults := check(t, test.file, "package x\nimport _ \""+test.imports+"\"\n")
			got := strings.Join(faults, "\n")
			if test.want == "" && got != "" || len(faults) > 1 || !strings.Contains(got, test.want) {
				t.Errorf("%q\nwant one fault with %q", got, test.want)
			}
		})
	}
}

func TestCheckNames(t *testing.T) {
	if got := check(t, "shared/util/util.go", "package util\n"); len(got) != 1 {
		t.Errorf("%q, want one fault for a package named util", got)
	}
}

func TestCheckSkipsWhatIsNotTheModule(t *testing.T) {
	const bad = "package x\nimport _ \"primespark/agent\"\n"
	for _, file := range []string{"shared/x/testdata/x.go", "shared/.hidden/x.go", "other/x.go"} {
		if got := check(t, file, bad); len(got) != 0 {
			t.Errorf("%s: %q, want nothing", file, got)
		}
	}
}

func TestCheckReportsWhatItCannotRead(t *testing.T) {
	_, err := archtest.Check(fstest.MapFS{"shared/x.go": {Data: []byte("no Go")}}, archtest.PrimeSpark)
	if err == nil {
		t.Error("a file that is no Go passed")
	}
}

// check runs Check over a tree of one file, beside another module in other/.
func check(t *testing.T, file, src string) []string {
	t.Helper()
	faults, err := archtest.Check(fstest.MapFS{
		file:           {Data: []byte(src)},
		"other/go.mod": {Data: []byte("module other\n")},
	}, archtest.PrimeSpark)
	if err != nil {
		t.Fatal(err)
	}
	return faults
}
