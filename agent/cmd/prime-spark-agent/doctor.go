package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"primespark/agent"
	"primespark/agent/doctor"
	"primespark/hailo"
	"primespark/shared/cli"
	"primespark/shared/problem"
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
			out := cli.Output(cmd)
			if err := out.Data(r, func() { triage(out, r) }); err != nil {
				return err
			}
			if r.Verdict == doctor.Fault {
				return errTold
			}
			return nil
		},
	}
	cli.JSON(cmd)
	return cmd
}

// errTold ends a command whose output has said already what is wrong.
var errTold = cli.Exit(cli.Failed, problem.New(problem.Conflict, "Do what stands beside the faults above, the first one first.", "Something does not work."))

// marks are how severities look.
var marks = map[doctor.Severity]func(string) cli.Styled{doctor.OK: cli.Good, doctor.Info: cli.Faint, doctor.Warning: cli.Warn, doctor.Fault: cli.Bad}

// triage prints what was found as a table, and below it what to do, the worst first.
func triage(out *cli.Out, r doctor.Report) {
	var rows [][]any
	section := ""
	for _, f := range r.Results {
		shown := ""
		if f.Section != section {
			section, shown = f.Section, f.Section
		}
		rows = append(rows, []any{cli.Strong(shown), marks[f.Severity](string(f.Severity)), f.Check, f.Detail})
	}
	out.Table([]string{"SECTION", "STATE", "CHECK", "FINDING"}, rows)
	for _, s := range []doctor.Severity{doctor.Fault, doctor.Warning, doctor.Info} {
		for _, f := range r.Results {
			if f.Severity == s && f.Remedy != "" {
				out.Line("")
				out.Line("%s %s", marks[s](string(s)+":"), f.Detail)
				out.Line("  %s", f.Remedy)
			}
		}
	}
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
				return errTold
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
		out.Line("%s %s", marks[doctor.Severity(f.Severity)](string(f.Severity)+":"), f.Detail)
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
