//go:build linux

package device

import (
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"

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

// serve makes an interface and serves it until close.
func serve(name string, mtu int, log *slog.Logger) (*userLink, error) {
	bound()
	t, err := tun.CreateTUN(name, mtu)
	if err != nil {
		return nil, fmt.Errorf("make it without the kernel's WireGuard: %w; load the module wireguard, or let this program open /dev/net/tun", err)
	}
	log = log.With("interface", name)
	d := device.NewDevice(t, conn.NewDefaultBind(), &device.Logger{
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
