package fsm

import (
	"strings"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/problem"
)

// Bounds of what is recorded of a backup, in bytes.
const (
	maxBackupPath  = 512
	maxBackupError = 256
)

// Backup is how the last scheduled backups went. It is agreed on so that every
// coordinator can show it, and so that the next leader knows when one is due.
type Backup struct {
	At       time.Time `json:"at,omitzero"`       // when the last good one was made
	Verified time.Time `json:"verified,omitzero"` // when it had been read back and its state compared
	Node     string    `json:"node,omitempty"`    // the coordinator that made it
	Path     string    `json:"path,omitempty"`    // there
	Error    string    `json:"error,omitempty"`   // of the newest attempt; empty if that was the good one
	Failed   time.Time `json:"failed,omitzero"`   // when attempts began to fail
}

// BackupRecord tells how an attempt at a scheduled backup went. Recording the
// same one again changes nothing.
type BackupRecord struct {
	Node     string    `json:"node"`
	At       time.Time `json:"at"`
	Verified time.Time `json:"verified,omitzero"`
	Path     string    `json:"path,omitempty"`
	Error    string    `json:"error,omitempty"` // empty: it was made and verified
}

// Kind is backup.record.
func (BackupRecord) Kind() Kind { return KindBackup }

func (c *change) backupRecord(cmd BackupRecord) (any, error) {
	unfit := func(s string, most int) bool {
		return len(s) > most || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
	}
	if !fleet.ValidName(cmd.Node) || cmd.At.IsZero() || unfit(cmd.Path, maxBackupPath) || unfit(cmd.Error, maxBackupError) ||
		cmd.Error == "" && (cmd.Path == "" || cmd.Verified.IsZero()) {
		return nil, problem.New(problem.Invalid, "Update all coordinators to the same version.", "The record of a backup is not valid.")
	}
	old := c.Backup
	if cmd.Error != "" {
		if old.Error == "" {
			c.Backup.Failed = cmd.At.UTC()
			c.event(Warning, cmd.Node, "A scheduled backup on %s failed: %s", cmd.Node, cmd.Error)
		}
		c.Backup.Error = cmd.Error
		return c.Backup, nil
	}
	if !cmd.At.After(old.At) {
		return old, nil // the same, or one that came late
	}
	c.Backup = Backup{At: cmd.At.UTC(), Verified: cmd.Verified.UTC(), Node: cmd.Node, Path: cmd.Path}
	switch {
	case old.Error != "":
		c.event(Info, cmd.Node, "Backups are made again: %s on %s is verified.", cmd.Path, cmd.Node)
	case old.At.IsZero():
		c.event(Info, cmd.Node, "The first scheduled backup was made and verified: %s on %s.", cmd.Path, cmd.Node)
	}
	return c.Backup, nil
}
