package consensus

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"primespark/coordinator/fsm"
	"primespark/shared/pipenet"
)

// TestDamagedSnapshots: a damaged one is replaced by an older one only where the
// log goes on from that; else the directory is refused, with the way out.
func TestDamagedSnapshots(t *testing.T) {
	for name, test := range map[string]struct {
		log     string // what of it is left: all, half (from the newer snapshot on) or none
		damaged int    // the newest so many
		want    string
	}{
		"whole":                {"none", 0, ""},
		"newest, log whole":    {"all", 1, ""},
		"newest, half the log": {"half", 1, "the log begins at"},
		"newest, no log":       {"none", 1, "the log with 0 before"},
		"all":                  {"all", 2, "every snapshot"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGroup(t, &pipenet.Net{})
				m := g.found()
				newest := snapshotTwice(t, m)
				g.halt(m)
				delete(g.nodes, "c1")
				cutLog(t, m.dir, map[string]uint64{"half": newest - 1, "none": 1 << 60}[test.log])
				damage(t, m.dir, test.damaged)
				l, err := g.net.Host("c1").Listen(t.Context(), "tcp", m.addr)
				if err != nil {
					t.Fatal(err)
				}
				n, err := Open(Config{Dir: m.dir, Profile: profiles["lan"], Identity: m.id}, fsm.New(), Outside{Listener: l, Dial: g.dial("c1")})
				switch {
				case err == nil:
					if err := n.Close(); err != nil {
						t.Error(err)
					}
					if test.want != "" {
						t.Error("it was opened")
					}
				case test.want == "" || !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), Repair):
					t.Errorf("error %v, want %q", err, test.want)
				}
			})
		})
	}
}

// TestSnapshotBeyondTheLog: who was stopped while he took over a snapshot of the
// leader's has a log that ends before it, and goes on all the same.
func TestSnapshotBeyondTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, &pipenet.Net{})
		m := g.found()
		newest := snapshotTwice(t, m)
		want, _ := m.State()
		g.halt(m)
		st, err := openStore(m.dir)
		if err != nil {
			t.Fatal(err)
		}
		last, err := st.LastIndex()
		if err := errors.Join(err, st.DeleteRange(newest-2, last), st.Close()); err != nil {
			t.Fatal(err)
		}
		m = g.start("c1")
		if _, err := g.token("c1"); err != nil {
			t.Fatal(err)
		}
		if got, _ := m.State(); got.Index <= want.Index || len(got.Tokens) != len(want.Tokens)+1 {
			t.Errorf("state %d with %d tokens, want one more than %d with %d", got.Index, len(got.Tokens), want.Index, len(want.Tokens))
		}
		g.halt(m)
		g.start("c1") // the log that it has now is good, too
		if _, err := g.token("c1"); err != nil {
			t.Error(err)
		}
	})
}

// snapshotTwice makes two snapshots with a few entries between them, and returns
// the index of the newer one.
func snapshotTwice(t *testing.T, m *member) (newest uint64) {
	t.Helper()
	for range 2 {
		for range 3 {
			_, c := fsm.NewToken("ada", fsm.Viewer)
			if _, err := m.Propose(context.Background(), "token:test", c); err != nil {
				t.Fatal(err)
			}
		}
		f := m.raft.Snapshot()
		if err := f.Error(); err != nil {
			t.Fatal(err)
		}
		meta, r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		newest = meta.Index
		time.Sleep(time.Second) // their names are times
	}
	return newest
}

// cutLog drops the entries of the log up to last.
func cutLog(t *testing.T, dir string, last uint64) {
	t.Helper()
	st, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(st.DeleteRange(0, last), st.Close()); err != nil {
		t.Fatal(err)
	}
}

// damage flips a byte in each of the newest snapshots of a directory.
func damage(t *testing.T, dir string, newest int) {
	t.Helper()
	all, err := raft.NewFileSnapshotStoreWithLogger(dir, snapshotsKept, raftLogger(testLog()))
	if err != nil {
		t.Fatal(err)
	}
	list, err := all.List()
	if err != nil || len(list) != 2 {
		t.Fatalf("%d snapshots, %v", len(list), err)
	}
	for _, meta := range list[:newest] {
		path := filepath.Join(dir, "snapshots", meta.ID, "state.bin")
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 1
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
