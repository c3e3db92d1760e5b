//go:build linux

// prime-spark-mesh keeps this host's part of the WireGuard mesh. It is the only
// program of Prime Spark with rights over the network (CAP_NET_ADMIN, CAP_NET_RAW);
// the agent and the coordinator tell it what is wanted over a Unix socket.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"primespark/shared/cli"
	"primespark/shared/logs"
	"primespark/shared/meshnet"
	"primespark/shared/meshnet/beacon"
	"primespark/shared/meshnet/choice"
	"primespark/shared/meshnet/device"
	"primespark/shared/meshnet/echo"
	"primespark/shared/meshnet/helper"
	"primespark/shared/notify"
	"primespark/shared/run"
	"primespark/shared/statedir"
)

func main() { os.Exit(cli.Main(root(), os.Args[1:], os.Stdout, os.Stderr)) }

// settings are the flags.
type settings struct {
	state, socket, stem, backend, format string
	table                                int
}

func root() *cobra.Command {
	root := cli.Root("prime-spark-mesh", "Keep this host's part of the WireGuard mesh",
		`Keeps the interfaces, routes and firewall of the mesh as the map of the cluster says,
and changes to another hub within seconds when one fails. The agent or the coordinator
of this host brings the map and the keys, and the mesh goes on when that one stops. Of the
map a copy is kept; the keys are in the daemon's directory alone.`)
	root.Example = "  prime-spark-mesh run\n  prime-spark-mesh teardown"
	var s settings
	f := root.PersistentFlags()
	f.StringVar(&s.state, "state", "/var/lib/prime-spark-mesh", "`directory` where the last map is kept")
	f.StringVar(&s.stem, "interface", "psm", "what the interfaces' `names` begin with")
	f.IntVar(&s.table, "table", device.DefaultTable, "`number` of the first of two routing tables, and the firewall mark")
	f.StringVar(&s.format, "log", "json", "`format` of the log: json or text")
	root.AddCommand(runCommand(&s), teardownCommand(&s))
	return root
}

func runCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use: "run", Short: "Run until SIGTERM; interfaces of the kernel stay as they are", Args: cli.Words(),
		Long: `Runs until SIGTERM. What the kernel serves stays as it is, so that packets pass while
the program is replaced; prime-spark-mesh teardown removes it.`,
		Example: "  prime-spark-mesh run --wireguard user",
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch device.Backend(s.backend) {
			case device.Auto, device.Kernel, device.User:
			default:
				return cli.Misuse(cmd, "--wireguard is %q; give auto, kernel or user", s.backend)
			}
			service, err := notify.FromEnv()
			if err != nil {
				return err
			}
			defer service.Close()
			return serve(cmd.Context(), *s, service, logs.New(cmd.ErrOrStderr(), logs.Options{Format: logs.Format(s.format)}))
		},
	}
	cmd.Flags().StringVar(&s.socket, "socket", meshnet.Socket, "Unix `socket` that the daemons call")
	cmd.Flags().StringVar(&s.backend, "wireguard", string(device.Auto), "`who` runs WireGuard: auto, kernel or user")
	return cmd
}

func teardownCommand(s *settings) *cobra.Command {
	return &cobra.Command{
		Use: "teardown", Short: "Remove the interfaces, routes, rules and firewall of the mesh", Args: cli.Words(),
		Long: `Removes the interfaces, routes, routing rules, firewall table and kernel settings that
were made for the mesh, and nothing else. Stop prime-spark-mesh first, or it makes them
anew. The map stays in the state directory.`,
		Example: "  systemctl stop prime-spark-mesh && prime-spark-mesh teardown",
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := open(*s, logs.New(cmd.ErrOrStderr(), logs.Options{Format: logs.Format(s.format)}))
			if err != nil {
				return err
			}
			return errors.Join(d.Teardown(), d.Close())
		},
	}
}

func open(s settings, log *slog.Logger) (*device.Manager, error) {
	return device.Open(device.Config{Stem: s.stem, Table: s.table, Backend: device.Backend(s.backend), Dir: s.state, Log: log})
}

// serve runs the helper: straight-line wiring.
func serve(ctx context.Context, s settings, service *notify.Notifier, log *slog.Logger) error {
	if err := os.MkdirAll(s.state, 0o700); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	if err := statedir.Refuse(s.state, "prime-spark-mesh"); err != nil {
		return err
	}
	d, err := open(s, log)
	if err != nil {
		return err
	}
	defer func() {
		if err := d.Close(); err != nil {
			log.Warn("not closed well", "err", err)
		}
	}()
	probes, err := echo.Open()
	if err != nil {
		return err
	}
	defer func() { _ = probes.Close() }() // nothing was written to it
	var near helper.Neighbours            // none is as good as a network in which nobody is heard
	if socket, err := beacon.Open(s.stem); err == nil {
		near = socket
		defer func() { _ = socket.Close() }() // nothing waits in it
	} else {
		log.Warn("neighbours are not looked for", "err", err, "remedy", fmt.Sprintf("free the UDP port %d", beacon.Port))
	}
	h := helper.New(helper.Config{
		Near: near, Dir: s.state, Stem: s.stem, Device: d, Echo: probes, Timing: choice.DefaultTiming, Log: log, Beat: func(status string) error { return service.Beat(status) },
		Resolve: func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		},
		Jitter: func(below time.Duration) time.Duration { return rand.N(max(below, 1)) },
	})
	if err := os.MkdirAll(filepath.Dir(s.socket), 0o750); err != nil {
		return fmt.Errorf("make the socket's directory: %w", err)
	}
	l, err := helper.Listen(s.socket)
	if err != nil {
		return err
	}
	log.Info("the mesh is kept", "socket", s.socket, "state_dir", s.state)
	return run.All(ctx, h, run.Func("calls of the daemons", func(ctx context.Context) error { return h.Serve(ctx, l) }))
}
