package supply

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/shared/fleet"
	"primespark/shared/model"
	"primespark/shared/modelpack"
	"primespark/shared/problem"
	"primespark/shared/task"
	"primespark/shared/watch"
	"primespark/shared/wire"
)

// A wish is what the plan says.
type wish struct {
	list  []wire.PlanModel
	known bool
}

// A lab is a node with the fake engine "builtin", and coordinators in memory. It is
// also the node's models.
type lab struct {
	t       *testing.T
	dir     string
	plan    *watch.Value[wish]
	memory  int64
	fault   error                   // of each fetch
	loadErr func(text string) error // by the manifest that is in force

	mu      sync.Mutex
	objects map[string][]byte
	fetched []string // SHA-256 of what was fetched, in order
	broken  int      // fetches until the connection breaks off; below 0: never
	loaded  []string // what happened to the models
	store   *Store
}

func newLab(t *testing.T, dir string) *lab {
	return &lab{t: t, dir: dir, plan: watch.New(wish{}), objects: map[string][]byte{}, broken: -1, loadErr: func(string) error { return nil }}
}

// give hands the coordinators a package of a model and returns it as the plan names it.
func (l *lab) give(version string, files map[string]string) wire.PlanModel {
	l.t.Helper()
	dir := filepath.Join(l.dir, "given"+version)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		l.t.Fatal(err)
	}
	sum := func(name string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(files[name]))) }
	files["model.yaml"] = fmt.Sprintf("apiVersion: edge/v1\nkind: Model\nname: pets\nversion: %q\n"+
		"variants: [{engine: hailo, file: net.hef, sha256: %s}, {engine: builtin, file: net.onnx, sha256: %s}]\nresources: {memory: 100MiB}\n",
		version, sum("net.hef"), sum("net.onnx"))
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			l.t.Fatal(err)
		}
	}
	p, err := modelpack.Open(l.t.Context(), dir)
	if err != nil {
		l.t.Fatal(err)
	}
	defer p.Close()
	keep := func(_ context.Context, o task.Object, data []byte) error {
		l.objects[o.SHA256] = bytes.Clone(data)
		return nil
	}
	bill, err := p.Cut(l.t.Context(), keep)
	if err != nil {
		l.t.Fatal(err)
	}
	text, err := bill.Encode()
	if err != nil {
		l.t.Fatal(err)
	}
	l.objects[task.ObjectOf(text).SHA256] = text
	return wire.PlanModel{Name: "pets", Version: version, Bill: task.ObjectOf(text)}
}

func (l *lab) fetch(ctx context.Context, o task.Object) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault != nil {
		return nil, l.fault
	}
	if l.broken == 0 {
		return nil, problem.New(problem.Unreachable, "Try again.", "No coordinator answers.")
	}
	l.broken--
	l.fetched = append(l.fetched, o.SHA256)
	data, ok := l.objects[o.SHA256]
	if !ok {
		return nil, problem.New(problem.NotFound, "Hand it in.", "There is no such object.")
	}
	return bytes.Clone(data), ctx.Err()
}

func (l *lab) Load(_ context.Context, name string) error {
	text := l.inForce("model.yaml")
	err := l.loadErr(text)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loaded = append(l.loaded, fmt.Sprintf("load %s: %v", name, err))
	return err
}

func (l *lab) Drop(_ context.Context, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loaded = append(l.loaded, "drop "+name)
	return nil
}

func (l *lab) Expect(s model.Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loaded = append(l.loaded, fmt.Sprintf("%s %s: %s", s.Name, s.State, s.Reason))
}

// count is how many objects were fetched so far.
func (l *lab) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.fetched)
}

// happened is what happened to the models since it was asked last.
func (l *lab) happened() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := strings.Join(l.loaded, "\n")
	l.loaded = nil
	return all
}

// inForce reads a file of the package that is in force; empty if there is none.
func (l *lab) inForce(file string) string {
	l.t.Helper()
	open, err := l.store.Package("pets")
	if err != nil {
		return ""
	}
	f, size, err := open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil || int64(len(b)) != size {
		l.t.Errorf("%s in force has %d bytes, not %d: %v", file, len(b), size, err)
	}
	return string(b)
}

