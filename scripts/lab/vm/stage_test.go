package vm_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"primespark/agent/battery/batterytest"
	"primespark/agent/power"
	"primespark/scripts/lab/vm"
	"primespark/scripts/lab/vm/usbip"
)

// archEnv says which architecture the guest has: amd64 or arm64. Without it, these
// tests are skipped.
const archEnv = "PRIME_SPARK_VM"

// suites are the releases of Debian that are booted: the one before, whose kernel starts
// sooner, and the one that Raspberry Pi OS is made of.
var suites = map[string]string{"amd64": "bookworm", "arm64": "trixie"}

// limit is for all of it, and step for each thing that is waited for: much more than they
// take, since the machine may have other things to do.
const (
	limit = 18 * time.Minute
	step  = 5 * time.Minute
)

// A stage is a guest with a board plugged in, and an agent on it.
type stage struct {
	t     *testing.T
	ctx   context.Context
	vm    *vm.VM
	begun time.Time

	board *board
	lines *usbip.Lines
}

// A board is the UPS boards' chips on one bus, which fails as it is told.
type board struct {
	*batterytest.Bus

	wrote func() // is called before each write to a register; may be nil
	mu    sync.Mutex
	fault error
}

// Fail has every transfer fail from now on; nil: none.
func (b *board) Fail(fault error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fault = fault
}

// TxContext does one message of a transaction.
func (b *board) TxContext(ctx context.Context, addr uint16, w, r []byte) error {
	b.mu.Lock()
	fault := b.fault
	b.mu.Unlock()
	if fault != nil {
		return fault
	}
	if len(w) > 1 && b.wrote != nil {
		b.wrote()
	}
	return b.Bus.TxContext(ctx, addr, w, r)
}

// begin boots a guest with the agent, or skips the test.
func begin(t *testing.T, board *board) *stage {
	t.Helper()
	arch := os.Getenv(archEnv)
	if arch == "" {
		t.Skip("guests are booted by make vm and make vm-arm64")
	}
	if suites[arch] == "" {
		t.Fatalf("%s=%s: give amd64 or arm64", archEnv, arch)
	}
	if missing := vm.Missing(arch); len(missing) > 0 {
		if os.Getenv("CI") == "true" {
			t.Fatalf("not here: %s", strings.Join(missing, "; "))
		}
		t.Skipf("not here: %s", strings.Join(missing, "; "))
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	debian, err := vm.Fetch(ctx, suites[arch], arch)
	must(t, err)
	dir := t.TempDir()
	programs := map[string]string{"prime-spark-agent": filepath.Join(dir, "agent"), "inside.test": filepath.Join(dir, "inside.test"), "prime-spark-agent.shutdown": "../../../systemd/prime-spark-agent.shutdown"}
	compile(t, arch, "build", "-trimpath", "-ldflags", "-s -w", "-o", programs["prime-spark-agent"], "primespark/agent/cmd/prime-spark-agent")
	compile(t, arch, "test", "-c", "-o", programs["inside.test"], "primespark/scripts/lab/vm/inside")
	s := &stage{t: t, ctx: ctx, begun: time.Now(), board: board, lines: &usbip.Lines{}}
	s.boot(vm.Config{Debian: debian, Dir: dir, Files: programs})
	return s
}

// boot switches the guest on, for as long as the test takes.
func (s *stage) boot(c vm.Config) {
	s.t.Helper()
	v, err := vm.Boot(s.ctx, c)
	must(s.t, err)
	s.vm = v
	s.t.Cleanup(func() {
		v.Close()
		if s.t.Failed() {
			s.t.Logf("the guest's console:\n%s", v.Console())
		}
	})
	s.lap("%s runs", c.Version)
}

func compile(t *testing.T, arch string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", cmd.Args, err, out)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lap tells how far it is.
func (s *stage) lap(format string, args ...any) {
	s.t.Logf("%6.1f s  %s", time.Since(s.begun).Seconds(), fmt.Sprintf(format, args...))
}

// sh runs a script in the guest.
func (s *stage) sh(script string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, step)
	defer cancel()
	out, err := s.vm.Sh(ctx, script)
	must(s.t, err)
	return out
}

// until waits for something in the guest.
func (s *stage) until(what string, done func() error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, step)
	defer cancel()
	must(s.t, vm.Wait(ctx, what, done))
	s.lap("%s", what)
}

// shows waits until a script succeeds in the guest.
func (s *stage) shows(what, script string) {
	s.t.Helper()
	s.until(what, func() error { _, err := s.vm.Sh(s.ctx, script); return err })
}

// plugBoard and plugLines plug the two adapters in, and wait for what the kernel makes
// of them.
func (s *stage) plugBoard() *vm.Cable {
	s.t.Helper()
	cable, err := s.vm.Plug(s.ctx, &usbip.Adapter{Bus: s.board})
	must(s.t, err)
	s.shows("the bus is there", "test -c "+bus)
	return cable
}

func (s *stage) plugLines() *vm.Cable {
	s.t.Helper()
	cable, err := s.vm.Plug(s.ctx, s.lines)
	must(s.t, err)
	s.shows("the GPIO chip is there", "ls /dev/gpiochip*")
	return cable
}

// start runs the agent with a configuration, its log on the console.
func (s *stage) start(config string) {
	s.t.Helper()
	s.sh("setsid prime-spark-agent run --config /tmp/" + config + ".yaml >/dev/console 2>&1 & echo $! >/tmp/pid")
	s.until("an agent with "+config+" runs", func() error { _, err := s.power(); return err })
}

// stop ends it as systemd does.
func (s *stage) stop() {
	s.t.Helper()
	s.sh("kill -TERM $(cat /tmp/pid)")
	s.shows("the agent has ended", "! kill -0 $(cat /tmp/pid)")
}

// power is what the agent says of it.
func (s *stage) power() (power.Status, error) {
	var node struct{ Power power.Status }
	out, err := s.vm.Sh(s.ctx, "wget -q -O - http://127.0.0.1:7491/v1/node")
	if err == nil {
		err = json.Unmarshal([]byte(out), &node)
	}
	return node.Power, err
}

// says waits until the agent says of the power what is wanted.
func (s *stage) says(what string, is func(power.Status) bool) {
	s.t.Helper()
	s.until(what, func() error {
		p, err := s.power()
		if err == nil && !is(p) {
			err = fmt.Errorf("%s, mains %q, gauge %s, sense of the mains %s, %.3f V a cell: %s", p.Mode, p.AC, p.Gauge, p.Line, p.Volts, p.Why)
		}
		return err
	})
}

// logs waits until the agent has logged something since a place in the console.
func (s *stage) logs(since int, words ...string) {
	s.t.Helper()
	s.until("the log says "+strings.Join(words, ", "), func() error {
		text := s.vm.Console()[since:]
		for line := range strings.Lines(text) {
			if containsAll(line, words) {
				return nil
			}
		}
		return errors.New("it does not")
	})
}

func containsAll(line string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(line, w) {
			return false
		}
	}
	return true
}
