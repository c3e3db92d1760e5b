package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"primespark/agent"
	"primespark/agent/power"
	"primespark/shared/cli"
	"primespark/shared/problem"
)

func explainCommand() *cobra.Command {
	var at string
	var all bool
	cmd := &cobra.Command{
		Use: "explain", Short: "Say why this node went down, and what its battery looked like", Args: cli.Words(),
		Long: `Tells why the node went down the last time, or around the time that --at names, by
the evidence that the agent wrote down before: what the sensors said, the limits that it
was held against, and what led to it. The agent may run or not.`,
		Example: "  sudo prime-spark-agent explain\n  sudo prime-spark-agent explain --at 03:12\n  sudo prime-spark-agent explain --all --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			when, err := moment(at, time.Now())
			if err != nil {
				return cli.Misuse(cmd, "--at is %q; give a time as in 03:12 or 2026-11-23T03:12:00Z.", at)
			}
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			told, err := agent.Explain(cfg)
			if err != nil {
				return err
			}
			if x, ok := power.Around(told, when); at != "" && ok {
				told = []power.Explanation{x}
			} else if !all {
				told = told[:min(1, len(told))]
			}
			if len(told) == 0 {
				return cli.Exit(cli.NotFound, problem.New(problem.NotFound,
					"It tells of times since the agent has watched a battery: see battery.source in the config. For others: journalctl --list-boots.",
					"Nothing is known of a time that this node went down."))
			}
			out := cli.Output(cmd)
			return out.Data(told, func() {
				for _, x := range told {
					explained(out, x)
				}
			})
		},
	}
	cmd.Flags().StringVar(&at, "at", "", "the `time` that it was down around, as in 03:12")
	cmd.Flags().BoolVar(&all, "all", false, "all times that are known of, the newest first")
	cli.JSON(cmd)
	return cmd
}

// moment reads a time; one without a date is the last such time of day.
func moment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return now, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	t, err := time.ParseInLocation("15:04", text, now.Location())
	if err != nil {
		return t, err
	}
	t = time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), 0, 0, now.Location())
	if t.After(now) {
		t = t.AddDate(0, 0, -1)
	}
	return t, nil
}

// clock is a moment for people of this host.
func clock(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

func explained(out *cli.Out, x power.Explanation) {
	head := "This node went down at " + clock(x.Down)
	if !x.Known {
		head = "This node was last heard of at " + clock(x.Down)
	}
	if x.Up != nil {
		head += " and started again at " + clock(*x.Up)
	}
	out.Line("%s.", cli.Strong(head))
	out.Line("%s", x.Why)
	if e := x.Evidence; e.Limits != "" {
		out.Line("It knew then: %s. Its limits: %s.", known(e), e.Limits)
	}
	var rows [][]any
	for _, e := range x.Before[max(0, len(x.Before)-12):] {
		rows = append(rows, []any{clock(e.At), string(e.Page), string(e.Mode), known(e.Evidence), e.Why})
	}
	out.Table([]string{"TIME", "WHAT", "MODE", "KNOWN", "WHY"}, rows)
}

// known is what was known of the power, in words.
func known(e power.Evidence) string {
	words := map[power.AC]string{power.ACYes: "mains", power.ACNo: "no mains", power.ACUnknown: "mains unknown"}[e.AC]
	if e.Charge != nil {
		words += fmt.Sprintf(", %.0f %% by %s", 100**e.Charge, e.From)
	}
	if e.Volts > 0 {
		words += fmt.Sprintf(", %.2f V a cell", e.Volts)
	}
	if e.Minutes != nil {
		words += fmt.Sprintf(", %.0f min left", *e.Minutes)
	}
	if e.Gauge == power.Failed {
		words += ", gauge dead"
	}
	if e.Line == power.Failed {
		words += ", sense of the mains dead"
	}
	return words
}
