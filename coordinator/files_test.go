package coordinator

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"

	"primespark/coordinator/config"
	"primespark/shared/identity"
	"primespark/shared/problem"
)

// member is a founded coordinator that has not run yet.
func member(t *testing.T) config.Config {
	t.Helper()
	cfg := config.Default()
	cfg.Name, cfg.StateDir = "c1", t.TempDir()
	if _, err := Init(t.Context(), cfg, "home"); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestResetLeavesARunningCoordinatorAlone: a log that is moved away under it
// would go on taking what others count on, where nobody finds it.
func TestResetLeavesARunningCoordinatorAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := member(t)
		if _, err := Reset(cfg); !problem.Is(err, problem.NotFound) {
			t.Errorf("without a log: %v", err)
		}
		log := filepath.Join(raftDir(cfg), "raft.db")
		if err := os.Mkdir(raftDir(cfg), 0o700); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(log)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil { // as the log store does
			t.Fatal(err)
		}
		if aside, err := Reset(cfg); err == nil {
			t.Errorf("the log was moved to %s while it was in use", aside)
		}
		if _, err := os.Stat(log); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil { // the coordinator has ended
			t.Fatal(err)
		}
		aside, err := Reset(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(aside, "raft.db")); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(log); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the log is still there: %v", err)
		}
	})
}

// TestAnotherClustersLogIsNotTakenOver: its votes and entries are not of the
// cluster that is founded or joined.
func TestAnotherClustersLogIsNotTakenOver(t *testing.T) {
	cfg := config.Default()
	cfg.Name, cfg.StateDir = "c1", t.TempDir()
	if err := os.Mkdir(raftDir(cfg), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Init(t.Context(), cfg, "home"); !problem.Is(err, problem.Conflict) {
		t.Errorf("init: %v", err)
	}
	if _, err := Join(t.Context(), cfg, identity.JoinCode{}); !problem.Is(err, problem.Conflict) {
		t.Errorf("join: %v", err)
	}
}