// start runs the supply as a process that has just begun.
func (l *lab) start() (s *Supply, stop func()) {
	l.t.Helper()
	var err error
	if l.store, err = OpenStore(filepath.Join(l.dir, "packages"), slog.New(slog.DiscardHandler)); err != nil {
		l.t.Fatal(err)
	}
	s, err = New(Config{
		Store: l.store, Fetch: l.fetch, Models: l, Engines: []string{"builtin"}, Memory: l.memory, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
		Wanted: func() ([]wire.PlanModel, bool, <-chan struct{}) {
			w, changed := l.plan.Load()
			return w.list, w.known, changed
		},
	})
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	synctest.Wait()
	return s, func() {
		cancel()
		if err := <-done; err != nil {
			l.t.Errorf("Run: %v", err)
		}
	}
}

func (l *lab) want(list ...wire.PlanModel) {
	l.plan.Store(wish{list, true})
	synctest.Wait()
}

// small is a package of small files; large one with a network of three parts.
func small(net string) map[string]string {
	return map[string]string{"net.onnx": net, "net.hef": "for the accelerator"}
}

func large() map[string]string {
	return small(strings.Repeat("0123456789abcdef", modelpack.PartSize/16) + strings.Repeat("fedcba9876543210", modelpack.PartSize/16) + "tail")
}

func story(t *testing.T, tell func(t *testing.T, l *lab)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { tell(t, newLab(t, dir)) })
}

// TestSupply: a model comes, is replaced, and goes; what no engine here runs is not
// fetched.
func TestSupply(t *testing.T) {
	story(t, func(t *testing.T, l *lab) {
		s, stop := l.start()
		first := l.give("1", small("one"))
		l.want(first)
		if got := l.inForce("net.onnx"); got != "one" || !strings.HasSuffix(l.happened(), "load pets: <nil>") || len(s.Notes()) != 0 {
			t.Errorf("in force: %q, notes %+v", got, s.Notes())
		}
		if l.inForce("net.hef") != "" || l.count() != 3 {
			t.Errorf("%d objects were fetched, and of the accelerator's network %q", l.count(), l.inForce("net.hef"))
		}
		l.want(l.give("2", small("two")))
		if got := l.inForce("net.onnx"); got != "two" || !strings.HasSuffix(l.happened(), "load pets: <nil>") {
			t.Errorf("in force: %q", got)
		}
		stop()
		_, stop = l.start() // with the plan of before
		if got, did := l.inForce("net.onnx"), l.happened(); got != "two" || did != "" {
			t.Errorf("after a restart: %q, %q", got, did)
		}
		l.want()
		if did := l.happened(); l.inForce("model.yaml") != "" || did != "drop pets" {
			t.Errorf("after it went: %q, %q", l.inForce("model.yaml"), did)
		}
		stop()
		if left := l.files(); len(left) != 0 {
			t.Errorf("%v are left on the disk", left)
		}
	})
}

