package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"primespark/coordinator"
	"primespark/shared/cli"
	"primespark/shared/problem"
)

func backupCommand() *cobra.Command {
	var recipient string
	cmd := &cobra.Command{
		Use: "backup FILE", Short: "Write the cluster to a file, from a coordinator that does not run", Args: cli.Words("FILE"),
		Long: `Writes all that this coordinator has of the cluster, its state and its keys, to a file
that is encrypted to a public key of age, and reads the file back to verify it. The
coordinator must not be running; of one that runs, prime-spark backup makes a backup.
Make the key with age-keygen -o backup.key, and keep that file away from the cluster.`,
		Example: "  prime-spark-coordinator backup /mnt/usb/home.psb --recipient age1...",
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			if _, err := os.Lstat(args[0]); !errors.Is(err, fs.ErrNotExist) {
				return cli.Misuse(cmd, "There is a file %s already.", args[0])
			}
			done := cli.Progress(cmd, "Writing and verifying the backup")
			made, err := coordinator.Backup(cfg, args[0], recipient)
			done()
			if err != nil {
				return damaged(err)
			}
			out := cli.Output(cmd)
			return out.Data(made, func() {
				out.Line("Cluster %s is in %s: state %d, checksum %s.", made.Cluster, args[0], made.Index, made.Checksum)
				out.Line("The file was read back and its state restored on trial. prime-spark-coordinator restore takes it.")
			})
		},
	}
	cmd.Flags().StringVar(&recipient, "recipient", "", "public `key` of age, instead of the configured backup.recipient")
	cli.JSON(cmd)
	return cmd
}

func restoreCommand() *cobra.Command {
	var keyFile, name string
	var check bool
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Make this host the first coordinator of a cluster in a backup", Args: cli.Words("FILE"),
		Long: `Makes this host, which must not be a coordinator yet, the first and only coordinator of
the cluster in a backup, with the state as it was saved. Only for a cluster whose
coordinators are lost for good: one of them that came back with its old files would
go on as if nothing had happened. Agents go on as they are and find this coordinator
by gossip. Further coordinators join it with codes, once the lost ones are revoked.`,
		Example: "  prime-spark-coordinator restore home.psb --key-file backup.key --check\n  prime-spark-coordinator restore home.psb --key-file backup.key --name c1",
		RunE: func(cmd *cobra.Command, args []string) error {
			if keyFile == "" {
				return cli.Misuse(cmd, "--key-file is missing; give the file that age-keygen -o wrote, or - for standard input.")
			}
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			if name != "" {
				cfg.Name = name
			}
			key, err := cli.ReadSecret(cmd, keyFile, "backup key")
			if err != nil {
				return err
			}
			f, err := os.Open(filepath.Clean(args[0]))
			if err != nil {
				return cli.Exit(cli.Misused, fmt.Errorf("open the backup: %w", err))
			}
			defer f.Close()
			if check {
				got, err := coordinator.CheckBackup(f, strings.NewReader(key))
				if err != nil {
					return broken(args[0], err)
				}
				return show(cmd, got, "is whole, and the key opens it")
			}
			done := cli.Progress(cmd, "Restoring")
			got, err := coordinator.Restore(cfg, f, strings.NewReader(key))
			done()
			if err != nil {
				return broken(args[0], err)
			}
			err = show(cmd, got, "is restored; "+cfg.Name+" is its only coordinator")
			if out := cli.Output(cmd); !cmd.Flags().Changed("json") {
				out.Line("Now start it: prime-spark-coordinator run, or systemctl start prime-spark-coordinator.")
				out.Line("Then, for each coordinator that is lost: prime-spark revoke NAME, and a new one joins with")
				out.Line("a code of prime-spark join-code create --role coordinator; it may have the same name.")
			}
			return err
		},
	}
	cmd.Flags().StringVar(&keyFile, "key-file", "", "`file` with the private key; - for standard input")
	cmd.Flags().StringVar(&name, "name", "", "`name` in the fleet, instead of the configured one")
	cmd.Flags().BoolVar(&check, "check", false, "only tell whether the file is whole and the key opens it")
	cli.JSON(cmd)
	return cmd
}

func show(cmd *cobra.Command, s coordinator.Saved, what string) error {
	out := cli.Output(cmd)
	return out.Data(s, func() {
		out.Line("Cluster %s of %s %s.", s.Cluster, s.At.Format(time.RFC3339), what)
		out.Line("State %d, checksum %s, nodes: %s.", s.Index, s.Checksum, strings.Join(s.Nodes, ", "))
	})
}

// broken words what is wrong with a backup that was read.
func broken(path string, err error) error {
	if !coordinator.IsCorrupt(err) {
		return err
	}
	return cli.Exit(cli.Corrupt, &problem.Error{
		Code: problem.Invalid, Err: err, Detail: "The backup " + path + " is not as it was written; nothing was restored.",
		Remedy: "Take another one; prime-spark-coordinator restore FILE --key-file KEY --check tells whether it is whole.",
	})
}

func recoverCommand() *cobra.Command {
	var fromOne bool
	cmd := &cobra.Command{
		Use: "recover --from-one", Short: "Go on with this coordinator alone, when the others are lost for good", Args: cli.Words(),
		Long: `Makes this coordinator the only voter of its group, with all that it has, so that the
cluster can decide again. Only for when most coordinators are lost for good: one of
them that came back with its old files could decide something else. Run reset --rejoin
there first, or never start it again. The coordinator must not be running.`,
		Example: "  prime-spark-coordinator recover --from-one --config /etc/prime-spark/coordinator.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !fromOne {
				return cli.Misuse(cmd, "--from-one is missing; it is asked for so that nobody splits a group by mistake.")
			}
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			got, err := coordinator.Recover(cfg)
			if err != nil {
				return damaged(err)
			}
			out := cli.Output(cmd)
			return out.Data(got, func() {
				out.Line("%s is now the only voter of its group.", got.Name)
				out.Line("Start it. Then, for each coordinator that is lost: prime-spark revoke NAME, and let new ones join.")
				if len(got.Lost) > 0 {
					out.Line("Not any more in the group: %s. They must not start again with their old files.", strings.Join(got.Lost, ", "))
				}
			})
		},
	}
	cmd.Flags().BoolVar(&fromOne, "from-one", false, "confirm that the other coordinators are lost for good")
	cli.JSON(cmd)
	return cmd
}
