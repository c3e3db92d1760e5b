package guest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"primespark/scripts/lab/machine"
)

// A LAN is machines on one network.
type LAN struct {
	Net *machine.Net

	dir           string
	image, kernel string
	mu            sync.Mutex
	closers       []func() // of its machines
}

// Memory of a machine, in MiB.
const Memory = 512

// memory is where a machine's memory is: in a tmpfs that may execute.
const memory = "/dev/shm"

// NewLAN makes a network for machines of a release of Debian. The first call on a
// machine makes the disk image, with more packages, which takes a minute or two.
func NewLAN(ctx context.Context, r *machine.Run, suite string, packages ...string) (*LAN, error) {
	dir, err := kernel(ctx)
	if err != nil {
		return nil, err
	}
	img, err := Image(ctx, suite, filepath.Join(dir, "modules"), packages...)
	if err != nil {
		return nil, err
	}
	n, err := r.Net()
	if err != nil {
		return nil, err
	}
	return &LAN{Net: n, dir: filepath.Join(r.Dir, "guests"), image: img, kernel: filepath.Join(dir, "linux")}, nil
}

// A Machine is one of them. Its disk outlives its power.
type Machine struct {
	Name    string
	Address string // its IP address

	power
	lan   *LAN
	host  *machine.Host
	dir   string // shared with it, as /lab
	calls atomic.Int64
}

func (m *Machine) String() string { return m.Name }

// Machine adds one that is off.
func (l *LAN) Machine(name string) (*Machine, error) {
	host, err := l.Net.Host()
	if err != nil {
		return nil, err
	}
	if err := host.Bare(); err != nil {
		return nil, err
	}
	m := &Machine{Name: name, Address: host.Address, lan: l, host: host, dir: filepath.Join(l.dir, name)}
	if err := os.MkdirAll(filepath.Join(m.dir, "q"), 0o755); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closers = append(l.closers, m.cut)
	return m, nil
}

// Boot switches the machine on and waits until it runs commands; it returns
// before systemd has started everything.
func (m *Machine) Boot(ctx context.Context) error {
	if err := os.Remove(filepath.Join(m.dir, "up")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	stale, err := filepath.Glob(filepath.Join(m.dir, "q", "*"))
	if err != nil {
		return err
	}
	for _, f := range stale {
		if err := os.Remove(f); err != nil {
			return err
		}
	}
	// gro: others send segments that are longer than a frame, for there is no wire to cut
	// them for.
	args := m.host.Under(m.lan.kernel, "mem="+strconv.Itoa(Memory)+"M", "ncpus=1", "seccomp=on",
		"ubd0="+m.dir+".cow,"+m.lan.image, "root=/dev/ubda", "rw", "con=null", "con0=null,fd:2", "quiet",
		"umid="+filepath.Base(m.dir)+strconv.Itoa(os.Getpid()), "vec0:transport=raw,ifname=eth0,depth=64,gro=1",
		"lab.dir="+m.dir, "lab.name="+m.Name, "lab.address="+m.Address, "lab.link=vec0")
	if err := m.start(m.Name, args, filepath.Join(m.lan.dir, m.Name+".console"), "TMPDIR="+memory); err != nil {
		return err
	}
	return m.wait(ctx, "come up", func() bool { _, err := os.Stat(filepath.Join(m.dir, "up")); return err == nil })
}

// poll is how often the shared directory is looked at.
const poll = 20 * time.Millisecond

func (m *Machine) wait(ctx context.Context, what string, done func() bool) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-m.ended:
			text, _ := os.ReadFile(filepath.Join(m.lan.dir, m.Name+".console")) // says why, if anything does
			return fmt.Errorf("%s did not %s, it is off: %s", m.Name, what, tail(text))
		case <-ctx.Done():
			text, _ := os.ReadFile(filepath.Join(m.lan.dir, m.Name+".console"))
			return fmt.Errorf("%s did not %s: %w: %s", m.Name, what, context.Cause(ctx), tail(text))
		}
	}
	return nil
}

// Sh runs a shell script on the machine and returns what it printed. It does not
// go through the network: a machine that is cut off answers.
func (m *Machine) Sh(ctx context.Context, script string) (string, error) {
	name := filepath.Join(m.dir, "q", strconv.FormatInt(m.calls.Add(1), 10))
	if err := os.WriteFile(name+".new", []byte(script+"\n"), 0o600); err != nil {
		return "", err
	}
	if err := os.Rename(name+".new", name+".sh"); err != nil {
		return "", err
	}
	if err := m.wait(ctx, "run "+firstLine(script), func() bool { _, err := os.Stat(name + ".rc"); return err == nil }); err != nil {
		return "", err
	}
	out, err := os.ReadFile(name + ".out")
	if err != nil {
		return "", err
	}
	rc, err := os.ReadFile(name + ".rc")
	if err != nil {
		return "", err
	}
	if code := strings.TrimSpace(string(rc)); code != "0" {
		return string(out), fmt.Errorf("%s: %s: exit code %s: %s", m.Name, firstLine(script), code, tail(out))
	}
	return string(out), nil
}

func firstLine(s string) string {
	line, _, more := strings.Cut(strings.TrimSpace(s), "\n")
	if more {
		line += " ..."
	}
	return strconv.Quote(line)
}

// Put copies a file of this machine to /lab/NAME of the other.
func (m *Machine) Put(file, name string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(m.dir, name), data, 0o755)
}

// Shared is the path here of what is /lab/NAME on the machine.
func (m *Machine) Shared(name string) string { return filepath.Join(m.dir, name) }

// Settled waits until systemd has started everything, and returns its word for
// how the machine is: "running", or "degraded" if a unit failed.
func (m *Machine) Settled(ctx context.Context) (string, error) {
	out, err := m.Sh(ctx, "systemctl is-system-running --wait || true")
	return strings.TrimSpace(out), err
}

// BootID tells one life of the machine from the next.
func (m *Machine) BootID() (string, error) {
	b, err := os.ReadFile(filepath.Join(m.dir, "up"))
	return strings.TrimSpace(string(b)), err
}

// CutPower takes the cable out and stops the machine at once: nothing more leaves
// it, and nothing more is written.
func (m *Machine) CutPower() error {
	if err := m.host.Unplug(); err != nil {
		return err
	}
	if err := m.kill(m.Name); err != nil {
		return err
	}
	return m.host.Plug()
}

// Off waits until the machine has powered itself off.
func (m *Machine) Off(ctx context.Context) error { return m.off(ctx, m.Name) }

// Freeze stops the machine; its clocks go on. Thaw lets it go on.
func (m *Machine) Freeze() error { return m.signal(syscall.SIGSTOP) }

// Thaw lets a frozen machine go on.
func (m *Machine) Thaw() error { return m.signal(syscall.SIGCONT) }

// Unplug takes its cable out; Plug puts it back.
func (m *Machine) Unplug() error { return m.host.Unplug() }

// Plug puts its cable back.
func (m *Machine) Plug() error { return m.host.Plug() }

// Close cuts the power of all machines.
func (l *LAN) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, end := range l.closers {
		end()
	}
}
