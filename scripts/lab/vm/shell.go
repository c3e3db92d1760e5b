package vm

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"primespark/scripts/lab/vm/usbip"
)

// answer takes the guest's call: from then on its shell is at the other end.
func (v *VM) answer(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = v.calls.(*net.TCPListener).SetDeadline(time.Unix(1, 0)) })
	defer stop()
	go func() { // ends with the guest; a guest that is off never calls
		<-v.ended
		_ = v.calls.Close()
	}()
	conn, err := v.calls.Accept()
	if err != nil {
		return v.failed("come up", err)
	}
	v.shell, v.answers = conn, bufio.NewReader(conn)
	return nil
}

// mark begins the line that ends what a script prints, and most bounds that, in bytes.
const (
	mark = "== lab: "
	most = 1 << 20
)

// Sh runs a script in the guest and returns what it printed.
func (v *VM) Sh(ctx context.Context, script string) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { _ = v.shell.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := fmt.Fprintf(v.shell, "(\n%s\n) </dev/null 2>&1; printf '\\n%s%%d\\n' $?\n", script, mark); err != nil {
		return "", v.failed("run "+firstLine(script), err)
	}
	var out strings.Builder
	for {
		line, err := v.answers.ReadString('\n')
		if err != nil {
			return out.String(), v.failed("run "+firstLine(script), err)
		}
		if code, ok := strings.CutPrefix(line, mark); ok {
			text := strings.TrimSuffix(out.String(), "\n")
			if code = strings.TrimSpace(code); code != "0" {
				return text, fmt.Errorf("guest: %s: exit code %s: %s", firstLine(script), code, tail([]byte(text)))
			}
			return text, nil
		}
		if out.WriteString(line); out.Len() > most {
			return out.String(), v.failed("run "+firstLine(script), fmt.Errorf("it prints more than %d bytes", most))
		}
	}
}

func firstLine(s string) string {
	line, _, more := strings.Cut(strings.TrimSpace(s), "\n")
	if more {
		line += " ..."
	}
	return line
}

// A Cable is a device that is plugged into the guest.
type Cable struct {
	unplug context.CancelFunc
	served chan error
}

// Plug plugs a device into a free port of the guest. The kernel finds it a moment later.
func (v *VM) Plug(ctx context.Context, dev usbip.Device) (*Cable, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	// nc hands its socket to the script as standard input, and the script hands that to the
	// kernel: port, socket, an address that only the kernel's log shows, full speed.
	const attach = `#!/bin/sh
cd /sys/devices/platform/vhci_hcd.0
port=$(awk '$1 == "hs" && $3 == "004" { print $2 + 0; exit }' status)
echo "$port 0 65538 2" >attach
`
	if _, err := v.Sh(ctx, fmt.Sprintf("cat >/tmp/attach <<'E'\n%sE\nchmod +x /tmp/attach\nnc 10.0.2.2 %d -e /tmp/attach", attach, l.Addr().(*net.TCPAddr).Port)); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	conn, err := l.Accept() // it has called already, and waits
	if err != nil {
		return nil, v.failed("call for the device", err)
	}
	serving, unplug := context.WithCancel(context.Background())
	c := &Cable{unplug: unplug, served: make(chan error, 1)}
	go func() { c.served <- usbip.Serve(serving, conn, dev) }() // Unplug waits for it
	return c, nil
}

// Unplug takes the device away, as if its cable were pulled. It returns what went wrong
// with it before.
func (c *Cable) Unplug() error {
	c.unplug()
	err := <-c.served
	c.served <- err // for the next one who asks
	return err
}
