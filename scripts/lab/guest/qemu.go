package guest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"primespark/scripts/lab/machine"
)

// A Box is a machine of a test, whatever runs it.
type Box interface {
	Boot(ctx context.Context) error
	Sh(ctx context.Context, script string) (string, error)
	Put(file, name string) error
	CutPower() error
	Off(ctx context.Context) error
	Unplug() error
	Plug() error
	String() string
}

// An Emulated is a machine whose every instruction is emulated by QEMU, with the
// kernel of its release of Debian; of another architecture, too. It computes 20 to 60
// times slower than this host.
type Emulated struct {
	Name    string
	Address string // its IP address
	Arch    string // of Debian: amd64 or arm64

	power
	lan   *LAN
	host  *machine.Host
	tap   string
	dir   string // sockets, console, and what it fetches
	image string
	files net.Listener
}

// processors is what QEMU emulates: for arm64 the core of a Raspberry Pi 5.
var processors = map[string][]string{
	"amd64": {"qemu-system-x86_64", "-M", "q35", "-cpu", "max"},
	"arm64": {"qemu-system-aarch64", "-M", "virt,gic-version=3", "-cpu", "cortex-a76"},
}

var consoles = map[string]string{"amd64": "ttyS0", "arm64": "ttyAMA0"}

// EmulatedMemory is what an emulated machine has, in MiB: the least that a Raspberry
// Pi 5 is sold with.
const EmulatedMemory = 1024

// MissingFor lists what emulated machines of an architecture need and is not there.
func MissingFor(arch string) (what []string) {
	needs := [][2]string{{processors[arch][0], "qemu-system-x86"}, {"qemu-img", "qemu-utils"}, {"cpio", "cpio"}, {"zstd", "zstd"}, {"modprobe", "kmod"}}
	if arch == "arm64" {
		needs[0][1] = "qemu-system-arm"
		if runtime.GOARCH != arch {
			needs = append(needs, [2]string{"qemu-aarch64-static", "qemu-user-static"}, [2]string{"arch-test", "arch-test"})
		}
	}
	for _, n := range needs {
		if _, err := exec.LookPath(n[0]); err != nil {
			what = append(what, fmt.Sprintf("%s (apt-get install %s)", n[0], n[1]))
		}
	}
	return what
}

// Emulated adds an emulated machine that is off. The first one of a release and an
// architecture makes the disk image, which takes some minutes for a foreign one.
func (l *LAN) Emulated(ctx context.Context, name, suite, arch string) (*Emulated, error) {
	img, err := image(ctx, suite, "", arch)
	if err != nil {
		return nil, err
	}
	host, err := l.Net.Host()
	if err != nil {
		return nil, err
	}
	m := &Emulated{Name: name, Address: host.Address, Arch: arch, lan: l, host: host, dir: filepath.Join(l.dir, name), image: img}
	if err := host.Bare(); err != nil {
		return nil, err
	}
	if m.tap, err = host.Tap(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(m.dir, "put"), 0o755); err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, "qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", img, m.path("disk")).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make the disk of %s: %w: %s", name, err, out)
	}
	if m.files, err = net.Listen("tcp", net.JoinHostPort(l.Net.Gateway(), "0")); err != nil {
		return nil, err
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(m.path("put"))), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(m.files) }() // ends when Close closes the listener
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closers = append(l.closers, func() { m.cut(); _ = m.files.Close() }) // nobody is left to fetch
	return m, nil
}

func (m *Emulated) String() string { return m.Name }

func (m *Emulated) path(name string) string { return filepath.Join(m.dir, name) }

// Boot switches the machine on and waits until it runs commands.
func (m *Emulated) Boot(ctx context.Context) error {
	mac := net.HardwareAddr{0x52, 0x54, 0, 0x99, 0, net.ParseIP(m.Address).To4()[3]}
	args := append([]string(nil), processors[m.Arch]...)
	args = append(args, "-accel", "tcg,thread=multi", "-smp", "2", "-m", strconv.Itoa(EmulatedMemory), "-display", "none",
		"-kernel", m.image+".vmlinuz", "-initrd", m.image+".initrd",
		"-append", "root=/dev/vda rw console="+consoles[m.Arch]+" quiet panic=-1 mitigations=off net.ifnames=0"+
			// Nobody logs in there, and a slow machine waits for the terminal.
			" systemd.mask=serial-getty@"+consoles[m.Arch]+".service"+
			" lab.name="+m.Name+" lab.address="+m.Address+" lab.link=eth0",
		"-serial", "file:"+m.path("console"),
		"-drive", "file="+m.path("disk")+",if=none,id=d,format=qcow2,cache=unsafe", "-device", "virtio-blk-pci,drive=d",
		"-netdev", "tap,id=n,ifname="+m.tap+",script=no,downscript=no", "-device", "virtio-net-pci,netdev=n,romfile=,mac="+mac.String(),
		"-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
		"-qmp", "unix:"+m.path("qmp")+",server=on,wait=off",
		"-chardev", "socket,id=a,path="+m.path("agent")+",server=on,wait=off", "-device", "virtserialport,chardev=a,name=org.qemu.guest_agent.0")
	if err := m.start(m.Name, m.host.Under(args...), m.path("err")); err != nil {
		return err
	}
	_, err := m.Sh(ctx, "true")
	return err
}

// Sh runs a shell script on the machine and returns what it printed. It does not go
// through the network.
func (m *Emulated) Sh(ctx context.Context, script string) (string, error) {
	for {
		out, code, err := execIn(ctx, m.path("agent"), "export HOME=/root; exec 2>&1; "+script)
		switch {
		case err == nil && code != 0:
			return out, fmt.Errorf("%s: %s: exit code %d: %s", m.Name, firstLine(script), code, tail([]byte(out)))
		case err == nil:
			return out, nil
		}
		// Not up yet. What was begun is not begun again: execIn says so by nothing else.
		if began, ok := err.(*beganError); ok {
			return "", fmt.Errorf("%s: %s: %w", m.Name, firstLine(script), began.err)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-m.ended:
			return "", fmt.Errorf("%s is off: %s", m.Name, m.said())
		case <-ctx.Done():
			return "", fmt.Errorf("%s did not run %s: %w: %w: %s", m.Name, firstLine(script), context.Cause(ctx), err, m.said())
		}
	}
}

// said is the end of what the machine and QEMU printed.
func (m *Emulated) said() string {
	var all []string
	for _, name := range []string{"console", "err"} {
		text, err := os.ReadFile(m.path(name))
		if err == nil {
			all = append(all, string(tail(text)))
		}
	}
	return strings.Join(all, "\n")
}

// Put copies a file of this machine to /lab/NAME of the other, which has to run and
// to have its cable.
func (m *Emulated) Put(file, name string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(m.dir, "put", name), data, 0o644); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	_, err = m.Sh(ctx, "mkdir -p /lab && curl -fsS -o /lab/"+name+" http://"+m.files.Addr().String()+"/"+name)
	return err
}

// CutPower takes the cable out and stops the machine at once.
func (m *Emulated) CutPower() error {
	if err := m.host.Unplug(); err != nil {
		return err
	}
	if err := m.kill(m.Name); err != nil {
		return err
	}
	return m.host.Plug()
}

// Off waits until the machine has powered itself off.
func (m *Emulated) Off(ctx context.Context) error { return m.off(ctx, m.Name) }

// Unplug takes its cable out.
func (m *Emulated) Unplug() error { return m.host.Unplug() }

// Plug puts its cable back.
func (m *Emulated) Plug() error { return m.host.Plug() }
