// Package demo shows on one machine, with real processes, what Prime Spark is for:
// a photo goes to the gateway and an agent finds the face in it, and the fleet
// goes on when its leader is killed.
package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"primespark/shared/cli"
	"primespark/shared/rig"
)

// limit is how long the check may take. It needs a quarter of it on two cores.
const limit = 90 * time.Second

// Command makes the command demo.
func Command() *cobra.Command {
	var check, keep, double bool
	var agents, port int
	cmd := &cobra.Command{
		Use: "demo", Short: "Run a whole fleet on this machine, and kill its leader", Args: cli.Words(),
		Long: `Run a whole fleet on this machine: three coordinators, three agents and an MQTT
broker, as real processes on loopback, in a temporary directory, without root. A
photo goes to the gateway and an agent finds the face in it; then the leader is killed,
and the fleet goes on. It stays up, with its status page, until Ctrl-C removes all of it.`,
		Example: "  prime-spark demo\n  prime-spark demo --exit-after-check\n  prime-spark demo --agents 5 --port 8080",
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case agents < 1 || agents > 16:
				return cli.Misuse(cmd, "--agents is %d; give 1 to 16.", agents)
			case port != 0 && (port < 1024 || port > 65535):
				return cli.Misuse(cmd, "--port is %d; give one from 1024 to 65535.", port)
			}
			bin, err := beside()
			if err != nil {
				return err
			}
			options := rig.Options{Bin: bin, Coordinators: 3, Agents: agents, Page: port, Keep: keep}
			if double {
				if options.Accelerator, err = accelerator(bin); err != nil {
					return err
				}
			}
			r, err := rig.New(options)
			if err != nil {
				return err
			}
			s := story{cmd: cmd, out: cli.Output(cmd), rig: r, begin: time.Now(), double: double}
			err = s.tell(check)
			s.wait("stopping the fleet")()
			if closed := r.Close(); err == nil {
				err = closed
			}
			if keep {
				s.out.Line("Everything that it wrote is in %s.", r.Dir)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&check, "exit-after-check", false, "end after the checks, with exit code 0 if all went well")
	cmd.Flags().BoolVar(&keep, "keep-dir", false, "leave the directory with all logs behind")
	cmd.Flags().BoolVar(&double, "with-hailo-double", false, "give the first agent a simulated Hailo-8 (make demo HAILO_DOUBLE=1)")
	cmd.Flags().IntVar(&agents, "agents", 3, "how many agents")
	cmd.Flags().IntVar(&port, "port", 0, "port of the status page (default any that is free)")
	return cmd
}

// SweepCommand makes the hidden command that cleans up after a demo that was killed.
func SweepCommand() *cobra.Command {
	return &cobra.Command{
		Use: rig.SweepCommand + " DIR", Short: "Remove the directory of a demo once it is gone", Hidden: true,
		Args: cli.Words("DIR"), Example: "  prime-spark " + rig.SweepCommand + " DIR",
		RunE: func(cmd *cobra.Command, args []string) error { return rig.Sweep(cmd.InOrStdin(), args[0]) },
	}
}

// beside is the directory of this program, where the daemons are, too.
func beside() (string, error) {
	self, err := os.Executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	return filepath.Dir(self), nil
}

// tell runs the checks, and then, unless check is set, stays until the user has
// had enough.
func (s *story) tell(check bool) error {
	ctx, cancel := context.WithTimeout(s.cmd.Context(), limit)
	defer cancel()
	for _, chapter := range []func(context.Context) error{s.start, s.photo, s.accelerate, s.loseLeader, s.restore} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	s.step("All of it works.")
	if check {
		return nil
	}
	s.out.Line("")
	s.out.Line("Status page   %s", cli.Strong("http://"+s.rig.Coordinators[0].Loopback+"/"))
	s.out.Line("Ask the fleet %s", os.Args[0]+" status --server http://"+s.rig.Coordinators[0].Loopback)
	s.out.Line("Logs          %s", s.rig.Dir)
	s.out.Line("Ctrl-C ends it and removes everything.")
	select {
	case <-s.cmd.Context().Done():
		return nil
	case err := <-s.rig.Broken():
		return err
	}
}
