package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"primespark/shared/conf"
	"primespark/shared/identity"
)

// A Daemon is what the commands that both daemons have need to know of one.
type Daemon struct {
	Program   string // "prime-spark-agent"
	Noun      string // what a host becomes by joining: "an agent"
	Role      string // for the hint where a join code comes from: "agent"
	Reference []byte // the commented configuration file
	// Name reads the configuration and returns this node's name in it.
	Name func(cmd *cobra.Command) (string, error)
	// Moves are the keys of a configuration file that earlier releases called otherwise.
	Moves func(data []byte) ([]conf.Move, error)
	// Join makes this host a member by code, under another name if one is given.
	Join func(ctx context.Context, cmd *cobra.Command, code identity.JoinCode, name string) (identity.ID, error)
}

// JoinCommand makes the command join; about is the long help.
func (d Daemon) JoinCommand(short, about string) *cobra.Command {
	var file, name string
	cmd := &cobra.Command{
		Use: "join [CODE]", Short: short, Long: about,
		Args:    cobra.ArbitraryArgs, // JoinCode words what is wrong with them
		Example: fmt.Sprintf("  %s join --code-file code.txt\n  echo CODE | %[1]s join --code-file -", d.Program),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := d.Name(cmd); err != nil {
				return err
			}
			code, err := JoinCode(cmd, args, file)
			if err != nil {
				return err
			}
			done := Progress(cmd, "Joining")
			id, err := d.Join(cmd.Context(), cmd, code, name)
			done()
			if err != nil {
				return err
			}
			out := Output(cmd)
			return out.Data(map[string]string{"cluster": id.Cluster, "name": id.Name}, func() {
				out.Line("%s is now %s of cluster %s.", id.Name, d.Noun, id.Cluster)
				out.Line("Start it with %s run, or systemctl restart %[1]s.", d.Program)
			})
		},
	}
	cmd.Flags().StringVar(&file, "code-file", "", "`file` that holds the join code; - for standard input")
	cmd.Flags().StringVar(&name, "name", "", "`name` in the fleet, instead of the configured one")
	JSON(cmd)
	return cmd
}

// CheckCommand makes the command check.
func (d Daemon) CheckCommand() *cobra.Command {
	var reference, migrate bool
	cmd := &cobra.Command{
		Use: "check", Short: "Tell all that is wrong with the configuration, without starting anything", Args: Words(),
		Long: `Tells all that is wrong with the configuration file at once, without starting
anything. Keys of earlier releases are taken all the same, and told of; with --migrate
the file is rewritten with the names of this one, and the old file kept beside it.`,
		Example: fmt.Sprintf("  %s check --config %s.yaml\n  %[1]s check --print-default > %[2]s.yaml\n  sudo %[1]s check --migrate", d.Program, d.Role),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if reference {
				_, err := cmd.OutOrStdout().Write(d.Reference)
				return err
			}
			name, err := d.Name(cmd)
			if err != nil {
				return err
			}
			m, err := d.migrate(cmd.Flag("config").Value.String(), migrate)
			if err != nil {
				return err
			}
			m.OK, m.Name = true, name
			out := Output(cmd)
			return out.Data(m, func() {
				out.Line("The configuration is good; this %s is %s.", d.Role, name)
				d.told(out, m)
			})
		},
	}
	cmd.Flags().BoolVar(&migrate, "migrate", false, "rewrite the file with the names that keys have in this release")
	cmd.Flags().BoolVar(&reference, "print-default", false, "print the commented file of all keys at their defaults")
	JSON(cmd)
	return cmd
}
