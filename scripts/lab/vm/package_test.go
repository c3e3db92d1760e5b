package vm_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"primespark/agent/battery/batterytest"
	"primespark/agent/power"
	"primespark/scripts/lab/guest"
	"primespark/scripts/lab/vm"
)

// machinesEnv says that whole machines may be made, which takes root and minutes.
const machinesEnv = "PRIME_SPARK_MACHINES"

const waveshare = `
name: reality
http: {loopback: "127.0.0.1:7491"}
hailo: {enabled: "off"}
i2c: {bus: ` + bus + `}
battery: {source: waveshare-e}
power:
  thresholds: {minutes_low: 2m, minutes_critical: 1m}
  timing: {ac_lost: 1s, ac_back: 1s, dwell: 5s, countdown: 5s, boot_grace: 20s, shutdown: 5s}
`

// TestPackage installs the package on a whole Debian with a board that cuts the power
// half a minute after it is told to. The agent, as its own user, has logind switch the host
// off; and the board is told by the hook, when no file system is written to any more.
func TestPackage(t *testing.T) {
	if os.Getenv(machinesEnv) == "" {
		t.Skip("whole machines are booted by make vm-package")
	}
	chip := batterytest.WaveshareE()
	show := func(p batterytest.Pack) { p.Volts *= 4; chip.Show(p) } // of four cells
	show(batterytest.Pack{Mains: true, Volts: 4.1, Charge: 0.9, Amps: 0.1})
	b := &board{Bus: chip.On()}
	s := &stage{t: t, begun: time.Now(), board: b}
	s.debian()

	s.shows("systemd has started everything", "systemctl is-system-running --wait | grep -E 'running|degraded'")
	t.Log(s.sh("dpkg -i /lab/agent.deb"))
	s.sh("cat >/etc/prime-spark/agent.yaml <<'CONFIG'\n" + waveshare + "CONFIG\nprime-spark-agent check")
	cable := s.plugBoard()
	s.shows("the agent's group may use the bus", "stat -c %G "+bus+" | grep i2c")
	s.sh("systemctl restart prime-spark-agent")
	s.says("on mains", func(p power.Status) bool { return p.Mode == power.Mains && p.Gauge == power.Healthy })

	told := watchWrites(s)
	s.discharge(func(p batterytest.Pack) { b.Do(func() { show(p) }) })
	must(t, cable.Unplug())
	if w := b.Writes(); len(w) != 1 || w[0].Addr != 0x2d || !bytes.Equal(w[0].Bytes, []byte{0x01, 0x55}) {
		t.Errorf("written to the board: %x, want the command to cut the power and nothing else", w)
	}
	at := told()
	t.Logf("the console when the board was told, its end:\n%s", at[max(0, len(at)-1500):])
	if !strings.Contains(at, "All filesystems unmounted") {
		t.Error("the board was told before systemd had done with the file systems")
	}
	evidence(s, "/var/lib/prime-spark/agent/power.json")
}

// debian boots a whole Debian with the package at hand.
func (s *stage) debian() {
	s.t.Helper()
	const arch = "amd64"
	missing := vm.Missing(arch)
	for _, program := range []string{"mmdebstrap", "gcc"} {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, program+" (apt-get install "+program+")")
		}
	}
	if os.Geteuid() != 0 {
		missing = append(missing, "root")
	}
	if len(missing) > 0 {
		s.t.Skipf("not here: %s", strings.Join(missing, "; "))
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	s.t.Cleanup(cancel)
	s.ctx = ctx
	debian, err := vm.Fetch(ctx, suites[arch], arch)
	must(s.t, err)
	image, err := guest.Image(ctx, suites[arch], "", "polkitd")
	must(s.t, err)
	dir := s.t.TempDir()
	cmd := exec.CommandContext(ctx, "../../../packaging/build.sh", arch)
	cmd.Env = append(os.Environ(), "VERSION=0.0.1", "OUT="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("build the packages: %v: %s", err, out)
	}
	found, err := filepath.Glob(filepath.Join(dir, "prime-spark-agent_*_"+arch+".deb"))
	if err != nil || len(found) != 1 {
		s.t.Fatalf("packages: %v, %v", found, err)
	}
	s.begun = time.Now()
	s.boot(vm.Config{Debian: debian, Dir: dir, Files: map[string]string{"agent.deb": found[0]}, Image: image})
}

// watchWrites keeps what the console showed when the first write to the board came.
func watchWrites(s *stage) (console func() string) {
	var mu sync.Mutex
	var at string
	s.board.wrote = func() {
		mu.Lock()
		defer mu.Unlock()
		if at == "" {
			at = s.vm.Console()
		}
	}
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return at
	}
}
