package checkup_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"primespark/coordinator/checkup"
	"primespark/shared/doctor"
	"primespark/shared/goldentest"
	"primespark/shared/wire"
)

// golden compares what the doctor says of each case with a file.
func golden[C interface{ Checks() []doctor.Check }](t *testing.T, file string, cases map[string]C) {
	t.Helper()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		r := doctor.Run(t.Context(), "c1", cases[name].Checks())
		fmt.Fprintf(&b, "## %s: %s\n", name, r.Verdict)
		for _, f := range r.Results {
			fmt.Fprintf(&b, "%s %s/%s %s\n  %s\n", f.Severity, f.Section, f.Check, cmp.Or(f.Code, "-"), f.Detail)
			if f.Remedy != "" {
				fmt.Fprintf(&b, "  > %s\n", f.Remedy)
			}
			if f.Severity.Worse(doctor.Info) && (f.Remedy == "" || f.Code == "") {
				t.Errorf("%s: %q lacks a remedy or a code", name, f.Detail)
			}
		}
	}
	goldentest.Compare(t, file, b.String())
}

func TestGroup(t *testing.T) {
	status := func(change func(*wire.StatusBody)) *wire.StatusBody {
		s := &wire.StatusBody{
			Cluster: "home", Leader: "c2", Term: 4, Summary: wire.Summary{QuorumHave: 3, QuorumNeed: 2, Voters: 3},
			Coordinators: []wire.Coordinator{{Name: "c1", Role: wire.RoleFollower, Voter: true}, {Name: "c2", Role: wire.RoleLeader, Voter: true}, {Name: "c3", Role: wire.RoleFollower, Voter: true}},
		}
		change(s)
		return s
	}
	well := func(*wire.StatusBody) {}
	golden(t, "group.txt", map[string]checkup.Group{
		"well":      {Self: "c1", Status: status(well)},
		"a witness": {Self: "c1", Witness: true, Status: status(well)},
		"not asked": {Self: "c1", Err: errors.New("connection refused")},
		"one lost":  {Self: "c1", Status: status(func(s *wire.StatusBody) { s.Summary.QuorumHave = 2 })},
		"two lost":  {Self: "c1", Status: status(func(s *wire.StatusBody) { s.Summary.QuorumHave, s.Leader = 1, "" })},
		"no leader": {Self: "c1", Status: status(func(s *wire.StatusBody) { s.Leader = "" })},
		"one voter": {Self: "c1", Status: status(func(s *wire.StatusBody) {
			s.Summary, s.Advice = wire.Summary{QuorumHave: 1, QuorumNeed: 1, Voters: 1}, wire.GroupAdvice(1)
		})},
		"removed":    {Self: "c1", Status: status(func(s *wire.StatusBody) { s.Removed = true })},
		"a stranger": {Self: "c9", Status: status(well)},
		"new":        {Self: "c1", Status: status(func(s *wire.StatusBody) { s.Coordinators[0].Voter = false })},
		"far behind": {Self: "c1", Status: status(func(s *wire.StatusBody) { s.Coordinators[0].Behind = new(uint64(5000)) })},
	})
}

func TestPeers(t *testing.T) {
	others := []wire.Coordinator{{Name: "c2", Raft: "10.0.0.2:7481", API: "10.0.0.2:7480"}, {Name: "c3", Raft: "10.0.0.3:7481"}}
	with := func(c2, c3 checkup.Answer) checkup.Peers {
		return checkup.Peers{Others: others, Ask: func(_ context.Context, c wire.Coordinator) checkup.Answer {
			return map[string]checkup.Answer{"c2": c2, "c3": c3}[c.Name]
		}}
	}
	c2, c3 := checkup.Answer{Took: 1500 * time.Microsecond, Version: "1.2.0", Ahead: 1900 * time.Millisecond}, checkup.Answer{Took: 2 * time.Millisecond}
	golden(t, "peers.txt", map[string]checkup.Peers{
		"alone":      {},
		"well":       with(c2, c3),
		"raft cut":   with(checkup.Answer{Raft: errors.New("i/o timeout")}, c3),
		"API cut":    with(checkup.Answer{API: errors.New("connection refused")}, c3),
		"both gone":  with(checkup.Answer{Raft: errors.New("i/o timeout"), API: errors.New("i/o timeout")}, checkup.Answer{Raft: errors.New("no route to host")}),
		"clock fast": with(checkup.Answer{Ahead: 61 * time.Second}, c3),
		"clock slow": with(checkup.Answer{Ahead: -3 * time.Hour}, c3),
	})
}

func TestLog(t *testing.T) {
	busy := errors.New("busy")
	log := func(err error) checkup.Log { return checkup.Log{Busy: busy, Verify: func() error { return err }} }
	golden(t, "log.txt", map[string]checkup.Log{
		"whole":     log(nil),
		"none":      log(fmt.Errorf("open: %w", fs.ErrNotExist)),
		"in use":    log(fmt.Errorf("%w: raft.db", busy)),
		"of others": log(fs.ErrPermission),
		"damaged":   log(errors.New("the raft log is damaged: raft.db: log entry 7: checksum differs")),
		"running":   {Running: true},
	})
}

func TestBackups(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	kept := func(last *wire.BackupStatus) checkup.Backups {
		return checkup.Backups{Configured: true, Every: time.Hour, Known: true, Last: last, Now: now}
	}
	at := func(ago time.Duration) *wire.BackupStatus {
		return &wire.BackupStatus{VerifiedAt: now.Add(-ago), Node: "c2", Path: "/mnt/nas/home.psb"}
	}
	failed := at(2 * time.Hour)
	failed.Error = "no space left on device"
	golden(t, "backups.txt", map[string]checkup.Backups{
		"none set":  {Known: true},
		"not asked": {Configured: true, Every: time.Hour},
		"none yet":  kept(nil),
		"fresh":     kept(at(40 * time.Minute)),
		"at 3 h":    kept(at(3 * time.Hour)),
		"old":       kept(at(3*time.Hour + time.Minute)),
		"failed":    kept(failed),
	})
}
