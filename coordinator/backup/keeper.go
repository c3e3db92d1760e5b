package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/envelope"
	"primespark/shared/identity"
	"primespark/shared/problem"
	"primespark/shared/run"
)

// Group is what the keeper needs of the raft node.
type Group interface {
	State() (fsm.State, <-chan struct{})
	Read(ctx context.Context) (fsm.State, error)
	Propose(ctx context.Context, actor string, c fsm.Command) (json.RawMessage, error)
}

// A Keeper makes a backup at regular times and keeps the newest of them in a
// directory. It is a loop for the leader; what it does is recorded in the agreed
// state, by which the next leader goes on.
type Keeper struct {
	Self    string // name of this coordinator
	Dir     string // made if it is not there
	Every   time.Duration
	Keep    int // files of this cluster that stay
	To      Recipient
	Keys    func() (Keys, error) // asked for each backup: they change
	Version string
	Group   Group
	Log     *slog.Logger

	busy chan struct{} // holds one while a file is being written
}

// NewKeeper returns a keeper with those fields.
func NewKeeper(k Keeper) *Keeper {
	k.busy = make(chan struct{}, 1)
	return &k
}

func (*Keeper) String() string { return "backups" }

const (
	retry    = time.Minute      // after an attempt that failed
	patience = 10 * time.Minute // for a directory on a network that hangs
	actor    = "leader"
)

// Run makes backups until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	for {
		state, changed := k.Group.State()
		wait := time.Until(k.due(state.Backup))
		if wait <= 0 {
			k.once(ctx)
			if !run.Sleep(ctx, run.Jitter(retry)) {
				return nil
			}
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed: // another leader may have made one
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// due is when the next one is to be made. A clock that was set back does not put
// it off for longer than one period.
func (k *Keeper) due(last fsm.Backup) time.Time {
	if last.At.After(time.Now()) {
		return time.Now()
	}
	return last.At.Add(k.Every)
}

// once makes one backup and records how it went.
func (k *Keeper) once(ctx context.Context) {
	record := fsm.BackupRecord{Node: k.Self, At: time.Now().UTC()}
	path, err := k.save(ctx, record.At)
	state, _ := k.Group.State()
	switch text := words(err); {
	case ctx.Err() != nil:
		return // the next leader does it
	case err == nil:
		record.Path, record.Verified = path, time.Now().UTC()
		k.Log.Info("backup made and verified", "path", path)
	case state.Backup.Error == text:
		return // it is known
	default:
		record.Error = text
		k.Log.Warn("backup failed, trying again", "err", err, "dir", k.Dir, "remedy", "see that the directory is mounted, writable and has room")
	}
	if _, err := k.Group.Propose(ctx, actor, record); err != nil && ctx.Err() == nil {
		k.Log.Warn("backup not recorded", "err", err)
	}
}

// save reads the state and writes the file. A directory that hangs, as one on a
// network may, must not hold up the leader's other work: nobody waits longer than
// for ctx, or patience.
func (k *Keeper) save(ctx context.Context, at time.Time) (string, error) {
	select {
	case k.busy <- struct{}{}:
	default:
		return "", errors.New("the attempt before this one still hangs in " + k.Dir)
	}
	type outcome struct {
		path string
		err  error
	}
	done := make(chan outcome, 1)
	go func() { // waited for below, save where a system call never returns
		defer func() { <-k.busy }()
		state, err := k.Group.Read(ctx)
		if err != nil {
			done <- outcome{err: err}
			return
		}
		keys, err := k.Keys()
		if err != nil {
			done <- outcome{err: err}
			return
		}
		path, err := k.write(Contents{Keys: keys, State: state, At: at, Version: k.Version})
		done <- outcome{path, err}
	}()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case o := <-done:
		return o.path, o.err
	case <-timeout.C:
		return "", fmt.Errorf("writing to %s has not ended within %v", k.Dir, patience)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// Names of the files: prime-spark-<cluster>-<time>.psb, in the order of time.
const (
	prefix     = "prime-spark-"
	suffix     = ".psb"
	unfinished = ".prime-spark-backup-"
	stamp      = "20060102T150405Z"
)

func name(cluster string, at time.Time) string {
	return prefix + cluster + "-" + at.UTC().Format(stamp) + suffix
}

// write makes the file in the directory, whole and verified or not at all, and
// drops the oldest ones.
func (k *Keeper) write(c Contents) (string, error) {
	if err := os.MkdirAll(k.Dir, 0o700); err != nil {
		return "", err
	}
	path := filepath.Join(k.Dir, name(c.State.Cluster.Name, c.At))
	if _, err := SaveFile(path, c, k.To); err != nil {
		return "", err
	}
	if err := k.retire(c.State.Cluster.Name); err != nil {
		k.Log.Warn("old backups not removed", "err", err, "dir", k.Dir)
	}
	return path, nil
}

// SaveFile is Save into a file of mode 0600, which appears under its name only
// once it is whole, verified and on the disk. A file of that name is replaced.
func SaveFile(path string, c Contents, to Recipient) (envelope.Header, error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, unfinished+"*") // mode 0600
	if err != nil {
		return envelope.Header{}, fmt.Errorf("make the backup's file: %w", err)
	}
	defer os.Remove(f.Name()) // gone already when all went well
	h, err := Save(f, c, to)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return h, err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return h, fmt.Errorf("make the backup's file: %w", err)
	}
	return h, identity.SyncDir(dir)
}

// retire removes what is beyond the files to keep, and what attempts left behind
// that a power cut ended.
func (k *Keeper) retire(cluster string) error {
	list, err := os.ReadDir(k.Dir)
	if err != nil {
		return err
	}
	var ours []string
	var faults []error
	for _, e := range list {
		at, mine := strings.CutPrefix(e.Name(), prefix+cluster+"-")
		if _, err := time.Parse(stamp+suffix, at); mine && err == nil {
			ours = append(ours, e.Name())
		}
		if info, err := e.Info(); strings.HasPrefix(e.Name(), unfinished) && err == nil && time.Since(info.ModTime()) > time.Hour {
			faults = append(faults, os.Remove(filepath.Join(k.Dir, e.Name())))
		}
	}
	slices.Sort(ours)
	for _, name := range ours[:max(0, len(ours)-k.Keep)] {
		faults = append(faults, os.Remove(filepath.Join(k.Dir, name)))
	}
	return errors.Join(faults...)
}

// words are an error as the agreed state keeps it: short, and of printable text.
func words(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	if p, ok := errors.AsType[*problem.Error](err); ok {
		text = p.Detail
	} else if p, ok := errors.AsType[*fs.PathError](err); ok {
		text = filepath.Dir(p.Path) + ": " + p.Err.Error() // the file's own name is another each time
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return ' '
		}
		return r
	}, text)
	for len(text) > 250 { // at most 256 bytes are kept; whole letters
		text = strings.ToValidUTF8(text[:250], "")
	}
	return text
}
