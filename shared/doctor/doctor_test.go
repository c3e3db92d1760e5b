package doctor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"primespark/shared/doctor"
	"primespark/shared/fleet"
	"primespark/shared/goldentest"
	"primespark/shared/gossip"
	"primespark/shared/identity/identitytest"
	"primespark/shared/treetest"
)

func told(results []doctor.Result) string {
	var b strings.Builder
	for _, r := range results {
		fmt.Fprintf(&b, "%s %s/%s: %s\n", r.Severity, r.Section, r.Check, r.Detail)
		if r.Remedy != "" {
			fmt.Fprintf(&b, "  > %s\n", r.Remedy)
		}
	}
	return b.String()
}

// adc is what a Pi's power chip measures, some of it.
func adc(volts float64) string {
	return fmt.Sprintf("VDD_CORE_A current(7)=2.0A\nVDD_CORE_V volt(15)=1.0V\nEXT5V_V volt(24)=%.2fV\n", volts)
}

// TestHost goes through what a board may be like.
func TestHost(t *testing.T) {
	pi := treetest.Tree{}.With("proc/sys/kernel/osrelease", "6.12.47+rpt-rpi-2712\n",
		"sys/class/hwmon/hwmon2/name", "rpi_volt\n", "sys/class/hwmon/hwmon2/in0_lcrit_alarm", "0\n", "proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\x00",
		"sys/class/thermal/thermal_zone0/temp", "51400\n", "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled", "0x0\n")
	throttled := "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled"
	synced := func(ok bool, off float64, err error) func() (bool, float64, error) {
		return func() (bool, float64, error) { return ok, off, err }
	}
	nvme := pi.With("sys/class/nvme/nvme0/model", "SSD\n")
	health := func(bytes ...byte) func(string) ([]byte, error) {
		return func(device string) ([]byte, error) {
			if device != "/dev/nvme0" {
				t.Errorf("asks %s", device)
			}
			return bytes, nil
		}
	}
	card := pi.With("sys/fs/ext4/mmcblk0p2/errors_count", "0\n", "sys/fs/ext4/mmcblk0p2/lifetime_write_kbytes", "734003200\n",
		"sys/block/mmcblk0/device/date", "04/2025\n", "sys/fs/ext4/sda1/lifetime_write_kbytes", "1\n", "sys/fs/ext4/sda1/errors_count", "0\n")
	eMMC := func(life string) treetest.Tree { return pi.With("sys/block/mmcblk0/device/life_time", life+"\n") }
	link := func(name, size, state string) []string {
		at := "sys/class/net/" + name
		return []string{at + "/device", "", at + "/mtu", size + "\n", at + "/operstate", state + "\n"}
	}
	rows := map[string]struct {
		tree  treetest.Tree
		clock func() (bool, float64, error)
		smart func(string) ([]byte, error)
	}{
		"in order":               {tree: pi},
		"undervoltage now":       {tree: pi.With(throttled, "0x50005\n")},
		"undervoltage since":     {tree: pi.With(throttled, "0x50000\n")},
		"only the voltage alarm": {tree: pi.Without(throttled).With("sys/class/hwmon/hwmon2/in0_lcrit_alarm", "1\n")},
		"voltage alarm, fine":    {tree: pi.Without(throttled)},
		"the firmware's mailbox": {tree: pi.Without(throttled).With("dev/vcio/get_throttled", "throttled=0x5\n", "dev/vcio/pmic_read_adc", adc(4.95))},
		"weak input":             {tree: pi.With("dev/vcio/pmic_read_adc", adc(4.76))},
		"bad input":              {tree: pi.With("dev/vcio/pmic_read_adc", adc(4.6))},
		"input not told":         {tree: pi.With("dev/vcio/pmic_read_adc", "much")},
		"warm":                   {tree: pi.With("sys/class/thermal/thermal_zone0/temp", "81200\n")},
		"hot":                    {tree: pi.With("sys/class/thermal/thermal_zone0/temp", "86000\n")},
		"nonsense":               {tree: pi.With("sys/class/thermal/thermal_zone0/temp", "warm\n", throttled, "no\n").Without("sys/class/hwmon")},
		"no Pi":                  {tree: treetest.Tree{}},
		"nobody keeps the clock": {tree: pi, clock: synced(false, 16, nil)},
		"clock not told":         {tree: pi, clock: synced(false, 0, errors.New("operation not permitted"))},

		"packets":            {tree: pi.With(link("eth0", "1500", "up")...).With(link("wlan0", "1492", "up")...).With(link("usb0", "576", "down")...).With("sys/class/net/psm0/mtu", "1280\n")},
		"packets too small":  {tree: pi.With(link("eth0", "1200", "up")...)},
		"packets large":      {tree: pi.With(link("eth0", "9000", "up")...)},
		"disk fresh":         {tree: nvme, smart: health(0, 0, 0, 100, 5, 3, 0)},
		"disk worn":          {tree: nvme, smart: health(0, 0, 0, 60, 5, 85, 0)},
		"disk spent":         {tree: nvme, smart: health(0, 0, 0, 60, 5, 104, 0)},
		"disk without spare": {tree: nvme, smart: health(1, 0, 0, 4, 5, 40, 0)},
		"disk hot":           {tree: nvme, smart: health(2, 0, 0, 100, 5, 3, 0)},
		"disk not told":      {tree: nvme, smart: func(string) ([]byte, error) { return nil, fs.ErrPermission }},
		"disk says little":   {tree: nvme, smart: health(0)},
		"SD card":            {tree: card},
		"file system faulty": {tree: card.With("sys/fs/ext4/mmcblk0p2/errors_count", "3\n")},
		"eMMC":               {tree: eMMC("0x01 0x03")},
		"eMMC worn":          {tree: eMMC("0x01 0x09")},
		"eMMC spent":         {tree: eMMC("0x0b 0x0b")},
		"eMMC nonsense":      {tree: eMMC("much 0x0b")},
		"eMMC not told":      {tree: eMMC("0x00 0x00")},
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		row := rows[name]
		if row.clock == nil {
			row.clock = synced(true, .0042, nil)
		}
		r := doctor.Run(t.Context(), "pi-1", doctor.Host{Root: row.tree.Make(t), PageSize: 4096, Synced: row.clock, Smart: row.smart}.Checks())
		fmt.Fprintf(&b, "## %s: %s\n%s", name, r.Verdict, told(r.Results))
	}
	goldentest.Compare(t, "host.txt", b.String())
}

