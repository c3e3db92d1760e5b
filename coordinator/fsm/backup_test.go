package fsm

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestBackupRecord tells the story of some hours: what is shown of backups, and
// which of them are news.
func TestBackupRecord(t *testing.T) {
	f := New()
	apply(t, f, 1, noon, samples[0])
	good := func(after time.Duration) BackupRecord {
		return BackupRecord{Node: "c1", At: noon.Add(after), Verified: noon.Add(after + time.Second), Path: "/nas/x"}
	}
	bad := func(after time.Duration, text string) BackupRecord {
		return BackupRecord{Node: "c1", At: noon.Add(after), Error: text}
	}
	shown := func(after time.Duration) Backup {
		return Backup{At: noon.Add(after), Verified: noon.Add(after + time.Second), Node: "c1", Path: "/nas/x"}
	}
	failed := shown(time.Hour)
	failed.Error, failed.Failed = "full", noon.Add(2*time.Hour)
	other := failed
	other.Error = "gone"
	for i, step := range []struct {
		about string
		cmd   BackupRecord
		want  Backup
		news  bool
	}{
		{"the first", good(0), shown(0), true},
		{"the same again", good(0), shown(0), false},
		{"the next", good(time.Hour), shown(time.Hour), false},
		{"a failure", bad(2*time.Hour, "full"), failed, true},
		{"another, for another reason", bad(3*time.Hour, "gone"), other, false},
		{"one that came late", good(30 * time.Minute), other, false},
		{"all well again", good(4 * time.Hour), shown(4 * time.Hour), true},
	} {
		before, _ := f.State()
		if r := apply(t, f, uint64(i+2), noon, step.cmd); r.Err != nil {
			t.Fatalf("%s: %v", step.about, r.Err)
		}
		s, _ := f.State()
		if d := cmp.Diff(step.want, s.Backup); d != "" {
			t.Errorf("%s (-want +got):\n%s", step.about, d)
		}
		if news := s.Seq > before.Seq; news != step.news {
			t.Errorf("%s: an event %v, want %v", step.about, news, step.news)
		}
	}
}
