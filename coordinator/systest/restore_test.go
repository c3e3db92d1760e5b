package systest_test

import (
	"bytes"
	"testing"
	"time"

	"primespark/coordinator/systest"
	"primespark/shared/envelope"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

// An operator's pair of keys, made for this test.
const (
	publicKey  = "age160qc942saz0kfxyf7ffyv86yap4l7dyy6we9lvj9zupxc0ncaq0shv2mmu"
	privateKey = "AGE-SECRET-KEY-1WEK6N8SQDA80PJXUHCVMDPTV6XEQAG0JC686FHRH4F86S9YED9ZS3E4ZJF"
)

// TestRestore loses all three coordinators with their disks. The cluster comes
// back from a file: the same state, the same tokens and agents, and then new
// coordinators.
func TestRestore(t *testing.T) {
	systest.Test(t, 3, 1, func(t *testing.T, f *systest.Fleet) {
		c := f.Via("c2")
		defer c.Close()
		if err := c.Change(10 * time.Second); err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if err := c.Backup(t.Context(), "", &file); problem.Of(err).Code != problem.Invalid {
			t.Errorf("a backup for nobody: %v", err)
		}
		file.Reset()
		if err := c.Backup(t.Context(), publicKey, &file); err != nil {
			t.Fatal(err)
		}
		h, _, err := envelope.Open(bytes.NewReader(file.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if s, err := c.Status(t.Context()); err != nil || s.AppliedIndex == h.Index && s.StateChecksum != h.Checksum {
			t.Errorf("the backup is of state %d %s, the cluster at %d %s, %v", h.Index, h.Checksum, s.AppliedIndex, s.StateChecksum, err)
		}

		for _, name := range []string{"c1", "c2", "c3"} {
			f.Lose(name)
		}
		time.Sleep(time.Minute)
		begin := time.Now()
		if s := f.Restore("c1", file.Bytes(), privateKey); s.Checksum != h.Checksum || s.Index != h.Index {
			t.Errorf("restored is state %d %s, want %d %s", s.Index, s.Checksum, h.Index, h.Checksum)
		}
		f.WaitHealthy(1, 1)
		t.Logf("the fleet was back %v after the restore began", time.Since(begin))
		back := f.Via("c1")
		defer back.Close()
		if node, _, err := back.Photo(5 * time.Second); err != nil || node != "pi-1" {
			t.Errorf("photo after the restore: by %q, %v", node, err)
		}
		for _, name := range []string{"c2", "c3"} {
			if _, err := back.NodeAction(t.Context(), name, wire.Revoke); err != nil {
				t.Errorf("revoke the lost %s: %v", name, err)
			}
		}
		f.JoinCoordinator("c4")
		f.JoinCoordinator("c5")
		want := f.WaitHealthy(3, 1)
		if err := back.Change(10 * time.Second); err != nil {
			t.Errorf("change by the new group: %v", err)
		}
		if len(want.Coordinators) != 3 {
			t.Errorf("the group is %+v", want.Coordinators)
		}
	})
}
