package operator

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"primespark/shared/cli"
	"primespark/shared/fleet"
	"primespark/shared/mesh"
	"primespark/shared/wire"
)

func meshCommand(s *session) *cobra.Command {
	var stale bool
	cmd := &cobra.Command{
		Use: "mesh", Short: "See who reaches whom in the fleet's WireGuard network, and let phones and laptops in", Args: cli.Words(),
		Long: `See who reaches whom in the fleet's WireGuard network: directly or through which
hub, when the tunnel was last made anew, how long a packet takes there and back,
and how many get lost. It is what the nodes say, some seconds ago.`,
		Example: "  prime-spark mesh --watch\n  prime-spark mesh export phone",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cli.Again(cmd, passing, func(out *cli.Out) error {
				b, err := meshView(cmd, s, stale)
				if err != nil {
					return err
				}
				return out.Data(b, func() { showMesh(out, b, time.Now()) })
			})
		},
	}
	looks(cmd, &stale)
	cmd.AddCommand(meshExportCommand(s), meshRevokeCommand(s), meshRotateCommand(s))
	return cmd
}

func meshView(cmd *cobra.Command, s *session, stale bool) (wire.MeshViewBody, error) {
	return ask(cmd, s, "asking the coordinators", func(ctx context.Context, c *wire.Client) (wire.MeshViewBody, error) {
		c.Stale = stale
		return c.MeshView(ctx)
	})
}

func showMesh(out *cli.Out, b wire.MeshViewBody, now time.Time) {
	if len(b.Nodes) == 0 {
		out.Line("No node takes part in a mesh. Set mesh.enabled: true on coordinators and agents.")
		return
	}
	hubs := 0
	var rows [][]any
	for _, n := range b.Nodes {
		if n.Hub != nil {
			hubs++
		}
		rows = append(rows, linkRows(n)...)
	}
	out.Line("Map %d: %s, %s, %s, in %s.", b.Version, number(len(b.Nodes), "node"), number(hubs, "hub"), number(len(b.Clients), "client"), b.Prefix)
	out.Line("")
	out.Table([]string{"NODE", "IS", "REACHES", "VIA", "HANDSHAKE", "RTT", "LOSS", "MTU"}, rows)
	if len(b.Clients) > 0 {
		out.Line("")
		rows = nil
		for _, c := range b.Clients {
			end := any(clock(c.Expires))
			if !c.Expires.After(now) {
				end = cli.Warn("over")
			}
			rows = append(rows, []any{c.Name, c.Address, end, c.By})
		}
		out.Table([]string{"CLIENT", "ADDRESS", "UNTIL", "APPROVED BY"}, rows)
	}
	notes := meshNotes(b)
	if len(notes) > 0 {
		out.Line("")
	}
	for _, note := range notes {
		out.Line("%s", cli.Warn(note))
	}
}

// linkRows are the rows of a node: one for each link, or one that says that none is
// known.
func linkRows(n wire.MeshNodeBody) (rows [][]any) {
	is := string(n.Role)
	if n.Hub != nil {
		is = "hub"
		if n.Hub.Draining {
			is = "hub, draining"
		}
	}
	if n.Report == nil || len(n.Report.Links) == 0 {
		return [][]any{{n.Name, is, "-", "-", "-", "-", "-", "-"}}
	}
	for i, l := range n.Report.Links {
		name, what := n.Name, is
		if i > 0 {
			name, what = "", ""
		}
		reaches := any(l.Peer)
		if !l.Up {
			reaches = cli.Bad(l.Peer + " (down)")
		}
		rows = append(rows, []any{name, what, reaches, cmp.Or(l.Via, "direct"), age(l.Handshake), millis(l.RTT), fmt.Sprintf("%.0f %%", 100*l.Loss), mtu(cmp.Or(l.MTU, n.Report.MTU))})
	}
	return rows
}

func age(seconds float64) string {
	if seconds == 0 {
		return "-"
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}

func millis(ms float64) string {
	if ms == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f ms", ms)
}

func mtu(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

func number(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// meshNotes are what somebody should look at.
func meshNotes(b wire.MeshViewBody) (notes []string) {
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	hubs := 0
	for _, n := range b.Nodes {
		if n.Hub != nil && !n.Hub.Draining {
			hubs++
		}
		if n.Wanted > 0 {
			note("%s was asked for a new key and has not followed yet.", n.Name)
		}
		if n.Report == nil {
			if n.Liveness != fleet.Dead {
				note("%s tells nothing of the mesh: it is not heard, or its mesh is switched off.", n.Name)
			}
			continue
		}
		for _, e := range mesh.Explain(n.Report.Facts) {
			note("%s: %s %s", n.Name, e.Detail, e.Remedy)
		}
		if v := n.Report.Version; v != b.Version {
			note("%s has map %d, and %d is the newest.", n.Name, v, b.Version)
		}
	}
	switch hubs {
	case 0:
		note("There is no hub: nodes reach each other within one network only. Set mesh.hub: true on two coordinators.")
	case 1:
		note("There is one hub: when it is lost, nodes of different networks are cut off. Have a second one.")
	}
	if len(b.Outside) > 0 {
		note("Not in the mesh: %s. Set mesh.enabled: true there.", strings.Join(b.Outside, " "))
	}
	return notes
}

func meshRevokeCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use: "revoke CLIENT", Short: "Shut a phone or a laptop out of the mesh; its key never comes back", Args: cli.Words("CLIENT"),
		Example: "  prime-spark mesh revoke phone",
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := ask(cmd, s, "asking the coordinators", func(ctx context.Context, c *wire.Client) (struct{}, error) {
				return struct{}{}, c.ExpelFromMesh(ctx, args[0])
			})
			if err != nil {
				return err
			}
			out := cli.Output(cmd)
			return out.Data(map[string]string{"revoked": args[0]}, func() {
				out.Line("The client %s is out of the mesh; hubs drop it within seconds.", args[0])
			})
		},
	}
	cli.JSON(cmd)
	return cmd
}

func meshRotateCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use: "rotate [NODE...]", Short: "Ask nodes for new keys of the mesh; all, if none is named", Args: cobra.ArbitraryArgs,
		Long: `Ask nodes for new keys of the mesh; all, if none is named. Each makes its key
itself, the others learn it, and the older one goes when no tunnel uses it: no
packet is lost. Files that were exported name the keys of hubs: when a hub got
another one, export them again.`,
		Example: "  prime-spark mesh rotate pi-kitchen\n  prime-spark mesh rotate",
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := ask(cmd, s, "asking the coordinators", func(ctx context.Context, c *wire.Client) (wire.MeshRotateBody, error) {
				return c.RotateMesh(ctx, args...)
			})
			if err != nil {
				return err
			}
			out := cli.Output(cmd)
			return out.Data(b, func() {
				if len(b.Asked) == 0 {
					out.Line("All of them have been asked before. See prime-spark mesh.")
					return
				}
				out.Line("Asked for new keys: %s. See prime-spark mesh.", strings.Join(b.Asked, " "))
			})
		},
	}
	cli.JSON(cmd)
	return cmd
}
