// Package operator is the commands of the operator's command line, all but the
// demo: each reads its flags, makes one or two calls of shared/wire, and prints.
package operator

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"primespark/coordinator/cmd/prime-spark/internal/settings"
	"primespark/shared/cli"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

// Root makes the whole command.
func Root() *cobra.Command {
	root := cli.Root("prime-spark", "Look after a Prime Spark fleet", `Look after a Prime Spark fleet: see how it fares, let nodes in and out, have
a model look at an image, now or as a task.

The coordinators' addresses, the token and the cluster's certificate authority
are kept in ~/.config/prime-spark by "prime-spark login"; flags go before them.`)
	root.Example = "  prime-spark demo\n  prime-spark login --server https://10.0.0.1:7480 --ca-file ca.crt\n  prime-spark status"
	var s session
	flags := root.PersistentFlags()
	flags.StringSliceVar(&s.servers, "server", nil, "address of a coordinator, as https://10.0.0.1:7480; may be given several times")
	flags.StringVar(&s.tokenFile, "token-file", "", "file that holds the token; - for standard input")
	flags.StringVar(&s.caFile, "ca-file", "", "the cluster's certificate authority, PEM")
	flags.DurationVar(&s.timeout, "timeout", 30*time.Second, "give up after this long")
	root.AddCommand(
		statusCommand(&s), nodesCommand(&s), nodeCommand(&s),
		cli.Group("join-code", "Let nodes join", joinCodeCommand(&s)),
		actionCommand(&s, wire.Approve, "Let a pending node take part"),
		actionCommand(&s, wire.Drain, "Give a node no new work; it finishes what it has"),
		actionCommand(&s, wire.Undrain, "Give a drained node work again"),
		actionCommand(&s, wire.Revoke, "Shut a node out for good: its certificate is refused from now on"),
		coordinatorsCommand(&s),
		inferCommand(&s), modelsCommand(&s), tasksCommand(&s), benchCommand(&s),
		cli.Group("route", "See where requests go", routeCommand(&s)),
		eventsCommand(&s), alertsCommand(&s), loginCommand(&s),
		cli.Group("token", "Let people and programs in", tokenCommand(&s), tokenListCommand(&s), tokenRevokeCommand(&s)),
		cli.Group("gossip-key", "Change the key of the gossip", gossipRotateCommand(&s), gossipStatusCommand(&s)),
		meshCommand(&s),
		backupCommand(&s), restoreCommand(), upgradeCommand(&s),
	)
	return root
}

// A session is the flags that all commands share.
type session struct {
	servers   []string
	tokenFile string
	caFile    string
	timeout   time.Duration

	made *wire.Client // once it was asked for; a token on standard input can be read once
}

// client puts flags and settings together. The context it returns ends with the
// command's, or after --timeout.
func (s *session) client(cmd *cobra.Command) (context.Context, context.CancelFunc, *wire.Client, error) {
	if s.timeout <= 0 {
		return nil, nil, nil, cli.Misuse(cmd, "--timeout is %v; give it a time above zero, as in 30s.", s.timeout)
	}
	if s.made == nil {
		var err error
		if s.made, err = s.dial(cmd); err != nil {
			return nil, nil, nil, err
		}
	}
	s.made.Stale = false // as a call before may have left it
	ctx, cancel := context.WithTimeout(cmd.Context(), s.timeout)
	return ctx, cancel, s.made, nil
}

// dial makes the client that flags and settings name.
func (s *session) dial(cmd *cobra.Command) (*wire.Client, error) {
	set, err := s.settings(cmd)
	if err != nil {
		return nil, err
	}
	var token string
	if set.TokenFile != "" {
		if token, err = cli.ReadSecret(cmd, set.TokenFile, "token"); err != nil {
			return nil, err
		}
	}
	var ca []byte
	if set.CAFile != "" {
		if ca, err = settings.ReadCA(set.CAFile); err != nil {
			return nil, cli.Exit(cli.Misused, err)
		}
	}
	return wire.Pinned(set.Servers, token, ca), nil
}

// settings are those of the user's file, with the flags over them.
func (s *session) settings(cmd *cobra.Command) (settings.Settings, error) {
	var set settings.Settings
	dir, err := settings.Dir()
	if err == nil {
		set, err = settings.Load(dir)
	}
	if err != nil && len(s.servers) == 0 { // whoever gives the server may do without a file
		return set, cli.Exit(cli.Misused, err)
	}
	if len(s.servers) > 0 {
		// The token and the authority of the file are for the file's servers.
		set = settings.Settings{Servers: s.servers}
	}
	if s.tokenFile != "" {
		set.TokenFile = s.tokenFile
	}
	if s.caFile != "" {
		set.CAFile = s.caFile
	}
	if len(set.Servers) == 0 {
		return set, cli.Exit(cli.Misused, problem.New(problem.Invalid,
			"Run prime-spark login, or give --server https://HOST:7480; prime-spark demo needs none.", "No coordinator's address is set."))
	}
	for _, server := range set.Servers {
		if err := settings.CheckServer(server); err != nil {
			return set, cli.Misuse(cmd, "--server: %v.", err)
		}
	}
	return set, nil
}

// ask makes one call, with a word on the terminal if it takes long.
func ask[T any](cmd *cobra.Command, s *session, what string, call func(context.Context, *wire.Client) (T, error)) (T, error) {
	var none T
	ctx, cancel, client, err := s.client(cmd)
	if err != nil {
		return none, err
	}
	defer cancel()
	defer cli.Progress(cmd, what)()
	v, err := call(ctx, client)
	if err != nil {
		return none, late(cmd, ctx, s, err)
	}
	return v, nil
}

// late words the end of --timeout, and has every other error name the next command.
func late(cmd *cobra.Command, ctx context.Context, s *session, err error) error {
	if ctx.Err() == nil || cmd.Context().Err() != nil || !problem.Is(err, problem.Unreachable) {
		return advised(err)
	}
	return &problem.Error{
		Code: problem.Unreachable, Err: err,
		Detail: "No answer came within " + s.timeout.String() + ".",
		Remedy: "Check that a coordinator runs there, or give it more time with --timeout.",
	}
}

// badFile is an error of whoever named a file that is of no use.
func badFile(err error, detail, remedy string) error {
	return cli.Exit(cli.Misused, &problem.Error{Code: problem.Invalid, Err: err, Detail: detail, Remedy: remedy})
}

// readInput reads a file that an argument names, or standard input for "-".
func readInput(cmd *cobra.Command, path string, most int64) ([]byte, error) {
	in := cmd.InOrStdin()
	if path != "-" {
		f, err := os.Open(filepath.Clean(path))
		if err != nil {
			return nil, badFile(err, "The file "+path+" cannot be read.", "Give the path of a file, or - for standard input.")
		}
		defer f.Close()
		in = f
	}
	return readAll(cmd, in, path, most)
}
