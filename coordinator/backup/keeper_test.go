package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"primespark/coordinator/fsm"
)

// A group is a raft group of one.
type group struct {
	*fsm.FSM
	t    *testing.T
	mu   sync.Mutex
	made []fsm.BackupRecord
	read func() error // by which Read hangs or fails
}

func (g *group) records() int { g.mu.Lock(); defer g.mu.Unlock(); return len(g.made) }

func (g *group) fail(read func() error) { g.mu.Lock(); defer g.mu.Unlock(); g.read = read }

func (g *group) Read(context.Context) (fsm.State, error) {
	s, _ := g.State()
	g.mu.Lock()
	read := g.read
	g.mu.Unlock()
	if read != nil {
		return s, read()
	}
	return s, nil
}

func (g *group) Propose(_ context.Context, _ string, c fsm.Command) (json.RawMessage, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.made = append(g.made, c.(fsm.BackupRecord))
	apply(g.t, g.FSM, c)
	return nil, nil
}

// keep runs a keeper in a bubble while the story goes on.
func keep(t *testing.T, change func(*Keeper), story func(t *testing.T, g *group, dir string)) {
	t.Helper()
	to, _ := operator(t)
	k := keys(t)
	dir := filepath.Join(t.TempDir(), "nas")
	synctest.Test(t, func(t *testing.T) {
		_, token := fsm.NewToken("admin", fsm.Admin)
		g := &group{FSM: fsm.New(), t: t}
		apply(t, g.FSM, fsm.ClusterInit{Name: "home", Node: fsm.Node{Name: "c1", Key: fsm.Hash("c1")}, Token: token})
		one := Keeper{
			Self: "c1", Dir: dir, Every: time.Hour, Keep: 3, To: to, Keys: func() (Keys, error) { return k, nil }, Group: g, Log: slog.New(slog.DiscardHandler),
		}
		if change != nil {
			change(&one)
		}
		keeper := NewKeeper(one)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- keeper.Run(ctx) }()
		story(t, g, dir)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// TestKeeper: a backup at once, then one each hour, and three of them stay. What
// is not a backup of this cluster is left alone.
func TestKeeper(t *testing.T) {
	keep(t, nil, func(t *testing.T, g *group, dir string) {
		time.Sleep(time.Minute)
		if got := files(t, dir); len(got) != 1 || got[0] != "prime-spark-home-20000101T000000Z.psb" {
			t.Errorf("after a minute there are %v", got)
		}
		info, err := os.Stat(filepath.Join(dir, files(t, dir)[0]))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		for _, other := range []string{"prime-spark-other-19990101T000000Z.psb", "prime-spark-home-photo.psb", "a"} {
			if err := os.WriteFile(filepath.Join(dir, other), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(24 * time.Hour)
		if n := g.records(); n < 24 || n > 26 {
			t.Errorf("%d backups in a day, want 25 or so", n)
		}
		got := files(t, dir)
		if len(got) != 6 || got[0] != "a" || !strings.HasPrefix(got[1], "prime-spark-home-200001") || got[5] != "prime-spark-other-19990101T000000Z.psb" {
			t.Errorf("after a day there are %v", got)
		}
		s, _ := g.State()
		if s.Backup.Node != "c1" || s.Backup.Error != "" || time.Since(s.Backup.Verified) > time.Hour || filepath.Base(s.Backup.Path) != got[3] {
			t.Errorf("recorded %+v; the newest is %s", s.Backup, got[3])
		}
	})
}

// TestKeeperFails: a directory that cannot be written to is told once, and it
// goes on by itself when it can.
func TestKeeperFails(t *testing.T) {
	keep(t, nil, func(t *testing.T, g *group, dir string) {
		time.Sleep(time.Minute)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir, []byte("not a directory"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Hour)
		s, _ := g.State()
		if s.Backup.Error == "" || g.records() != 2 || strings.Contains(s.Backup.Error, unfinished) {
			t.Errorf("recorded %+v, %d times", s.Backup, g.records())
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if s, _ := g.State(); s.Backup.Error != "" || time.Since(s.Backup.Verified) > 2*time.Minute {
			t.Errorf("recorded %+v after it was mended", s.Backup)
		}
	})
}

// TestKeeperHangs: what waits for ever for its directory neither keeps the
// leader's other loops from ending nor piles up.
func TestKeeperHangs(t *testing.T) {
	keep(t, nil, func(t *testing.T, g *group, _ string) {
		hang := make(chan struct{})
		g.fail(func() error { <-hang; return errors.New("too late") })
		time.Sleep(2 * time.Hour)
		if s, _ := g.State(); !strings.Contains(s.Backup.Error, "hangs") || g.records() > 3 {
			t.Errorf("recorded %+v in %d records", s.Backup, g.records())
		}
		close(hang)
	})
}

// TestTheNextLeaderGoesOn: one that begins to lead makes none before it is due.
func TestTheNextLeaderGoesOn(t *testing.T) {
	keep(t, func(k *Keeper) {
		apply(t, k.Group.(*group).FSM, fsm.BackupRecord{Node: "c2", At: time.Now(), Verified: time.Now(), Path: "/nas/x"})
	}, func(t *testing.T, g *group, _ string) {
		time.Sleep(59 * time.Minute)
		if g.records() != 0 {
			t.Errorf("%d backups before one was due", g.records())
		}
		time.Sleep(2 * time.Minute)
		if g.records() != 1 {
			t.Errorf("%d backups when one was due", g.records())
		}
	})
}

func TestWords(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		b := make([]byte, r.IntN(600))
		for i := range b {
			b[i] = byte(r.IntN(256))
		}
		text := words(fmt.Errorf("x: %s", b))
		record := fsm.BackupRecord{Node: "c1", At: noon, Error: text}
		f := fsm.New()
		_, token := fsm.NewToken("admin", fsm.Admin)
		s := apply(t, f, fsm.ClusterInit{Name: "home", Node: fsm.Node{Name: "c1", Key: fsm.Hash("c1")}, Token: token}, record)
		if s.Backup.Error == "" {
			t.Fatalf("%q is not recorded as %q", b, text)
		}
	}
	if got := words(&fs.PathError{Op: "open", Path: "/nas/" + unfinished + "123", Err: fs.ErrPermission}); got != "/nas: permission denied" {
		t.Errorf("got %q", got)
	}
}
