package agent

import (
	"context"
	"io"
	"log/slog"
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"primespark/agent/config"
	"primespark/agent/infer"
	"primespark/agent/power"
	"primespark/shared/clock"
	"primespark/shared/gossip"
	"primespark/shared/hostmetrics"
	"primespark/shared/logs"
	"primespark/shared/notify"
)

// Outside is what a node touches of the world besides its state directory.
// Tests give their own.
type Outside struct {
	Log    *slog.Logger
	Listen func(ctx context.Context, network, address string) (net.Listener, error)
	// Dial connects to the coordinators.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Backends are the engines that the node has; the built-in one, if nil.
	Backends []infer.Backend
	// Gossip changes how gossip reaches the others; nil for real sockets.
	Gossip func(*gossip.Config)
	// Machine switches the host off; the host's logind, if nil.
	Machine power.Machine
	// Free is how many bytes the host has before it swaps; nil: models are loaded without a
	// look at it.
	Free func() (int64, error)
	// Service is told how the node fares; nil for nobody.
	Service *notify.Notifier
	// Clock tells how far the host's times can be believed; nil: all are.
	Clock *clock.Clock
}

// early lets a listener have an address that the host does not have yet: a Pi
// often boots before its network (ip(7), IP_FREEBIND).
func early(network, _ string, c syscall.RawConn) error {
	var err error
	set := func(fd uintptr) {
		switch network {
		case "tcp4":
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
		case "tcp6":
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1)
		}
	}
	if failed := c.Control(set); failed != nil {
		return failed
	}
	return err
}

// Real is the world of a daemon: the host's network, and its log on stderr.
func Real(cfg config.Config, stderr io.Writer) Outside {
	var level slog.Level
	if level.UnmarshalText([]byte(cfg.Log.Level)) != nil {
		level = slog.LevelInfo // the configuration was checked; this is for those that were not
	}
	listen := net.ListenConfig{Control: early}
	return Outside{
		Clock:  clock.Host(),
		Log:    logs.New(stderr, logs.Options{Format: logs.Format(cfg.Log.Format), Level: level}),
		Listen: listen.Listen,
		Dial:   new(net.Dialer).DialContext,
		Free:   func() (int64, error) { return hostmetrics.MemoryLeft("") },
	}
}
