package vm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"primespark/agent/battery/batterytest"
	"primespark/agent/power"
)

// bus is the first of the guest. After an unplugging it is again, if nobody holds the
// old one.
const bus = "/dev/i2c-0"

// configs are those of the two agents, each for a board of its own; the times are shorter
// than anybody should have them.
const configs = `
for source in x120x upsgen6; do
cat >/tmp/$source.yaml <<CONFIG
name: reality
state_dir: /state/agent
http: {listen: "127.0.0.1:0", socket: /run/agent.sock, loopback: "127.0.0.1:7491"}
gossip: {listen: "127.0.0.1:0"}
hailo: {enabled: "off"}
i2c: {bus: ` + bus + `}
battery: {source: $source, line: {mains: high, chip: cp210x, offset: 0, bias: as-is}}
power:
  thresholds: {minutes_low: 2m, minutes_critical: 1m}
  timing: {ac_lost: 1s, ac_back: 1s, dwell: 5s, countdown: 5s, boot_grace: 20s, shutdown: 5s}
log: {format: text}
CONFIG
prime-spark-agent check --config /tmp/$source.yaml || exit 1
done`

// TestReality runs the real agent against a bus and a line that the kernel made: it
// reads, loses its chip, its bus and its line, gets them back, and in the end the battery
// runs out.
func TestReality(t *testing.T) {
	gauge, gen6, hat := batterytest.MAX17048(), batterytest.UPSGen6(), batterytest.WaveshareE()
	b := &board{Bus: gauge.On().Add(gen6.Addr, gen6.Chip).Add(hat.Addr, hat.Chip)}
	show := func(p batterytest.Pack) {
		b.Do(func() {
			gauge.Show(p)
			p.Volts *= 2 // of two cells
			gen6.Show(p)
			p.Volts *= 2 // of four
			hat.Show(p)
		})
	}
	full := batterytest.Pack{Mains: true, Volts: 4.1, Charge: 0.9, Amps: 0.1, Out: 1}
	show(full)
	s := begin(t, b)
	s.sh(configs)
	s.lines.Set(0, true)
	cable, line := s.plugBoard(), s.plugLines()

	s.until("detect finds the boards on the bus", func() error {
		got := s.sh("prime-spark-agent detect --json --config /tmp/x120x.yaml")
		for _, source := range []string{"x120x", "upsgen6", "waveshare-e"} {
			if !strings.Contains(got, `"source": "`+source+`"`) { // which takes its time where the machine is busy
				return fmt.Errorf("no %s: %s", source, got)
			}
		}
		return nil
	})
	t.Log(s.sh("PRIME_SPARK_TEST_I2C=" + bus + " inside.test -test.v -test.run TestParallelReads"))
	s.lap("400 parallel reads")

	hooks(s, b)
	cuts := len(b.Writes())

	s.start("x120x")
	well := func(p power.Status) bool {
		return p.Mode == power.Mains && p.Gauge == power.Healthy && p.Line == power.Healthy
	}
	lost := func(p power.Status) bool {
		return p.Mode == power.Mains && p.Gauge == power.Failed && p.Line == power.Healthy
	}
	s.says("on mains", well)
	steady(s, show, well)

	for _, f := range []struct {
		name string
		harm func()
		mend func()
		log  string
	}{
		{"the chip does not answer", func() { b.Fail(batterytest.ErrNAK) }, func() { b.Fail(nil) }, "no chip answers"},
		{"the adapter stalls", func() { b.Fail(batterytest.ErrDisturbed) }, func() { b.Fail(nil) }, "the bus is disturbed"},
		{"transfers hang", func() { b.Stall(true) }, func() { b.Stall(false) }, "the bus hangs"},
		{"the bus is unplugged", func() {
			must(t, cable.Unplug())
			s.shows("the kernel lets go of the bus", "! test -e "+bus)
		}, func() { cable = s.plugBoard() }, "the bus is not there"},
	} {
		since := len(s.vm.Console())
		f.harm()
		s.says(f.name+": the gauge has failed, and the node is on mains", lost)
		s.logs(since, "power source unreadable", f.log)
		f.mend()
		s.says("mended", well)
	}

	must(t, line.Unplug())
	s.says("the line is unplugged: its sense has failed, and the node is on mains", func(p power.Status) bool {
		return p.Mode == power.Mains && p.Line == power.Failed && p.Gauge == power.Healthy
	})
	line = s.plugLines()
	s.says("mended", well)
	s.lines.Set(0, false)
	s.says("the mains are lost", onBattery)
	s.lines.Set(0, true)
	s.says("the mains are back", well)
	s.stop()

	s.start("upsgen6")
	s.says("on mains", well)
	if w := b.Writes()[cuts:]; len(w) > 0 {
		t.Errorf("drivers wrote to chips: %x", w)
	}
	s.lines.Set(0, false)
	s.discharge(show)
	must(t, cable.Unplug())
	must(t, line.Unplug())
	// The 5 s that the host has to go down, and a minute.
	if w := b.Writes()[cuts:]; len(w) != 1 || w[0].Addr != 0x17 || !bytes.Equal(w[0].Bytes, []byte{0x23, 65}) {
		t.Errorf("written to the board: %x, want its countdown of 65 s and nothing after it", w)
	}
	evidence(s, "/agent/power.json")
}

