package operator

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"primespark/shared/cli"
	"primespark/shared/model"
	"primespark/shared/run"
	"primespark/shared/wire"
)

func modelsCommand(s *session) *cobra.Command {
	group := cli.Group("models", "See which models the fleet has, give it others, take them away",
		modelsListCommand(s), modelsAddCommand(s), modelsRemoveCommand(s), modelsPullCommand())
	group.Long = `See which models the fleet has, give it others, take them away. A model that is
added once is fetched by every agent that can run it, now and later, and is removed
from all of them again. Without a further word, list them.`
	group.Args = cli.Words()
	group.RunE = func(cmd *cobra.Command, _ []string) error { return listModels(cmd, s) }
	return looks(group, nil)
}

func modelsListCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the models, and how each fares on each agent", Args: cli.Words(),
		Example: "  prime-spark models list\n  prime-spark models list --watch\n  prime-spark models list --json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return listModels(cmd, s) },
	}
	return looks(cmd, nil)
}

// A modelRow is a model in JSON, with its state in a word.
type modelRow struct {
	wire.FleetModel
	State  model.State `json:"state"`
	Nodes  []string    `json:"nodes"` // on which it answers
	Reason string      `json:"reason"`
}

func rowOf(m wire.FleetModel) modelRow {
	row := modelRow{FleetModel: m, State: model.Unavailable, Nodes: []string{}}
	var notes []string
	for _, on := range m.On {
		switch on.State {
		case wire.ModelReady, wire.ModelCold:
			row.Nodes = append(row.Nodes, on.Node)
			if on.State == wire.ModelCold {
				notes = append(notes, on.Node+" loads it when it is asked for")
			}
			continue
		case wire.ModelFetching, wire.ModelWaiting:
			row.State = model.Loading
		}
		text := on.Node + " " + on.State
		if on.Detail != "" {
			text += ": " + on.Detail
		}
		notes = append(notes, text)
	}
	if len(row.Nodes) > 0 {
		row.State = model.Ready
	}
	if m.Fleet && len(m.On) == 0 {
		notes = append(notes, "no agent that is to serve it is alive")
	}
	row.Reason = strings.Join(notes, "; ")
	return row
}

func listModels(cmd *cobra.Command, s *session) error {
	return look(cmd, s, func(ctx context.Context, c *wire.Client) ([]modelRow, error) {
		b, err := c.FleetModels(ctx)
		rows := make([]modelRow, len(b.Models))
		for i, m := range b.Models {
			rows[i] = rowOf(m)
		}
		return rows, err
	}, showModels)
}

func showModels(out *cli.Out, all []modelRow) {
	if len(all) == 0 {
		out.Line("No agent that is alive has a model. See prime-spark nodes, or give the fleet one with prime-spark models add.")
		return
	}
	var rows [][]any
	for _, m := range all {
		state := cli.Warn(string(m.State))
		if m.State == model.Ready {
			state = cli.Good(string(m.State))
		}
		from := "agents' own"
		if m.Fleet {
			from = size(m.Size)
		}
		rows = append(rows, []any{m.Name, cmp.Or(m.Version, "-"), from, state, cmp.Or(strings.Join(m.Nodes, " "), "-"), cmp.Or(m.Reason, "-")})
	}
	out.Table([]string{"MODEL", "VERSION", "SIZE", "STATE", "NODES", "NOTES"}, rows)
}

// size is a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

func modelsRemoveCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "Take a model out of the fleet", Args: cli.Words("NAME"),
		Long: `Take a model out of the fleet. Agents answer what they have of it under way, and
delete it. One that an agent has of its own, such as blazeface, stays.`,
		Example: "  prime-spark models remove yolox-nano",
		RunE: func(cmd *cobra.Command, args []string) error {
			if !model.ValidName(args[0]) {
				return cli.Misuse(cmd, "%q is no name of a model.", cli.Text(args[0]))
			}
			m, err := ask(cmd, s, "asking the coordinators", func(ctx context.Context, c *wire.Client) (wire.FleetModel, error) { return c.RemoveModel(ctx, args[0]) })
			if err != nil {
				return err
			}
			out := cli.Output(cmd)
			return out.Data(m, func() { out.Line("%s is removed; agents let go of it within seconds.", m.Name) })
		},
	}
	cli.JSON(cmd)
	cli.Complete(cmd, modelArguments(s))
	return cmd
}

// settled reports whether nothing more is to come of a model: each agent serves this
// package, or has said why not.
func settled(m wire.FleetModel) bool {
	for _, on := range m.On {
		if on.State == wire.ModelFetching || on.State == wire.ModelWaiting ||
			(on.State == wire.ModelReady || on.State == wire.ModelCold) && on.Version != m.Version {
			return false
		}
	}
	return true
}

// await looks at a model until it is settled, or the time is over.
func await(ctx context.Context, c *wire.Client, m wire.FleetModel, patience time.Duration, see func(wire.FleetModel)) (wire.FleetModel, error) {
	for end := time.Now().Add(patience); ; {
		see(m)
		if settled(m) || !time.Now().Before(end) || !run.Sleep(ctx, min(time.Second, time.Until(end))) {
			return m, nil
		}
		all, err := c.FleetModels(ctx)
		if err != nil {
			return m, err
		}
		for _, now := range all.Models {
			if now.Name == m.Name {
				m = now
			}
		}
	}
}
