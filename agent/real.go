package agent

import (
	"context"
	"io"
	"log/slog"
	"net"

	"primespark/agent/config"
	"primespark/agent/infer"
	"primespark/shared/gossip"
	"primespark/shared/logs"
)

// Outside is what a node touches of the world besides its state directory.
// Tests give their own.
type Outside struct {
	Log    *slog.Logger
	Listen func(ctx context.Context, network, address string) (net.Listener, error)
	// Backends are the engines that the node has; the built-in one, if nil.
	Backends []infer.Backend
	// Gossip changes how gossip reaches the others; nil for real sockets.
	Gossip func(*gossip.Config)
}

// Real is the world of a daemon: the host's network, and its log on stderr.
func Real(cfg config.Config, stderr io.Writer) Outside {
	var level slog.Level
	if level.UnmarshalText([]byte(cfg.Log.Level)) != nil {
		level = slog.LevelInfo // the configuration was checked; this is for those that were not
	}
	var listen net.ListenConfig
	return Outside{
		Log:    logs.New(stderr, logs.Options{Format: logs.Format(cfg.Log.Format), Level: level}),
		Listen: listen.Listen,
	}
}
