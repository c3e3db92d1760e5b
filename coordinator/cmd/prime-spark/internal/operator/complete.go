package operator

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"primespark/shared/fleet"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// typingTime is how long somebody waits for a name to be completed.
const typingTime = 2 * time.Second

// typed asks the coordinators while somebody types. What goes wrong completes nothing:
// there is no room for an error.
func typed(cmd *cobra.Command, s *session, names func(context.Context, *wire.Client) []string) []string {
	if s.tokenFile == "-" { // standard input is the shell's
		return nil
	}
	ctx, cancel, client, err := s.client(cmd)
	if err != nil {
		return nil
	}
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, typingTime)
	defer cancel()
	client.Stale = true
	return names(ctx, client)
}

// nodeNames are those of the nodes for which all of the conditions hold, for the
// first argument of a command.
func nodeNames(s *session, conditions ...func(wire.NodeBody) bool) func(*cobra.Command, []string) []string {
	return func(cmd *cobra.Command, args []string) []string {
		if len(args) > 0 {
			return nil
		}
		return typed(cmd, s, func(ctx context.Context, c *wire.Client) (names []string) {
			nodes, err := c.Nodes(ctx)
			if err != nil {
				return nil
			}
			for _, n := range nodes {
				if !slices.ContainsFunc(conditions, func(holds func(wire.NodeBody) bool) bool { return !holds(n) }) {
					names = append(names, n.Name)
				}
			}
			return names
		})
	}
}

// coordinatorNames are those that can be taken out of the group.
func coordinatorNames(s *session) func(*cobra.Command, []string) []string {
	return nodeNames(s, func(n wire.NodeBody) bool { return n.Role == fleet.Coordinator && n.State != "revoked" })
}

// fits reports whether an action makes sense for a node as it stands.
func fits(a wire.Action) func(wire.NodeBody) bool {
	return func(n wire.NodeBody) bool {
		switch a {
		case wire.Approve:
			return n.State == "pending"
		case wire.Drain:
			return n.State == "approved" && n.Role == fleet.Agent
		case wire.Undrain:
			return n.State == "draining"
		}
		return n.State != "revoked"
	}
}

// modelFlag are the models that agents have ready.
func modelFlag(s *session) func(*cobra.Command) []string {
	return func(cmd *cobra.Command) []string {
		return typed(cmd, s, func(ctx context.Context, c *wire.Client) (names []string) {
			rows, err := c.Models(ctx)
			if err != nil {
				return nil
			}
			for _, m := range rows {
				names = append(names, m.Name)
			}
			return names
		})
	}
}

// modelArguments are those that the fleet was given, for the first argument.
func modelArguments(s *session) func(*cobra.Command, []string) []string {
	return func(cmd *cobra.Command, args []string) []string {
		if len(args) > 0 {
			return nil
		}
		return typed(cmd, s, func(ctx context.Context, c *wire.Client) (names []string) {
			b, err := c.FleetModels(ctx)
			if err != nil {
				return nil
			}
			for _, m := range b.Models {
				if m.Fleet {
					names = append(names, m.Name)
				}
			}
			return names
		})
	}
}

// taskIDs are those of the newest tasks in one of the states, or in any.
func taskIDs(s *session, states ...task.State) func(*cobra.Command, []string) []string {
	return func(cmd *cobra.Command, args []string) []string {
		if len(args) > 0 {
			return nil
		}
		return typed(cmd, s, func(ctx context.Context, c *wire.Client) (ids []string) {
			b, err := c.Tasks(ctx, "", "", pageSize)
			if err != nil {
				return nil
			}
			for _, t := range b.Tasks {
				if len(states) == 0 || slices.Contains(states, t.State) {
					ids = append(ids, t.ID)
				}
			}
			return ids
		})
	}
}

// always completes by names that do not change.
func always(names ...string) func(*cobra.Command) []string {
	return func(*cobra.Command) []string { return names }
}