func TestState(t *testing.T) {
	for name, test := range map[string]struct {
		dir  string
		want []doctor.Severity
	}{
		"good":        {t.TempDir(), []doctor.Severity{doctor.OK, doctor.OK}},
		"not yet":     {"/nonexistent/prime-spark", []doctor.Severity{doctor.Info}},
		"not to fill": {"/proc/self", []doctor.Severity{doctor.Warning, doctor.Fault}}, // procfs: no room, and nothing can be made
	} {
		r := doctor.Run(t.Context(), "pi-1", doctor.State{Dir: test.dir}.Checks())
		var got []doctor.Severity
		for _, f := range r.Results {
			got = append(got, f.Severity)
		}
		if name == "good" && len(got) == 2 { // a disk of this machine may be full, or slow now
			continue
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %s", name, told(r.Results))
		}
	}
}

// doors are the ports of an agent.
func doors(http, gossip string) []doctor.Port {
	return append(doctor.Gossiping(gossip), doctor.Port{Key: "http.listen", Network: "tcp", Address: http})
}

func TestMembership(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	if err := identitytest.New(t, "home").Credentials(fleet.Agent, "pi-1", now).Save(dir); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		dir   string
		after time.Duration
		want  doctor.Severity
		text  string
	}{
		"good":          {dir, time.Hour, doctor.OK, "pi-1 in cluster home, certificate until"},
		"ends soon":     {dir, 26 * 24 * time.Hour, doctor.Warning, "was not renewed"},
		"ended":         {dir, 31 * 24 * time.Hour, doctor.Fault, "ended at"},
		"a clock of 70": {dir, -20 * 365 * 24 * time.Hour, doctor.Warning, "the clock is wrong"},
		"never joined":  {t.TempDir() + "/none", 0, doctor.Info, "belongs to no cluster yet"},
	} {
		m := doctor.Membership{Role: fleet.Agent, Dir: test.dir, Ports: doors("127.0.0.1:0", "127.0.0.1:0"), Now: func() time.Time { return now.Add(test.after) }}
		r := doctor.Run(t.Context(), "pi-1", m.Checks())
		if got := r.Results[0]; got.Severity != test.want || !strings.Contains(got.Detail, test.text) {
			t.Errorf("%s: %s", name, told(r.Results))
		}
		if got := r.Results[1]; got.Severity != doctor.OK {
			t.Errorf("%s: %s", name, told(r.Results))
		}
	}
}

func TestPorts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	m := doctor.Membership{Role: fleet.Agent, Dir: "/nonexistent", Ports: doors(l.Addr().String(), "127.0.0.1:0")}
	r := doctor.Run(t.Context(), "pi-1", m.Checks())
	if last := r.Results[len(r.Results)-1]; last.Severity != doctor.Fault || !strings.Contains(last.Detail, "another program has it") || !strings.Contains(last.Remedy, "http.listen") {
		t.Errorf("a taken port: %s", told(r.Results))
	}
	m.Running = func(context.Context) bool { return true }
	if r := doctor.Run(t.Context(), "pi-1", m.Checks()); r.Verdict == doctor.Fault {
		t.Errorf("the agent's own ports: %s", told(r.Results))
	}
}

