package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"primespark/shared/cli"
	"primespark/shared/model"
	"primespark/shared/problem"
	"primespark/shared/run"
	"primespark/shared/wire"
)

func routeCommand(s *session) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "explain", Short: "See which node would answer, and why", Args: cli.Words(),
		Example: "  prime-spark route explain --model blazeface",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !model.ValidName(name) {
				return cli.Misuse(cmd, "--model is %q; a model's name is 1 to 64 of a-z, 0-9, dot, underscore and hyphen.", cli.Text(name))
			}
			return look(cmd, s, func(ctx context.Context, c *wire.Client) (wire.RouteBody, error) { return c.Route(ctx, name) }, showRoute)
		},
	}
	cmd.Flags().StringVar(&name, "model", "blazeface", "the model that is asked for")
	cli.CompleteFlag(cmd, "model", modelFlag(s))
	return looks(cmd, nil)
}

func showRoute(out *cli.Out, b wire.RouteBody) {
	var rows [][]any
	for i, c := range b.Candidates {
		var terms []string
		for _, name := range slices.Sorted(maps.Keys(c.Terms)) {
			terms = append(terms, fmt.Sprintf("%s %.4g", name, c.Terms[name]))
		}
		rows = append(rows, []any{fmt.Sprint(i + 1), cli.Good(c.Node), fmt.Sprintf("%.2f", c.Score), strings.Join(terms, ", "), c.Reason})
	}
	for _, r := range b.Rejected {
		rows = append(rows, []any{"-", cli.Bad(r.Node), "-", "-", r.Reason})
	}
	if len(b.Candidates) == 0 {
		out.Line("No node would answer for %s.", b.Model)
	}
	if len(rows) > 0 {
		out.Table([]string{"ORDER", "NODE", "SCORE", "TERMS", "WHY"}, rows)
	}
}

func eventsCommand(s *session) *cobra.Command {
	var follow bool
	var limit int
	var after string
	cmd := &cobra.Command{
		Use: "events", Short: "See what happened, newest last", Args: cli.Words(),
		Long:    "See what happened, newest last. With --json, each event is one line.",
		Example: "  prime-spark events --limit 20\n  prime-spark events --follow --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || limit > 1000 {
				return cli.Misuse(cmd, "--limit is %d; give 1 to 1000.", limit)
			}
			out := cli.Output(cmd)
			if follow {
				return followEvents(cmd, s, out, after)
			}
			all, err := ask(cmd, s, "asking the coordinators", func(ctx context.Context, c *wire.Client) ([]wire.Event, error) { return c.Events(ctx, after, limit) })
			if err != nil {
				return err
			}
			for _, e := range all {
				if err := showEvent(out, e); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&follow, "follow", false, "go on as things happen, until interrupted")
	cmd.Flags().IntVar(&limit, "limit", 50, "at most so many")
	cmd.Flags().StringVar(&after, "after", "", "only what came after the event with this id")
	cli.JSON(cmd)
	return cmd
}

// followEvents goes on after a stream that broke, with another coordinator if
// need be, until the user has had enough or nobody can be reached for --timeout.
func followEvents(cmd *cobra.Command, s *session, out *cli.Out, after string) error {
	_, cancel, client, err := s.client(cmd)
	if err != nil {
		return err
	}
	cancel() // a stream has no end, so no timeout
	ctx := cmd.Context()
	heard := time.Now()
	for {
		var broke error
		for m, err := range client.Stream(ctx, after) {
			if err != nil {
				broke = err
				break
			}
			heard = time.Now()
			if m.Type != wire.MessageEvent {
				continue
			}
			var e wire.Event
			if err := json.Unmarshal(m.Data, &e); err != nil {
				return &problem.Error{
					Code: problem.Unexpected, Detail: "The stream has an event that is none.",
					Remedy: "Check that this program is not older than the coordinators.", Err: err,
				}
			}
			after = e.ID
			if err := showEvent(out, e); err != nil {
				return err
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil // interrupted, as it is meant to end
		case time.Since(heard) > s.timeout || !passing(broke):
			return broke
		}
		if !run.Sleep(ctx, run.Jitter(time.Second)) {
			return nil
		}
	}
}

// passing reports whether a stream that ended so may be taken up again.
func passing(err error) bool {
	e, ok := errors.AsType[*problem.Error](err)
	return ok && slices.Contains([]problem.Code{problem.Unreachable, problem.NotReady, problem.NoLeader, problem.NoQuorum}, e.Code)
}

func showEvent(out *cli.Out, e wire.Event) error {
	return out.Row(e, func() {
		severity := cli.Faint(e.Severity)
		switch e.Severity {
		case "warning":
			severity = cli.Warn(e.Severity)
		case "error":
			severity = cli.Bad(e.Severity)
		}
		about := ""
		if e.Node != "" {
			about = " " + e.Node + ":"
		}
		out.Line("%s %s %s%s %s %s", clock(e.At), severity, e.Code, about, e.Detail, cli.Faint(e.Remedy))
	})
}
