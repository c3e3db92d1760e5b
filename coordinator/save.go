package coordinator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"primespark/coordinator/backup"
	"primespark/coordinator/config"
	"primespark/coordinator/consensus"
	"primespark/coordinator/fsm"
	"primespark/shared/health"
	"primespark/shared/problem"
	"primespark/shared/run"
	"primespark/shared/version"
)

// keepBackups are the leader's loops for the backups that are configured: one,
// or none.
func keepBackups(cfg config.Config, keys func() (backup.Keys, error), node *consensus.Node, log *slog.Logger) ([]run.Part, error) {
	if cfg.Backup.Dir == "" {
		return nil, nil
	}
	to, err := backup.ParseRecipient(cfg.Backup.Recipient)
	if err != nil {
		return nil, fmt.Errorf("backup.recipient: %w", err)
	}
	return []run.Part{backup.NewKeeper(backup.Keeper{
		Self: cfg.Name, Dir: cfg.Backup.Dir, Every: cfg.Backup.Every.D(), Keep: cfg.Backup.Keep, To: to,
		Keys: keys, Version: version.Number, Group: node, Log: log,
	})}, nil
}

// backupHealth keeps the condition that tells of backups that are not made, on
// every coordinator: the leader may be the one that is not asked.
func backupHealth(cfg config.Backup, state func() (fsm.State, <-chan struct{}), conditions *health.Registry) run.Part {
	return run.Func("backup health", func(ctx context.Context) error {
		if cfg.Dir == "" {
			<-ctx.Done()
			return nil
		}
		for since := time.Now(); ; {
			s, changed := state()
			if detail := backupTrouble(s.Backup, cfg.Every.D(), since, time.Now()); detail != "" {
				conditions.Set(health.BackupFailed, health.Warning, detail, "See that backup.dir is mounted and writable on every coordinator, and has room.")
			} else {
				conditions.Clear(health.BackupFailed)
			}
			timer := time.NewTimer(time.Minute)
			select {
			case <-timer.C:
			case <-changed:
			case <-ctx.Done():
			}
			timer.Stop()
			if ctx.Err() != nil {
				return nil
			}
		}
	})
}

// backupTrouble says what is wrong with the backups of a coordinator that runs
// since then; empty if nothing is.
func backupTrouble(b fsm.Backup, every time.Duration, since, now time.Time) string {
	last := b.Verified
	if since.After(last) {
		last = since // nobody made any while nobody ran
	}
	switch {
	case b.Error != "":
		return fmt.Sprintf("The newest backup could not be made: %s.", b.Error)
	case now.Sub(last) > 3*every:
		return fmt.Sprintf("No backup has been made for %v, and one is due each %v.", now.Sub(last).Round(time.Minute), every)
	}
	return ""
}

// A saver makes backups that are asked for.
type saver struct {
	cfg  config.Config
	keys func() (backup.Keys, error)
}

// Save returns a verified backup of the state, and its size in bytes. The
// configured recipient goes before the caller's: who got hold of an admin's token
// must not get at the cluster's keys by it.
func (s saver) Save(state fsm.State, recipient string) (io.ReadCloser, int64, error) {
	switch own := s.cfg.Backup.Recipient; {
	case own == "" && recipient == "":
		return nil, 0, problem.New(problem.Invalid, "Give one with --recipient age1..., or set backup.recipient; age-keygen -o backup.key makes one.",
			"There is no public key to encrypt the backup to.")
	case own != "" && recipient != "" && recipient != own:
		return nil, 0, problem.New(problem.Forbidden, "Leave the recipient out, or change backup.recipient on the coordinators.",
			"This cluster's backups are encrypted to the key in its configuration, and to no other.")
	case own != "":
		recipient = own
	}
	to, err := backup.ParseRecipient(recipient)
	if err != nil {
		return nil, 0, err
	}
	keys, err := s.keys()
	if err != nil {
		return nil, 0, err
	}
	f, err := os.CreateTemp(s.cfg.StateDir, ".backup-*") // mode 0600, and encrypted
	if err != nil {
		return nil, 0, fmt.Errorf("make a file for the backup: %w", err)
	}
	size, err := fill(f, backup.Contents{Keys: keys, State: state, At: time.Now(), Version: version.Number}, to)
	// The name is not needed any more: the room is given back when f is closed.
	if err = errors.Join(err, os.Remove(f.Name())); err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, size, nil
}

// fill leaves f at its beginning.
func fill(f *os.File, c backup.Contents, to backup.Recipient) (size int64, err error) {
	if _, err := backup.Save(f, c, to); err != nil {
		return 0, err
	}
	if size, err = f.Seek(0, io.SeekEnd); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	return size, err
}
