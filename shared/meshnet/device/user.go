//go:build linux

package device

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/ipc"
	"golang.zx2c4.com/wireguard/tun"
)

// userMemory is how many bytes the process tries to get by with once it serves
// interfaces itself: wireguard-go's buffers have no bound of their own on Linux
// (WireGuard/wireguard-go#69), and the garbage collector has to work for one.
const userMemory = 96 << 20

var bound = sync.OnceFunc(func() { debug.SetMemoryLimit(userMemory) })

// A userLink is an interface that this process serves, and its control socket, by
// which wgctrl (and the command wg) sees it like one of the kernel's.
type userLink struct {
	device  *device.Device
	control net.Listener
	serving sync.WaitGroup
}

// singly sends one by one what the kernel refuses to send together. It cuts a batch
// (UDP_SEGMENT) only where each piece fits the network; where IPv6's least MTU and
// WireGuard's overhead do not, pieces that are sent alone are fragmented.
type singly struct{ conn.Bind }

// Send sends all; what was sent before the refusal is sent twice, and dropped as such
// by the other end.
func (s singly) Send(all [][]byte, to conn.Endpoint) error {
	err := s.Bind.Send(all, to)
	if len(all) < 2 || !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EMSGSIZE) {
		return err
	}
	var faults []error
	for i := range all {
		faults = append(faults, s.Bind.Send(all[i:i+1], to))
	}
	return errors.Join(faults...)
}

// serve makes an interface and serves it until close.
func serve(name string, mtu int, log *slog.Logger) (*userLink, error) {
	bound()
	t, err := tun.CreateTUN(name, mtu)
	if err != nil {
		return nil, fmt.Errorf("make it without the kernel's WireGuard: %w; load the module wireguard, or let this program open /dev/net/tun", err)
	}
	log = log.With("interface", name)
	d := device.NewDevice(t, singly{conn.NewDefaultBind()}, &device.Logger{
		Verbosef: device.DiscardLogf,
		Errorf:   func(format string, args ...any) { log.Debug("wireguard-go", "says", fmt.Sprintf(format, args...)) },
	})
	file, err := ipc.UAPIOpen(name)
	if err != nil {
		d.Close()
		return nil, fmt.Errorf("make its control socket: %w", err)
	}
	control, err := ipc.UAPIListen(name, file)
	if err != nil {
		d.Close()
		return nil, fmt.Errorf("listen on its control socket: %w", err)
	}
	_ = file.Close() // the listener has its own copy
	u := &userLink{device: d, control: control}
	u.serving.Go(func() { // close waits for it
		for {
			c, err := control.Accept()
			if err != nil {
				return // closed
			}
			go d.IpcHandle(c) // ends with the caller, who is this process or root
		}
	})
	return u, nil
}

// close ends the interface.
func (u *userLink) close() {
	_ = u.control.Close() // nobody is told any more
	u.device.Close()
	u.serving.Wait()
}