// files are the files on the node's disk.
func (l *lab) files() (names []string) {
	l.t.Helper()
	err := filepath.WalkDir(filepath.Join(l.dir, "packages"), func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return names
}

// TestNobodyToldYet: a node that was never told keeps what it has.
func TestNobodyToldYet(t *testing.T) {
	story(t, func(t *testing.T, l *lab) {
		_, stop := l.start()
		l.want(l.give("1", small("one")))
		stop()
		l.plan.Store(wish{})
		_, stop = l.start()
		time.Sleep(time.Hour)
		if l.inForce("net.onnx") != "one" {
			t.Error("it is gone")
		}
		stop()
	})
}

// TestBrokenOff: a transfer goes on where it was, after a restart too, and what a
// power cut left half written does not count.
func TestBrokenOff(t *testing.T) {
	story(t, func(t *testing.T, l *lab) {
		m := l.give("1", large())
		l.broken = 4 // the bill, the manifest and two parts of three
		s, stop := l.start()
		l.want(m)
		if n := s.Notes(); len(n) != 1 || n[0].State != wire.ModelFetching || !strings.Contains(n[0].Detail, "No coordinator answers") {
			t.Errorf("notes: %+v", n)
		}
		stop()
		for _, path := range l.files() {
			if strings.HasSuffix(path, partial) {
				appendTo(t, path, "what never reached the disk whole")
			}
		}
		before := l.count()
		l.broken = -1
		_, stop = l.start()
		if l.inForce("net.onnx") != large()["net.onnx"] {
			t.Error("the network is not whole")
		}
		if n := l.count() - before; n != 2 { // the bill, and the last part
			t.Errorf("%d objects were fetched for the rest, want 2", n)
		}
		stop()
	})
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestRefused: a package that fails its selftest is told of, tried again, and does
// not displace the one before it.
func TestRefused(t *testing.T) {
	story(t, func(t *testing.T, l *lab) {
		var bad atomic.Bool
		bad.Store(true)
		l.loadErr = func(text string) error {
			if bad.Load() && strings.Contains(text, `version: "2"`) {
				return problem.New(problem.Conflict, "Mend it.", "The selftest finds no dog.")
			}
			return nil
		}
		s, stop := l.start()
		l.want(l.give("1", small("one")))
		l.want(l.give("2", small("two")))
		if n := s.Notes(); l.inForce("net.onnx") != "one" || len(n) != 1 || n[0].State != wire.ModelRefused || n[0].Detail != "The selftest finds no dog." {
			t.Errorf("in force: %q, notes: %+v", l.inForce("net.onnx"), n)
		}
		bad.Store(false)
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := s.Notes(); l.inForce("net.onnx") != "two" || len(n) != 0 {
			t.Errorf("once it passes: %q, notes: %+v", l.inForce("net.onnx"), n)
		}
		stop()
	})
}

// TestCannot: why a node fetches nothing, and is the same node afterwards.
func TestCannot(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(l *lab, m *wire.PlanModel)
		state string // of the note; empty for none
		want  string // in it
	}{
		"no engine": {func(l *lab, m *wire.PlanModel) {
			l.edit(m, "engine: builtin", "engine: another")
		}, wire.ModelUnfit, "it wants the engine hailo or another"},
		"too large": {func(l *lab, _ *wire.PlanModel) { l.memory = 50 << 20 }, wire.ModelUnfit, "it needs 100MiB, and models.memory is 50MiB"},
		"no coordinator that is ready": {func(l *lab, _ *wire.PlanModel) {
			l.fault = problem.New(problem.NotReady, "Wait.", "It starts.")
		}, wire.ModelFetching, "waits: It starts."},
		"a part that lacks": {func(l *lab, _ *wire.PlanModel) {
			delete(l.objects, task.ObjectOf([]byte("one")).SHA256)
		}, wire.ModelFetching, "There is no such object"},
		"a part that was tampered with": {func(l *lab, _ *wire.PlanModel) {
			l.objects[task.ObjectOf([]byte("one")).SHA256] = []byte("eno")
		}, wire.ModelFetching, "that are not it"},
		"a bill that is none": {func(l *lab, m *wire.PlanModel) {
			m.Bill = task.ObjectOf([]byte("one"))
		}, wire.ModelFetching, "the bill cannot be read"},
		"another's bill":           {func(_ *lab, m *wire.PlanModel) { m.Name = "cats" }, wire.ModelFetching, "its bill is of pets"},
		"a name that leads out":    {func(_ *lab, m *wire.PlanModel) { m.Name = "../pets" }, "", ""},
		"a reference that is none": {func(_ *lab, m *wire.PlanModel) { m.Bill.SHA256 = "../../etc/passwd" }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T, l *lab) {
				m := l.give("1", small("one"))
				test.spoil(l, &m)
				s, stop := l.start()
				l.want(m)
				n := s.Notes()
				if test.state == "" && len(n) != 0 || test.state != "" && (len(n) != 1 || n[0].State != test.state || !strings.Contains(n[0].Detail, test.want)) {
					t.Errorf("notes: %+v, want %s %q", n, test.state, test.want)
				}
				if did := l.happened(); l.inForce("model.yaml") != "" || strings.Contains(did, "load") {
					t.Errorf("it is in force: %s", did)
				}
				tries := l.count()
				time.Sleep(time.Hour)
				synctest.Wait()
				if more := l.count() - tries; more > 60 {
					t.Errorf("%d tries in an hour", more)
				}
				l.want()
				if n := s.Notes(); len(n) != 0 {
					t.Errorf("notes of a model that went: %+v", n)
				}
				stop()
			})
		})
	}
}

