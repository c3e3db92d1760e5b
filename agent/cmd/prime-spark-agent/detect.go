package main

import (
	"strings"

	"github.com/spf13/cobra"

	"primespark/agent"
	"primespark/agent/battery/detect"
	"primespark/agent/config"
	"primespark/shared/cli"
	"primespark/shared/problem"
)

func detectCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "detect", Short: "Look which UPS board this node has, and print what to configure", Args: cli.Words(),
		Long: `Reads the signatures of known UPS boards at the addresses where they are, the batteries
that the kernel knows, and a server of Network UPS Tools, and prints what it read and a
proposal to paste into the configuration. Nothing is configured by it and nothing is
written to a chip: other chips share the addresses, so compare with the name on the
board. The bus, the line and the server are those of the configuration. The exit code is
3 if nothing was found.`,
		Example: "  sudo prime-spark-agent detect\n  sudo prime-spark-agent detect --json > detect.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			done := cli.Progress(cmd, "Looking")
			r, err := agent.Detect(cmd.Context(), cfg)
			done()
			if err != nil {
				return err
			}
			out := cli.Output(cmd)
			if err := out.Data(r, func() { detected(out, r) }); err != nil {
				return err
			}
			if len(r.Proposals) == 0 {
				return nothingDetected(r)
			}
			return nil
		},
	}
	cli.JSON(cmd)
	return cmd
}

// nothingDetected says what to look at when no board was found.
func nothingDetected(r detect.Report) error {
	if r.BusFault != "" {
		return cli.Exit(cli.NotFound, problem.New(problem.NotFound,
			"Run this with sudo, and see that i2c.bus names the bus of the header.",
			"No UPS board was found, and the bus %s cannot be read: %s.", r.Bus, r.BusFault))
	}
	return cli.Exit(cli.NotFound, problem.New(problem.NotFound,
		"See that the board sits right, also its pogo pins, and that it is switched on. A board whose chip uses another address is found by battery.source and battery.address.",
		"No UPS board that this agent knows was found on %s.", r.Bus))
}

// detected prints what was read, and then what to paste.
func detected(out *cli.Out, r detect.Report) {
	var rows [][]any
	for _, c := range r.Chips {
		looks := "nothing that is known"
		if len(c.Fits) > 0 {
			looks = strings.Join(c.Fits, " or ") + ": " + c.Shows
		}
		if c.Shares != "" {
			looks += " (also the address of " + c.Shares + ")"
		}
		rows = append(rows, []any{c.Address, strings.Join(c.Registers, " "), looks})
	}
	if len(rows) > 0 {
		out.Table([]string{"ADDRESS", "REGISTERS", "LOOKS LIKE"}, rows)
	}
	for _, c := range r.Chips {
		for _, why := range c.Why {
			out.Line("%s %s", cli.Faint(c.Address+" is not"), why)
		}
	}
	if r.Line != nil {
		out.Line("Line %d of %s: %s", r.Line.Offset, r.Line.Chip, r.Line.Level+r.Line.Fault)
	}
	if len(r.Proposals) == 0 {
		return
	}
	out.Line("")
	out.Line("Compare with the name on the board, and paste one of these into %s:", config.Path)
	for _, p := range r.Proposals {
		out.Line("")
		out.Line("# %s", p.Boards)
		out.Line("# %s", p.Why)
		if !p.Signed {
			out.Line("# %s", cli.Warn("The chip does not say who it is; its figures are plausible only."))
		}
		for line := range strings.Lines(p.YAML) {
			out.Line("%s", strings.TrimRight(line, "\n"))
		}
	}
	out.Line("")
	out.Line("Then restart the agent and pull the plug once: prime-spark-agent doctor and the log show that it notices.")
}
