package checkup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"primespark/shared/doctor"
	"primespark/shared/wire"
)

// A Log is what the group decided, on this coordinator's disk.
type Log struct {
	Running bool // the daemon runs, which has it open
	// Verify checks each byte of it; fs.ErrNotExist is of one that is not there yet.
	Verify func() error
	Busy   error // of Verify, where another process has it open
}

// Checks are those of the log.
func (l Log) Checks() []doctor.Check {
	return []doctor.Check{{Section: "disk", Name: "log", Look: l.look}}
}

func (l Log) look(context.Context) []doctor.Result {
	const held = "The running coordinator has it, and checked all of it when it started"
	if l.Running {
		return doctor.One(doctor.OK, held, "")
	}
	switch err := l.Verify(); {
	case err == nil:
		return doctor.One(doctor.OK, "Every record of it is as it was written", "")
	case errors.Is(err, fs.ErrNotExist):
		return doctor.One(doctor.Info, "There is no log yet; the coordinator makes it when it starts.", "")
	case errors.Is(err, l.Busy):
		return doctor.One(doctor.OK, held, "")
	case errors.Is(err, fs.ErrPermission):
		return doctor.One(doctor.Info, "The log may not be read by this user.", "Run it with sudo.")
	default:
		return []doctor.Result{{Severity: doctor.Fault, Code: "corrupt_store", Detail: err.Error() + ".", Remedy: "sudo prime-spark-coordinator reset --rejoin, if the other coordinators are well; else restore a backup: prime-spark-coordinator restore."}}
	}
}

// Backups are those that the leader makes by itself.
type Backups struct {
	Configured bool
	Every      time.Duration // between two
	Known      bool          // a coordinator told of them
	Last       *wire.BackupStatus
	Now        time.Time
}

// Checks are those of the backups.
func (b Backups) Checks() []doctor.Check {
	return []doctor.Check{{Section: "backup", Name: "age", Look: b.look}}
}

// late is after how many times their interval backups are overdue, as for the alert.
const late = 3

func (b Backups) look(context.Context) []doctor.Result {
	const see = "See that backup.dir is mounted and writable on every coordinator, and has room."
	switch {
	case !b.Configured:
		return []doctor.Result{{
			Severity: doctor.Info, Code: "backup.none", Detail: "No backups are made by themselves.",
			Remedy: "Set backup.dir and backup.recipient on every coordinator (age-keygen -o backup.key prints a recipient); until then: prime-spark backup FILE.",
		}}
	case !b.Known:
		return doctor.One(doctor.Info, "How old the newest backup is, the running coordinators would tell.", "sudo systemctl start prime-spark-coordinator")
	case b.Last == nil || b.Last.VerifiedAt.IsZero() && b.Last.Error == "":
		return []doctor.Result{{Severity: doctor.Warning, Code: "backup.overdue", Detail: fmt.Sprintf("No backup has been made yet; one is due each %v.", b.Every), Remedy: "The leader makes the first within that time. " + see}}
	case b.Last.Error != "":
		return []doctor.Result{{Severity: doctor.Warning, Code: "backup_failed", Detail: "The newest backup could not be made: " + b.Last.Error + ".", Remedy: see}}
	}
	age := b.Now.Sub(b.Last.VerifiedAt).Round(time.Minute)
	if age > late*b.Every {
		return []doctor.Result{{Severity: doctor.Warning, Code: "backup.overdue", Detail: fmt.Sprintf("The newest backup is %v old, and one is due each %v.", age, b.Every), Remedy: see}}
	}
	return doctor.One(doctor.OK, fmt.Sprintf("The newest is %v old, was restored on trial, and lies on %s: %s", age, b.Last.Node, b.Last.Path), "")
}
