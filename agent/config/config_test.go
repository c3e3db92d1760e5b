package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReferenceIsTheDefault holds the embedded file to Default: a key that is
// missing, renamed or of another value shows here.
func TestReferenceIsTheDefault(t *testing.T) {
	want, err := Parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(Reference)
	if err != nil {
		t.Fatal(err)
	}
	want.Gossip.Seeds, want.Battery.Script = []string{}, []Point{}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the reference file is not the default (-default +file):\n%s", d)
	}
	for _, key := range []string{"name:", "state_dir:", "advertise:", "max_body:", "deadline:", "password_file:"} {
		if !strings.Contains(string(Reference), key) {
			t.Errorf("the reference file has no %s", key)
		}
	}
}

func TestParseListsEveryFault(t *testing.T) {
	_, err := Parse([]byte(`name: Küche
http: {listen: here, loopback: "0.0.0.0:80"}
battery: {source: sim, every: 10ms}
mqtt: {broker: "tcp://me:secret@broker:1883"}
hailo: {depth: 17, warm: 20, hot: 10}
`))
	want := `line 1, column 7: name: "Küche" cannot name a node; use 1 to 32 of a-z, 0-9 and hyphen, as in pi-kitchen
line 2, column 16: http.listen: "here" is not an address to listen on; give an IP address and a port, as in 192.168.1.10:7480, or a port alone, as in :7480
line 2, column 32: http.loopback: "0.0.0.0:80" is not a loopback address; give one as in 127.0.0.1:7491, since what is served there is not encrypted
line 3, column 31: battery.every: 10ms is not between 1s and 10m0s
line 3, column 10: battery.script: is empty; give the simulation at least one point, as in {t: 0s, mains: true, soc: 0.9, load: 5}
line 4, column 16: mqtt.broker: holds a password in the open; use mqtt.username and mqtt.password_file
line 5, column 16: hailo.depth: 17 is not between 1 and 16; 4 keeps the chip busy
line 5, column 26: hailo.warm: 20 °C is not between 40 and 105, where its makers end; 85 leaves room
line 5, column 35: hailo.hot: 10 °C is not between hailo.warm, 20 °C, and 105, where its makers end; give 95`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

func TestLoad(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "agent.yaml")
	if _, err := Load(missing, false); err != nil {
		t.Errorf("a file that need not be there: %v", err)
	}
	if _, err := Load(missing, true); err == nil {
		t.Error("a file that must be there was not missed")
	}
	if err := os.WriteFile(missing, []byte("nmae: pi\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(missing, true)
	if err == nil || !strings.Contains(err.Error(), missing) || !strings.Contains(err.Error(), `did you mean "name"?`) {
		t.Errorf("got %v, want the file and the nearest key", err)
	}
}

func TestProfile(t *testing.T) {
	const broker = "broker: tcp://b:1883"
	for text, want := range map[string]string{
		"mqtt: {" + broker + ", profile: sparkplug}":  "",
		"mqtt: {" + broker + ", profile: primespark}": "",
		"mqtt: {profile: sparkplug}":                  "mqtt.profile: is sparkplug, and mqtt.broker is empty",
		"mqtt: {" + broker + ", profile: homie}":      "mqtt.profile",
	} {
		_, err := Parse([]byte("name: pi-1\n" + text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestBattery(t *testing.T) {
	for text, want := range map[string]string{
		"battery: {source: x120x, address: 0x36, cells: 1, capacity_mah: 12000}":  "",
		"battery: {source: waveshare-ina219, address: 0x43, shunt_ohm: 0.1}":      "",
		"battery: {source: nut, nut: {server: \"nas:3493\", ups: desk}}":          "",
		"battery: {line: {mains: low, offset: 17, chip: /tmp/mains, bias: none}}": "",
		"i2c: {bus: /tmp/registers}":                                              "",
		"battery: {source: car}":                                                  "battery.source",
		"battery: {address: 0x80}":                                                "battery.address: 0x80 is no address",
		"battery: {cells: 100}":                                                   "battery.cells",
		"battery: {capacity_mah: -1}":                                             "battery.capacity_mah",
		"battery: {cell_ohm: .nan}":                                               "battery.cell_ohm",
		"battery: {shunt_ohm: 0}":                                                 "battery.shunt_ohm",
		"battery: {supply: ../../etc}":                                            "battery.supply",
		"battery: {nut: {server: here}}":                                          "battery.nut.server",
		"battery: {line: {mains: on}}":                                            "battery.line.mains",
		"battery: {line: {bias: sideways}}":                                       "battery.line.bias",
		"battery: {line: {chip: \"\"}}":                                           "battery.line.chip",
		"battery: {line: {offset: -1}}":                                           "battery.line.offset",
		"i2c: {bus: i2c-1}":                                                       "i2c.bus",
	} {
		_, err := Parse([]byte("name: pi-1\n" + text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