// leaveWord is what an agent leaves for the hook of a shutdown by its battery: that the
// board is to cut the power.
const leaveWord = `
printf '{"boot":"%s","bus":"` + bus + `","address":45,"writes":["AVU="]}' "$(cat /proc/sys/kernel/random/boot_id)" >$state/power-cut.json
`

// hooks has the hook of systemd-shutdown(8) run as systemd runs it: the board is told before
// the power goes off and never before a reboot, though an agent left word that it shall.
func hooks(s *stage, b *board) {
	s.t.Helper()
	s.sh(`state=/state/cut; mkdir -p $state /etc/prime-spark /usr/bin
cat >/etc/prime-spark/agent.yaml <<CONFIG
name: reality
state_dir: $state
i2c: {bus: ` + bus + `}
battery: {source: waveshare-e}
CONFIG
ln -sf /bin/prime-spark-agent /usr/bin/prime-spark-agent` + leaveWord)
	for _, next := range []string{"reboot", "kexec", "halt", ""} {
		s.sh("prime-spark-agent.shutdown " + next)
		if w := b.Writes(); len(w) > 0 {
			s.t.Fatalf("before %q the board was told: %x", next, w)
		}
	}
	s.sh("prime-spark-agent.shutdown poweroff")
	if w := b.Writes(); len(w) != 1 || w[0].Addr != 0x2d || !bytes.Equal(w[0].Bytes, []byte{0x01, 0x55}) {
		s.t.Errorf("before a poweroff the board was told: %x", w)
	}
	s.lap("the hook has the board cut the power before a poweroff, and never before a reboot")
}

// steady wants 40 messages to go over the bus, and the agent to say what the chip shows each
// time it is looked at; then a change of the battery shows. A read that comes too late is
// none of its business: the machine may have other things to do.
func steady(s *stage, show func(batterytest.Pack), well func(power.Status) bool) {
	s.t.Helper()
	from := s.board.Transfers()
	s.until("40 messages went over the bus", func() error {
		p, err := s.power()
		must(s.t, err)
		if p.Mode != power.Mains || p.Volts != 4.1 {
			s.t.Errorf("while nothing is wrong: %s, %v V a cell, want mains and 4.1", p.Mode, p.Volts)
		}
		if n := s.board.Transfers() - from; n < 40 || !well(p) {
			return fmt.Errorf("%d messages, gauge %s, line %s", n, p.Gauge, p.Line)
		}
		return nil
	})
	show(batterytest.Pack{Mains: true, Volts: 4.05, Charge: 0.88, Amps: 0.1, Out: 1})
	s.says("the battery's voltage has changed", func(p power.Status) bool { return p.Volts == 4.05 })
}

// onBattery is any mode of a node whose mains are gone.
func onBattery(p power.Status) bool { return p.AC == power.ACNo && p.Mode.Atleast(power.OnBattery) }

// discharge has the battery run down until the node is off: slowly, down to where it is
// critical and not yet in need of an emergency.
func (s *stage) discharge(show func(batterytest.Pack)) {
	s.t.Helper()
	p := batterytest.Pack{Volts: 3.9, Charge: 0.6, Amps: -1.2, Out: 1}
	show(p)
	s.says("on battery", onBattery)
	ctx, cancel := context.WithTimeout(s.ctx, 2*step)
	defer cancel()
	off := make(chan error, 1)
	go func() { off <- s.vm.Off(ctx) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	from, began := s.board.Transfers(), time.Now()
	for {
		select {
		case <-tick.C:
			p.Volts = max(p.Volts-0.05, 3.33)
			show(p)
		case err := <-off:
			must(s.t, err)
			s.lap("the guest has powered itself off, after %.0f messages a second", float64(s.board.Transfers()-from)/time.Since(began).Seconds())
			return
		}
	}
}

// evidence wants the guest's disk to tell why it went down, by the book that is a file of it.
func evidence(s *stage, file string) {
	s.t.Helper()
	path := os.Getenv("PATH") + ":/usr/sbin"
	run := func(name string, args ...string) error {
		cmd := exec.CommandContext(s.ctx, "env", append([]string{"PATH=" + path, name}, args...)...)
		out, err := cmd.CombinedOutput()
		s.t.Logf("%s: %s", name, out)
		return err
	}
	// What was not finished is played back from the journal, as at the next boot; 1 is for
	// small things that it mends (e2fsck(8)).
	var mended *exec.ExitError
	if err := run("e2fsck", "-fp", s.vm.Disk); err != nil && !(errors.As(err, &mended) && mended.ExitCode() == 1) {
		s.t.Errorf("the disk is damaged: %v", err)
	}
	dir := s.t.TempDir()
	must(s.t, run("debugfs", "-R", "dump "+file+" "+filepath.Join(dir, "power.json"), s.vm.Disk))
	book, err := power.OpenBook(dir, "the next boot")
	must(s.t, err)
	told := power.Explain(append(book.Entries(), power.Entry{At: time.Now(), Boot: "the next boot", Page: power.Booted}))
	if len(told) == 0 || !told[0].Known || !strings.Contains(told[0].Why, "The countdown is over.") {
		s.t.Errorf("the next boot would explain: %+v", told)
		return
	}
	s.t.Logf("the next boot explains: %s", told[0].Why)
}
