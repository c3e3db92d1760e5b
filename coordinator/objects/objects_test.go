package objects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/shared/problem"
	"primespark/shared/task"
)

// A site is three coordinators' shelves, which reach each other by a call.
type site struct {
	t       *testing.T
	shelves map[string]*Shelf
	dirs    map[string]string
	down    map[string]bool
	refers  map[string]bool // by SHA-256
}

func newSite(t *testing.T, b Bounds, copies int, names ...string) *site {
	s := &site{t, map[string]*Shelf{}, map[string]string{}, map[string]bool{}, map[string]bool{}}
	for _, name := range names {
		s.dirs[name] = t.TempDir()
		st, err := OpenStore(s.dirs[name], b, func(sha string) bool { return s.refers[sha] })
		if err != nil {
			t.Fatal(err)
		}
		others := func() (up []Peer, known int) {
			for _, other := range slices.Sorted(maps.Keys(s.shelves)) {
				if other != name {
					up = append(up, fellow{s, other})
				}
			}
			return up, len(up)
		}
		s.shelves[name] = NewShelf(st, name, copies, others, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	}
	return s
}

// A fellow is a coordinator as another one reaches it.
type fellow struct {
	*site
	name string
}

var errDown = errors.New("no answer")

func (f fellow) Name() string { return f.name }

func (f fellow) Push(_ context.Context, o task.Object, r io.Reader) error {
	if f.down[f.name] {
		return errDown
	}
	_, err := f.shelves[f.name].Keep(r, o.SHA256)
	return err
}

func (f fellow) Pull(_ context.Context, sha string) (io.ReadCloser, error) {
	if f.down[f.name] {
		return nil, errDown
	}
	file, _, err := f.shelves[f.name].Here(sha)
	return file, err
}

func (f fellow) Missing(_ context.Context, shas []string) ([]string, error) {
	if f.down[f.name] {
		return nil, errDown
	}
	return f.shelves[f.name].Missing(shas), nil
}

func (s *site) put(at, content string) (task.Object, []string) {
	s.t.Helper()
	o, holders, err := s.shelves[at].Put(s.t.Context(), strings.NewReader(content))
	if err != nil {
		s.t.Fatal(err)
	}
	return o, holders
}

// get reads an object at a coordinator, or tells the code of the problem.
func (s *site) get(at string, o task.Object) string {
	s.t.Helper()
	f, _, err := s.shelves[at].Open(s.t.Context(), o.SHA256)
	if err != nil {
		return string(problem.Of(err).Code)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

func (s *site) has() func(task.Object) []string {
	return func(o task.Object) (have []string) {
		for _, name := range slices.Sorted(maps.Keys(s.shelves)) {
			if _, ok := s.shelves[name].store.Has(o.SHA256); ok {
				have = append(have, name)
			}
		}
		return have
	}
}

var roomy = Bounds{Bytes: 1 << 20, Keep: time.Hour}

// TestTheLossOfOneLosesNothing takes every single coordinator away after an object
// was acknowledged; the others have it.
func TestTheLossOfOneLosesNothing(t *testing.T) {
	for _, lost := range []string{"c1", "c2", "c3"} {
		s := newSite(t, roomy, 2, "c1", "c2", "c3")
		o, holders := s.put("c1", "photo")
		if len(holders) != 2 || holders[0] != "c1" {
			t.Errorf("holders are %v", holders)
		}
		s.down[lost] = true
		for _, at := range []string{"c1", "c2", "c3"} {
			if at == lost {
				continue
			}
			if got := s.get(at, o); got != "photo" {
				t.Errorf("without %s, %s gives %s", lost, at, got)
			}
		}
	}
}

func TestOneDiskIsNotEnough(t *testing.T) {
	s := newSite(t, roomy, 2, "c1", "c2")
	s.down["c2"] = true
	if _, _, err := s.shelves["c1"].Put(t.Context(), strings.NewReader("photo")); !problem.Is(err, problem.NotReady) {
		t.Errorf("with nobody to copy it to: %v", err)
	}
	photo := task.ObjectOf([]byte("photo"))
	if err := s.shelves["c1"].Confirm(t.Context(), photo); !problem.Is(err, problem.NotReady) {
		t.Errorf("a task that refers to what was refused: %v", err)
	}
	if got := s.get("c1", task.ObjectOf([]byte("other"))); got != string(problem.NotReady) {
		t.Errorf("an object that the one who is down may have: %s", got)
	}
	s.down["c2"] = false
	if err := s.shelves["c1"].Confirm(t.Context(), photo); err != nil {
		t.Errorf("a task that refers to it once there is a second disk: %v", err)
	}
	if missing := s.shelves["c2"].Missing([]string{photo.SHA256}); len(missing) > 0 {
		t.Error("the task was taken with its photo on one disk")
	}
	if _, holders := s.put("c1", "photo"); len(holders) != 2 {
		t.Errorf("holders are %v", holders)
	}
	if got := s.get("c1", task.ObjectOf([]byte("other"))); got != string(problem.NotFound) {
		t.Errorf("an object that nobody has: %s", got)
	}
	alone := newSite(t, roomy, 2, "c1")
	if _, holders := alone.put("c1", "photo"); len(holders) != 1 {
		t.Errorf("alone, holders are %v", holders)
	}
	frugal := newSite(t, roomy, 1, "c1", "c2")
	if _, holders := frugal.put("c1", "photo"); len(holders) != 1 {
		t.Errorf("with one copy, holders are %v", holders)
	}
}

// TestRepair copies what is referred to when a holder is lost for good.
func TestRepair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, roomy, 2, "c1", "c2", "c3")
		wanted, holders := s.put("c1", "wanted")
		unwanted, _ := s.put("c1", "unwanted")
		s.refers[wanted.SHA256] = true
		for _, o := range []task.Object{wanted, unwanted} { // the second holder's disk is lost
			for _, name := range []string{"c2", "c3"} {
				s.shelves[name].store.mu.Lock()
				if err := s.shelves[name].store.drop(o.SHA256); err != nil {
					t.Error(err)
				}
				s.shelves[name].store.mu.Unlock()
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.shelves["c1"].Run(ctx) }()
		time.Sleep(2 * repairEvery)
		synctest.Wait()
		has := s.has()
		if got := has(wanted); len(got) != 2 {
			t.Errorf("after the loss of %s the object is on %v", holders[1], got)
		}
		if got := has(unwanted); len(got) != 1 {
			t.Errorf("what nobody wants is on %v", got)
		}
		time.Sleep(2 * time.Hour)
		if got := has(unwanted); len(got) != 0 {
			t.Errorf("after its time, what nobody wants is on %v", got)
		}
		if got := has(wanted); len(got) != 2 {
			t.Errorf("what is wanted is on %v", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestRoom fills a store: what nobody refers to makes room, the one used longest
// ago first, and what is referred to never does.
func TestRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const each = 100 << 10
		s := newSite(t, Bounds{Bytes: 5*each + each/2, Keep: 24 * time.Hour}, 1, "c1")
		content := func(i int) string { return strings.Repeat(string(rune('a'+i)), each) }
		var all []task.Object
		for i := range 5 {
			o, _ := s.put("c1", content(i))
			all = append(all, o)
			time.Sleep(time.Minute)
		}
		if _, _, err := s.shelves["c1"].Put(t.Context(), strings.NewReader(content(5))); !problem.Is(err, problem.Busy) {
			t.Errorf("what was just handed in made room: %v", err)
		}
		time.Sleep(time.Hour)
		s.refers[all[0].SHA256] = true
		if got := s.get("c1", all[1]); got != content(1) { // a use
			t.Errorf("%d bytes", len(got))
		}
		s.put("c1", content(5))
		has := s.has()
		for i, want := range []bool{true, true, false, true, true} {
			if got := len(has(all[i])) == 1; got != want {
				t.Errorf("object %d is there: %t, want %t", i, got, want)
			}
		}
		for i := range 5 {
			s.refers[all[i].SHA256] = true
		}
		s.refers[task.ObjectOf([]byte(content(5))).SHA256] = true
		time.Sleep(time.Hour)
		if _, _, err := s.shelves["c1"].Put(t.Context(), strings.NewReader(content(6))); !problem.Is(err, problem.Busy) || problem.Of(err).RetryAfter == 0 {
			t.Errorf("with no room: %v", err)
		}
		if left, err := filepath.Glob(filepath.Join(s.dirs["c1"], "*"+partial)); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
		if b := s.shelves["c1"].store.bytes; b != 5*each {
			t.Errorf("%d bytes are counted, want %d", b, 5*each)
		}
	})
}

// TestDamage flips a byte on one disk: the object comes from the other, and the
// damaged one is replaced.
func TestDamage(t *testing.T) {
	s := newSite(t, roomy, 2, "c1", "c2")
	o, _ := s.put("c1", "photo")
	path := filepath.Join(s.dirs["c1"], o.SHA256)
	if err := os.WriteFile(path, []byte("phota"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := s.get("c1", o); got != "photo" {
		t.Errorf("got %s", got)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "photo" {
		t.Errorf("on the disk is %q, %v", b, err)
	}
}

// TestRestart finds what was kept before, and removes halves.
func TestRestart(t *testing.T) {
	s := newSite(t, roomy, 1, "c1")
	o, _ := s.put("c1", "photo")
	half := filepath.Join(s.dirs["c1"], "x"+partial)
	if err := os.WriteFile(half, []byte("pho"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := OpenStore(s.dirs["c1"], roomy, func(string) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	if size, ok := again.Has(o.SHA256); !ok || size != o.Size || again.bytes != leastWeight {
		t.Errorf("there: %t, %d bytes, %d in all", ok, size, again.bytes)
	}
	if _, err := os.Stat(half); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half an object is still there: %v", err)
	}
}

func TestPutRefuses(t *testing.T) {
	s := newSite(t, Bounds{Bytes: 1 << 30, Keep: time.Hour}, 1, "c1")
	st := s.shelves["c1"].store
	for name, test := range map[string]struct {
		content io.Reader
		sha     string
		want    problem.Code
	}{
		"nothing":       {strings.NewReader(""), "", problem.Invalid},
		"too much":      {bytes.NewReader(make([]byte, task.MaxObject+1)), "", problem.TooLarge},
		"another":       {strings.NewReader("x"), task.ObjectOf([]byte("y")).SHA256, problem.Invalid},
		"broken stream": {io.MultiReader(strings.NewReader("x"), broken{}), "", problem.Unexpected},
	} {
		if _, err := st.Put(test.content, test.sha); err == nil || problem.Of(err).Code != test.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if list, err := os.ReadDir(s.dirs["c1"]); err != nil || len(list) > 0 || st.bytes != 0 {
		t.Errorf("left behind: %v, %d bytes, %v", list, st.bytes, err)
	}
	if o, _ := s.put("c1", "x"); s.shelves["c1"].Confirm(t.Context(), task.Object{SHA256: o.SHA256, Size: 2}) == nil {
		t.Error("a reference of another size is as good")
	}
	if err := s.shelves["c1"].Confirm(t.Context(), task.ObjectOf([]byte("y"))); !problem.Is(err, problem.Invalid) {
		t.Errorf("a reference to nothing: %v", err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, fmt.Errorf("the sender went away") }