// TestDefaultPort: gossip's default port in other hands is no fault, as long as one
// of those is free that the agent takes in its place.
func TestDefaultPort(t *testing.T) {
	here := fmt.Sprintf("127.7.%d.%d", os.Getpid()>>8&255, os.Getpid()&255)
	m := doctor.Membership{Role: fleet.Agent, Dir: "/nonexistent", Ports: doors("127.0.0.1:0", here+":7482")}
	for i := range gossip.Spare + 1 {
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", here, gossip.DefaultPort+i))
		if err != nil {
			t.Skip("somebody has the port on every address of this machine: ", err)
		}
		defer l.Close()
		r := doctor.Run(t.Context(), "pi-1", m.Checks())
		if fault := r.Verdict == doctor.Fault; fault != (i == gossip.Spare) {
			t.Errorf("%d ports taken: %s", i+1, told(r.Results))
		}
	}
}

// TestFleet tells who is behind.
func TestFleet(t *testing.T) {
	for name, test := range map[string]struct {
		fleet doctor.Fleet
		want  string
	}{
		"not known": {doctor.Fleet{}, ""},
		"all alike": {doctor.Fleet{Self: "pi-1", Nodes: 3, Newest: "1.2.0"}, "ok cluster/versions: None of the 3 nodes is behind"},
		"another":   {doctor.Fleet{Self: "pi-1", Nodes: 3, Newest: "1.2.0", Behind: []string{"pi-2"}}, "info cluster/versions: pi-2: older than 1.2.0.\n  > prime-spark upgrade"},
		"this one":  {doctor.Fleet{Self: "pi-1", Nodes: 4, Newest: "1.2.0", Behind: []string{"pi-1", "pi-3"}}, "warning cluster/versions: This node runs an older version than others, which have 1.2.0; so do 1 of 4.\n  > "},
		"many":      {doctor.Fleet{Self: "pi-0", Nodes: 9, Newest: "1.2.0", Behind: []string{"a", "b", "c", "d", "e", "f", "g"}}, "a, b, c, d, e and 2 more run an older version"},
	} {
		got := told(doctor.Run(t.Context(), "pi-1", test.fleet.Checks()).Results)
		if !strings.Contains(got, test.want) || test.want == "" && got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestHangingCheck gives up one that hangs, and goes on.
func TestHangingCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		r := doctor.Run(t.Context(), "pi-1", []doctor.Check{
			{Section: "disk", Name: "write latency", Look: func(context.Context) []doctor.Result { <-end; return nil }},
			{Section: "host", Name: "machine", Look: func(context.Context) []doctor.Result { return []doctor.Result{{Severity: doctor.OK, Detail: "a Pi"}} }},
		})
		close(end)
		if r.Verdict != doctor.Fault || len(r.Results) != 2 || r.Results[0].Check != "write latency" || r.Results[1].Detail != "a Pi" {
			t.Errorf("%+v", r)
		}
	})
}

func TestRedact(t *testing.T) {
	for secret, text := range map[string]string{
		"hunter2":          "mqtt://ha:hunter2@broker:1883 refuses",
		"s3cret":           `{"password": "s3cret"}`,
		"abc.def":          "Authorization: abc.def",
		"MC4CAQAwBQYDK2Vw": "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\n-----END PRIVATE KEY-----",
		"psj1ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopq": "code psj1ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopq is used up",
	} {
		if got := doctor.Redact(text); strings.Contains(got, secret) || !strings.Contains(got, "[redacted]") {
			t.Errorf("Redact(%q) = %q", text, got)
		}
	}
	const plain = "The driver is 4.20.0 and HailoRT is 4.23.0; sudo apt full-upgrade && sudo reboot; /usr/lib/libhailort.so.4.23.0"
	if got := doctor.Redact(plain); got != plain {
		t.Errorf("Redact took from %q", got)
	}
}

// TestTell: facts have their secrets taken out, wherever they are.
func TestTell(t *testing.T) {
	r := doctor.Run(t.Context(), "pi-1", nil)
	r.Tell("mqtt", map[string]any{
		"broker": "mqtt://ha:hunter2@broker:1883", "password": "a", "Token": "b", "tokens": 3,
		"log": []any{"password=s3cret", map[string]any{"private_key": "c", "detail": "fine"}},
	})
	r.Tell("odd", func() {})
	got, err := json.Marshal(r.Facts)
	want := `{"mqtt":{"Token":"[redacted]","broker":"mqtt://[redacted]@broker:1883","log":["password=[redacted]",{"detail":"fine","private_key":"[redacted]"}],"password":"[redacted]","tokens":3},"odd":"cannot be shown: json: unsupported type: func()"}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
}
