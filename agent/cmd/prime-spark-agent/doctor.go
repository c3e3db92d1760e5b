package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"primespark/agent"
	"primespark/hailo"
	"primespark/shared/cli"
	"primespark/shared/doctor"
)

func doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "doctor", Short: "Say what is wrong with this node, and what mends it", Args: cli.Words(),
		Long: `Looks at this node as a support engineer would: the agent, power, disk, clock,
certificate, ports and the Hailo accelerator, each with the command that mends what is
wrong. The agent may run or not. Nothing is changed. --json prints everything to attach
to an issue; secrets are taken out. The exit code is 1 if something does not work.`,
		Example: "  prime-spark-agent doctor\n  sudo prime-spark-agent doctor --json > doctor.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			done := cli.Progress(cmd, "Looking")
			r := agent.Examine(cmd.Context(), cfg)
			done()
			return r.Print(cli.Output(cmd))
		},
	}
	cli.JSON(cmd)
	return cmd
}

func hailoSelftestCommand() *cobra.Command {
	var frames int
	cmd := &cobra.Command{
		Use: "selftest [FILE]", Short: "Try the Hailo accelerator of this board, and measure it", Args: cobra.MaximumNArgs(1),
		Long: `Looks for what keeps the accelerator from working, starts the worker, loads a model,
runs it one by one and several at a time, kills the worker to see that it comes back, and
measures the temperature. FILE is a HEF; without it the best-known model of hailo-models
is taken. The agent must not run meanwhile. --json prints one object to paste into an issue.`,
		Example: "  sudo systemctl stop prime-spark-agent\n  prime-spark-agent hailo selftest\n  prime-spark-agent hailo selftest /usr/share/hailo-models/yolov8s_h8l.hef --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if frames < 1 || frames > 100_000 {
				return cli.Misuse(cmd, "--frames is %d; give 1 to 100000, as in 200.", frames)
			}
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			file := ""
			if len(args) > 0 {
				file = args[0]
			}
			done := cli.Progress(cmd, "Trying")
			t, err := agent.Selftest(cmd.Context(), cfg, file, frames, nil)
			done()
			if err != nil {
				return err
			}
			out := cli.Output(cmd)
			if err := out.Data(t, func() { tried(out, t) }); err != nil {
				return err
			}
			if !t.OK {
				return doctor.ErrTold
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&frames, "frames", 200, "`number` of frames to run each way")
	cli.JSON(cmd)
	return cmd
}

// tried prints the steps of a selftest, and what is wrong.
func tried(out *cli.Out, t hailo.Selftest) {
	var rows [][]any
	for _, s := range t.Steps {
		state := cli.Good("ok")
		if !s.OK {
			state = cli.Bad("fault")
		}
		rows = append(rows, []any{state, s.Name, fmt.Sprintf("%.1f ms", s.Millis), s.Detail})
	}
	if len(rows) > 0 {
		out.Table([]string{"STATE", "STEP", "TOOK", "RESULT"}, rows)
	}
	for _, f := range t.Findings {
		out.Line("%s %s", doctor.Severity(f.Severity).Mark(string(f.Severity)+":"), f.Detail)
		if f.Remedy != "" {
			out.Line("  %s", f.Remedy)
		}
	}
	if f := t.Figures; f != nil && f.Anchor != "" {
		out.Line("Others measured %s.", f.Anchor)
	}
	if t.Status.Simulated {
		out.Line("%s", cli.Warn("This was a simulation: hailo.library names a double of the library."))
	}
}
