// Package vm runs the real agent on a real kernel with hardware that is software: a
// guest with Debian's own kernel in QEMU, which emulates the processor and needs neither
// KVM nor root, and USB adapters that are plugged into it over a connection (package
// usbip). The board is played by the test itself, on this side, so it sees everything
// that the guest does, up to its last moment.
//
// What a guest boots is fetched once by apt and kept in the cache of package guest.
package vm

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Missing lists what guests of an architecture need and is not there; empty if all is.
func Missing(arch string) []string {
	return missing([2]string{qemu[arch].program, qemu[arch].from}, [2]string{"apt-get", "apt"}, [2]string{"dpkg-deb", "dpkg"},
		[2]string{"mke2fs", "e2fsprogs"}, [2]string{"xz", "xz-utils"})
}

// qemu is how QEMU runs each architecture: on arm64 with the processor of a
// Raspberry Pi 5.
var qemu = map[string]struct {
	program, from string
	machine       []string
	console       string
}{
	"amd64": {"qemu-system-x86_64", "qemu-system-x86", []string{"-M", "q35", "-cpu", "max"}, "ttyS0"},
	"arm64": {"qemu-system-aarch64", "qemu-system-arm", []string{"-M", "virt,gic-version=3", "-cpu", "cortex-a76"}, "ttyAMA0"},
}

// drivers are the kernel's that guests need: a disk and a network to talk over, the
// virtual ports, and what makes buses and lines of the adapters in them.
var drivers = []string{
	"virtio_pci", "virtio_blk", "virtio_net", "crc32c_generic", "ext4",
	"vhci_hcd", "i2c_dev", "i2c_tiny_usb", "cp210x",
}

// A VM is a guest that runs. It ends when it powers itself off, or by Close.
type VM struct {
	Disk string // its disk: a file system, mounted at /state

	dir     string
	cmd     *exec.Cmd
	ended   chan struct{}
	calls   net.Listener // where the guest calls
	mu      sync.Mutex   // guards shell, for one script at a time
	shell   net.Conn
	answers *bufio.Reader
}

// Config says what is booted.
type Config struct {
	*Debian
	Dir   string            // for the guest's files here; it has it alone
	Files map[string]string // in /bin of the guest, by their names and where they are here
	// Image is of the disk of a whole Debian, of package guest, that is booted. Its files are
	// in /lab then. Empty: a guest with nothing but a busybox.
	Image string
}

// Boot switches a guest on, and waits until it runs commands.
func Boot(ctx context.Context, c Config) (*VM, error) {
	v := &VM{dir: c.Dir, Disk: filepath.Join(c.Dir, "disk"), ended: make(chan struct{})}
	if err := v.initrd(c); err != nil {
		return nil, err
	}
	if err := v.disk(ctx, c); err != nil {
		return nil, err
	}
	var err error
	if v.calls, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	if err := v.start(c); err != nil {
		return nil, errors.Join(err, v.calls.Close())
	}
	if err := v.answer(ctx); err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}

func (v *VM) path(name string) string { return filepath.Join(v.dir, name) }

func (v *VM) start(c Config) error {
	q := qemu[c.Arch]
	port := v.calls.Addr().(*net.TCPAddr).Port
	args := append(q.machine, "-accel", "tcg,thread=multi", "-smp", "2", "-m", "512",
		"-nodefaults", "-display", "none", "-no-reboot", "-serial", "file:"+v.path("console"),
		"-kernel", c.path("kernel"), "-initrd", v.path("initrd"),
		"-append", "console="+q.console+" panic=-1 mitigations=off lab.port="+strconv.Itoa(port)+c.words(),
		"-drive", "file="+v.Disk+",if=none,id=disk,format=raw", "-device", "virtio-blk-pci,drive=disk",
		// The guest reaches this machine as 10.0.2.2.
		"-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile=")
	v.cmd = exec.Command(q.program, args...)
	errors, err := os.Create(v.path("qemu"))
	if err != nil {
		return err
	}
	defer errors.Close()
	v.cmd.Stdout, v.cmd.Stderr = errors, errors
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it dies with us
	if err := v.cmd.Start(); err != nil {
		return fmt.Errorf("switch the guest on: %w", err)
	}
	go func() { // ends with the guest
		defer close(v.ended)
		_ = v.cmd.Wait() // whether it was killed or powered itself off, its console tells
	}()
	return nil
}

// Console is what the guest's kernel, and QEMU, have said so far.
func (v *VM) Console() string {
	console, _ := os.ReadFile(v.path("console")) // none was written yet
	errors, _ := os.ReadFile(v.path("qemu"))
	return string(bytes.ReplaceAll(append(console, errors...), []byte{'\r'}, nil))
}

// ErrOff is what fails when the guest is off.
var ErrOff = errors.New("the guest is off")

// failed says what the guest did not do, and why, as far as its console tells.
func (v *VM) failed(what string, err error) error {
	select {
	case <-v.ended:
		err = fmt.Errorf("%w: %w", ErrOff, err)
	default:
	}
	return fmt.Errorf("the guest did not %s: %w\n%s", what, err, tail([]byte(v.Console())))
}

// poll is how often something is looked at that does not tell by itself.
const poll = 100 * time.Millisecond

// Wait looks until done says so. While that is an error, it is the reason why not.
func Wait(ctx context.Context, what string, done func() error) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		err := done()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: %w", what, context.Cause(ctx), err)
		}
		if errors.Is(err, ErrOff) {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

// Off waits until the guest has powered itself off; one that crashed or booted anew has
// not.
func (v *VM) Off(ctx context.Context) error {
	select {
	case <-v.ended:
	case <-ctx.Done():
		return v.failed("power itself off", context.Cause(ctx))
	}
	// The last word of the kernel before it does (kernel/reboot.c).
	if !bytes.Contains([]byte(v.Console()), []byte("reboot: Power down")) {
		return v.failed("power itself off", errors.New("it ended otherwise"))
	}
	return nil
}

// Close cuts its power, if it still has any.
func (v *VM) Close() {
	_ = v.cmd.Process.Kill() // it may be off already
	<-v.ended
	_ = v.calls.Close()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.shell != nil {
		_ = v.shell.Close()
	}
}
