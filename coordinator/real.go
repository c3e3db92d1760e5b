package coordinator

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"time"

	"primespark/coordinator/config"
	"primespark/coordinator/disk"
	"primespark/coordinator/dispatch"
	"primespark/shared/gossip"
	"primespark/shared/logs"
	"primespark/shared/netaddr"
	"primespark/shared/notify"
)

// Outside is what a coordinator touches of the world besides its state
// directory. Tests give their own.
type Outside struct {
	Log    *slog.Logger
	Listen func(ctx context.Context, network, address string) (net.Listener, error)
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	// Agents dials agents; it gives up on dead ones sooner than Dial. Dial, if nil.
	Agents func(ctx context.Context, network, address string) (net.Conn, error)
	// CertificateLife is how long certificates live that are issued here; 0 for
	// pki.LeafLife. Tests that have no month give minutes.
	CertificateLife time.Duration
	// Gossip changes how gossip reaches the others; nil for real sockets.
	Gossip func(*gossip.Config)
	Disk   disk.Disk // under the state directory; nil for the real one
	// Spare gives back memory that a witness can do without; nil: nothing does.
	Spare func() error
	// Abort ends the process at once when its disk is lost. nil: Run returns
	// instead, once the disk lets it.
	Abort func()
	// Service is told how the coordinator fares; nil for nobody.
	Service *notify.Notifier
	// Own finds the host's addresses; nil for the real ones.
	Own func() ([]netip.Addr, error)
}

func (o Outside) own() ([]netip.Addr, error) {
	if o.Own != nil {
		return o.Own()
	}
	return netaddr.Own()
}

// disk is the disk under a directory, and what gives it back.
func (o Outside) disk(dir string) (under disk.Disk, release func()) {
	if o.Disk != nil {
		return o.Disk, func() {}
	}
	d := disk.At(dir)
	return d, func() { _ = d.Close() } // nothing in the probe is worth an error
}

// Real is the world of a daemon: the host's network, and its log on stderr.
func Real(cfg config.Config, stderr io.Writer) Outside {
	var level slog.Level
	if level.UnmarshalText([]byte(cfg.Log.Level)) != nil {
		level = slog.LevelInfo // the configuration was checked; this is for those that were not
	}
	var listen net.ListenConfig
	dial := net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}
	return Outside{
		Log:    logs.New(stderr, logs.Options{Format: logs.Format(cfg.Log.Format), Level: level}),
		Listen: listen.Listen,
		Dial:   dial.DialContext,
		Agents: dispatch.Dial,
		Spare:  sparer(),
		Abort:  func() { os.Exit(1) },
	}
}