// edit changes the manifest of a package at the coordinators.
func (l *lab) edit(m *wire.PlanModel, from, to string) {
	l.t.Helper()
	bill := l.objects[m.Bill.SHA256]
	var manifest string
	for _, data := range l.objects {
		if strings.HasPrefix(string(data), "apiVersion") {
			manifest = string(data)
		}
	}
	old, changed := task.ObjectOf([]byte(manifest)), []byte(strings.Replace(manifest, from, to, 1))
	next := task.ObjectOf(changed)
	bill = bytes.ReplaceAll(bill, []byte(old.SHA256), []byte(next.SHA256))
	bill = bytes.ReplaceAll(bill, fmt.Appendf(nil, `"size":%d`, old.Size), fmt.Appendf(nil, `"size":%d`, next.Size))
	l.objects[next.SHA256], l.objects[task.ObjectOf(bill).SHA256] = changed, bill
	m.Bill = task.ObjectOf(bill)
}

// TestDamage: a file that the disk did not keep is found when it is opened, and
// fetched again.
func TestDamage(t *testing.T) {
	story(t, func(t *testing.T, l *lab) {
		_, stop := l.start()
		l.want(l.give("1", small("one")))
		path := l.store.filePath(task.ObjectOf([]byte("one")).SHA256)
		if err := os.WriteFile(path, []byte("oné"[:3]), 0o600); err != nil {
			t.Fatal(err)
		}
		if open, err := l.store.Package("pets"); err != nil {
			t.Fatal(err)
		} else if _, _, err := open("net.onnx"); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("a damaged file is opened: %v", err)
		}
		l.happened()
		synctest.Wait()
		if got, did := l.inForce("net.onnx"), l.happened(); got != "one" || !strings.HasSuffix(did, "load pets: <nil>") {
			t.Errorf("after it was found: %q, %q", got, did)
		}
		stop()
	})
}

// TestDamagedBill: it is as if the model had never been here, and it comes again.
func TestDamagedBill(t *testing.T) {
	story(t, func(t *testing.T, l *lab) {
		_, stop := l.start()
		m := l.give("1", small("one"))
		l.want(m)
		stop()
		if err := os.WriteFile(l.store.billPath("pets"), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		l.plan.Store(wish{})
		_, stop = l.start()
		if names := l.store.Names(); len(names) != 0 {
			t.Errorf("in force: %v", names)
		}
		before := l.count()
		l.want(m)
		if n := l.count() - before; l.inForce("net.onnx") != "one" || n != 1 {
			t.Errorf("in force: %q, after %d objects; the bill alone was to be fetched", l.inForce("net.onnx"), n)
		}
		stop()
	})
}

// TestPlanChangesMeanwhile: a transfer ends when its model is not wanted any more.
func TestPlanChangesMeanwhile(t *testing.T) {
	story(t, func(t *testing.T, l *lab) {
		first, second := l.give("1", large()), l.give("2", small("two"))
		_, stop := l.start()
		go l.plan.Store(wish{[]wire.PlanModel{first}, true})
		go l.plan.Store(wish{[]wire.PlanModel{second}, true})
		time.Sleep(time.Minute)
		want := "two"
		if w := l.plan.Get(); w.list[0] == first {
			want = large()["net.onnx"]
		}
		if l.inForce("net.onnx") != want {
			t.Error("in force is not what was wanted last")
		}
		stop()
	})
}

func TestNotesAreBounded(t *testing.T) {
	story(t, func(t *testing.T, l *lab) {
		s, stop := l.start()
		var list []wire.PlanModel
		for i := range 100 {
			list = append(list, wire.PlanModel{Name: fmt.Sprint("m", i), Bill: task.ObjectOf([]byte(strings.Repeat("x", i+1)))})
		}
		l.fault = errors.New(strings.Repeat("é", 200))
		l.want(list...)
		notes := s.Notes()
		if len(notes) != fleet.MaxNotes || slices.ContainsFunc(notes, func(n fleet.Note) bool { return len(n.Detail) > fleet.MaxNote }) {
			t.Errorf("%d notes: %+v", len(notes), notes)
		}
		stop()
	})
}
