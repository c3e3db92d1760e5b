package operator

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"primespark/shared/cli"
	"primespark/shared/envelope"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

func backupCommand(s *session) *cobra.Command {
	var recipient string
	cmd := &cobra.Command{
		Use: "backup FILE", Short: "Fetch a backup of the cluster, encrypted to your key", Args: cli.Words("FILE"),
		Long: `Fetch a backup of the cluster: its state with all that was acknowledged up to now, and
its keys, encrypted to a public key of age. It takes an admin's token. The coordinator
restores each backup on trial before it sends it. Make the key with
age-keygen -o backup.key, and keep that file away from the cluster.`,
		Example: "  prime-spark backup home.psb\n  prime-spark backup home.psb --recipient age1...",
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := os.Lstat(args[0]); !errors.Is(err, fs.ErrNotExist) {
				return cli.Misuse(cmd, "There is a file %s already; give another name.", args[0])
			}
			h, err := ask(cmd, s, "waiting for the backup", func(ctx context.Context, c *wire.Client) (envelope.Header, error) {
				return fetch(ctx, c, recipient, args[0])
			})
			if err != nil {
				return err
			}
			out := cli.Output(cmd)
			return out.Data(h, func() {
				out.Line("Cluster %s is in %s: state %d, checksum %s.", h.Cluster, args[0], h.Index, h.Checksum)
			})
		},
	}
	cmd.Flags().StringVar(&recipient, "recipient", "", "public `key` of age; that of the coordinators' configuration if not given")
	cli.JSON(cmd)
	return cmd
}

// fetch puts a backup into a file of mode 0600, which appears under its name once
// it is whole.
func fetch(ctx context.Context, c *wire.Client, recipient, path string) (h envelope.Header, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".prime-spark-backup-*") // mode 0600
	if err != nil {
		return h, badFile(err, "A backup cannot be written to "+filepath.Dir(path)+".", "Give a folder that is there, that you may write to and that has room.")
	}
	defer os.Remove(f.Name()) // gone already when all went well
	if err = c.Backup(ctx, recipient, f); err == nil {
		h, _, err = envelope.Open(f)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return h, err
	}
	return h, os.Rename(f.Name(), path)
}

func restoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Check a backup, and see how it is restored", Args: cli.Words("FILE"),
		Long: `Check that a backup is whole, and see what it is of and how it is restored. That is done
on the machine that becomes the first coordinator, with the private key; no running
cluster is changed by it.`,
		Example: "  prime-spark restore home.psb",
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := os.Open(filepath.Clean(args[0]))
			if err != nil {
				return badFile(err, "The backup "+args[0]+" cannot be read.", "Give the path of a file that prime-spark backup wrote.")
			}
			defer f.Close()
			h, _, err := envelope.Open(f)
			if errors.Is(err, envelope.ErrDamaged) {
				return cli.Exit(cli.Corrupt, &problem.Error{
					Code: problem.Invalid, Err: err, Detail: "The backup " + args[0] + " is not as it was written.",
					Remedy: "Take another one: prime-spark restore FILE tells whether it is whole.",
				})
			}
			if err != nil {
				return err
			}
			out := cli.Output(cmd)
			return out.Data(h, func() {
				out.Line("The file is whole: cluster %s of %s, state %d, checksum %s.", h.Cluster, h.At.Format(time.RFC3339), h.Index, h.Checksum)
				out.Line("If its coordinators are lost for good, restore it on a machine that is to be the first new one:")
				out.Line("  prime-spark-coordinator restore %s --key-file backup.key", args[0])
			})
		},
	}
	cli.JSON(cmd)
	return cmd
}
