package hailo_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"primespark/hailo"
	"primespark/hailo/hef/synth"
	. "primespark/hailo/hosttest"
	"primespark/hailo/workertest"
	"primespark/shared/run/runtest"
)

// A rig is a supervisor that runs, over the fake worker and a host in order.
type rig struct {
	*hailo.Supervisor
	log *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newRig(t testing.TB, fault string, change func(*hailo.Config)) rig {
	t.Helper()
	log := &lockedBuffer{}
	cfg := hailo.Config{
		Host:    hailo.Host{Root: Good().Make(t), PageSize: 4096, Open: func(string) error { return nil }},
		Workers: workertest.Workers(t, fault), Dir: t.TempDir(), Depth: 4, Log: slog.New(slog.NewTextHandler(log, nil)),
		Recheck: 20 * time.Millisecond,
	}
	if change != nil {
		change(&cfg)
	}
	s := hailo.New(cfg)
	runtest.Start(t, s)
	return rig{s, log}
}

// soon is the time after which a test gives up what has to happen at once.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func (r rig) until(t testing.TB, what string, ok func(hailo.Status) bool) hailo.Status {
	t.Helper()
	st, err := r.Status().Until(soon(t), ok)
	if err != nil {
		t.Fatalf("no %s: %+v\n%s", what, st, r.log)
	}
	return st
}

func (r rig) state(t testing.TB, want hailo.State) hailo.Status {
	t.Helper()
	return r.until(t, string(want), func(st hailo.Status) bool { return st.State == want })
}

// pixels is how many bytes go into the tiny model, whose output begins with their sum.
const pixels = 12

func tiny() []byte { return synth.Tensors("tiny", 2, 1, 1).Bytes() }

// modelFile is a file of that content.
func modelFile(t testing.TB, content []byte) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.hef")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func (r rig) add(t testing.TB, name string) *hailo.Model {
	t.Helper()
	r.state(t, hailo.StateReady)
	m, err := r.Add(soon(t), hailo.Spec{Name: name, File: modelFile(t, tiny()), Contexts: 1, FPS: 491})
	if err != nil {
		t.Fatalf("%v\n%s", err, r.log)
	}
	return m
}

// infer runs a model on an input that begins with first, and whose other bytes are 1.
func infer1(ctx context.Context, m *hailo.Model, first byte) (sum float32, err error) {
	_, err = m.Infer(ctx,
		func(in [][]byte) {
			for i := range in[0] {
				in[0][i] = 1
			}
			in[0][0] = first
		},
		func(out [][]byte, _ [][]int) { sum = float(out[0]) })
	return sum, err
}

func good(t testing.TB, m *hailo.Model) {
	t.Helper()
	if sum, err := infer1(soon(t), m, 9); err != nil || sum != 9+pixels-1 {
		t.Fatalf("an inference gave %v and %v", sum, err)
	}
}

func TestInfer(t *testing.T) {
	r := newRig(t, "", nil)
	m, other := r.add(t, "yolov8s"), r.add(t, "resnet")
	var all sync.WaitGroup
	for i := range 32 { // many at a time, on two models
		all.Go(func() {
			use := m
			if i%2 == 1 {
				use = other
			}
			if sum, err := infer1(soon(t), use, byte(i)); err != nil || sum != float32(i)+pixels-1 {
				t.Errorf("%d: %v, %v", i, sum, err)
			}
		})
	}
	all.Wait()
	st := r.until(t, "counters", func(st hailo.Status) bool {
		return len(st.Models) == 2 && st.Models[0].Frames == 16 && st.Temperature != nil
	})
	if st.Arch != "hailo8" || st.Firmware != "4.23.0" || st.Library != "4.23.0" || st.Worker.Kind != "fake" || st.Worker.PID == 0 || *st.Hottest() != 47.25 || st.Zone != "ok" {
		t.Errorf("status %+v", st)
	}
	if got := st.Models[0]; got.Name != "yolov8s" || got.Bottleneck != 491 || got.Library.P50 != 1 {
		t.Errorf("model %+v", got)
	}
	if st.Sentence() != "The hailo8 is ready, HailoRT 4.23.0." {
		t.Errorf("it says %q", st.Sentence())
	}
	if m.Memory() < 4*(pixels+4) || len(m.Shape().Inputs) != 1 {
		t.Errorf("memory %d, shape %+v", m.Memory(), m.Shape())
	}
}

// TestCrash ends the worker in the midst of an inference: that one fails, and
// those who come meanwhile wait for the next worker, which has the models again.
func TestCrash(t *testing.T) {
	r := newRig(t, "", nil)
	m, other := r.add(t, "one"), r.add(t, "other")
	_, err := infer1(soon(t), m, workertest.Crash)
	if down, ok := errors.AsType[*hailo.Down](err); !ok || down.Code != hailo.InferAborted || !errors.Is(err, hailo.ErrDown) {
		t.Fatalf("the inference that killed the worker gave %v", err)
	}
	good(t, m) // waits for a second
	good(t, other)
	st := r.state(t, hailo.StateReady)
	if st.Restarts != 1 || !strings.Contains(st.LastRestart, "signal 9") || !strings.Contains(st.LastRestart, "it hurts") {
		t.Errorf("%d restarts, the last since %q", st.Restarts, st.LastRestart)
	}
}

// TestFailure has the chip fail: the worker is replaced, and the reason is told.
func TestFailure(t *testing.T) {
	r := newRig(t, "", nil)
	m := r.add(t, "one")
	_, err := infer1(soon(t), m, workertest.Fail)
	if down, ok := errors.AsType[*hailo.Down](err); !ok || down.Code != hailo.DeviceLost {
		t.Fatalf("got %v", err)
	}
	if st := r.state(t, hailo.StateLost); st.Cause == nil || st.Cause.Remedy == "" || r.Down() == nil {
		t.Errorf("%+v, down: %v", st, r.Down())
	}
	good(t, m)
	if r.Down() != nil {
		t.Error(r.Down())
	}
}

func TestHang(t *testing.T) {
	r := newRig(t, "", func(c *hailo.Config) { c.Cap = 300 * time.Millisecond })
	m := r.add(t, "one")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	// The deadline, and not the word of the supervisor that comes with the restart: the
	// caller was not kept until then.
	if _, err := infer1(ctx, m, workertest.Hang); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
	st := r.until(t, "restart", func(st hailo.Status) bool { return st.Restarts == 1 })
	if !strings.Contains(st.LastRestart, "no result in time") {
		t.Errorf("restarted since %q", st.LastRestart)
	}
	good(t, m)
}

// TestWedged has a worker that nothing ends, for a driver that hangs holds it:
// callers go on, no second worker is started beside it, and once the kernel lets
// go of it the models come back.
func TestWedged(t *testing.T) {
	r := newRig(t, "", func(c *hailo.Config) { c.Cap = 100 * time.Millisecond })
	m, leaves := r.add(t, "one"), r.add(t, "other")
	pid := r.Status().Get().Worker.PID
	release := hailo.Wedge(r.Supervisor)
	t.Cleanup(release)
	_, err := infer1(soon(t), m, workertest.Hang)
	if down, ok := errors.AsType[*hailo.Down](err); !ok || down.Code != hailo.InferTimeout {
		t.Fatalf("the inference that hangs gave %v", err)
	}
	st := r.state(t, hailo.StateWedged)
	if st.Cause == nil || st.Cause.Code != hailo.Wedged || st.Cause.Remedy != "sudo reboot" || st.Restarts != 1 {
		t.Errorf("%+v", st)
	}
	for range 2 { // also after the first pause, there is nothing to wait for
		_, err = infer1(soon(t), m, 1)
		if down, ok := errors.AsType[*hailo.Down](err); !ok || down.Code != hailo.Wedged {
			t.Errorf("then an inference gave %v", err)
		}
		time.Sleep(1200 * time.Millisecond)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("the worker is gone: %v", err)
	}
	if st := r.Status().Get(); st.State != hailo.StateWedged || st.Restarts != 1 {
		t.Errorf("beside it another was started: %+v", st)
	}
	if err := leaves.Close(); err != nil {
		t.Error(err)
	}
	release()
	r.state(t, hailo.StateReady)
	good(t, m)
	if st := r.Status().Get(); st.Restarts != 1 || st.Worker.PID == pid {
		t.Errorf("%d restarts, worker %d", st.Restarts, st.Worker.PID)
	}
}

// TestInterrupted retries once what a signal cut short, and nobody hears of it.
func TestInterrupted(t *testing.T) {
	r := newRig(t, "", nil)
	m := r.add(t, "one")
	if sum, err := infer1(soon(t), m, workertest.Once); err != nil || sum != workertest.Once+pixels-1 {
		t.Fatalf("got %v and %v", sum, err)
	}
	st := r.state(t, hailo.StateReady)
	if st.Restarts != 1 || strings.Contains(r.log.String(), "out of service") {
		t.Errorf("%d restarts\n%s", st.Restarts, r.log)
	}
}

// TestRefusedRequest costs nothing but the request.
func TestRefusedRequest(t *testing.T) {
	r := newRig(t, "", nil)
	m := r.add(t, "one")
	_, err := infer1(soon(t), m, workertest.Refuse)
	if refused, ok := errors.AsType[*hailo.Refused](err); !ok || refused.Code != hailo.InferBadInput {
		t.Fatalf("got %v", err)
	}
	good(t, m)
	if st := r.Status().Get(); st.Restarts != 0 {
		t.Errorf("%d restarts", st.Restarts)
	}
}

// TestCancel lets a caller go in the midst of an inference: the slot comes back
// once the answer does, and nothing is restarted.
func TestCancel(t *testing.T) {
	r := newRig(t, "", func(c *hailo.Config) { c.Depth = 1 })
	m := r.add(t, "one")
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if _, err := infer1(ctx, m, workertest.Slow); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		cancel()
	}
	good(t, m)
	if st := r.Status().Get(); st.Restarts != 0 {
		t.Errorf("%d restarts", st.Restarts)
	}
}

func TestBadModel(t *testing.T) {
	r := newRig(t, "", nil)
	m := r.add(t, "one")
	_, err := r.Add(soon(t), hailo.Spec{Name: "bad", File: modelFile(t, []byte("no model at all, as far as one can tell"))})
	if refused, ok := errors.AsType[*hailo.Refused](err); !ok || refused.Code != hailo.ModelCorrupt {
		t.Fatalf("got %v", err)
	}
	good(t, m) // in the next worker
	if st := r.state(t, hailo.StateReady); st.Restarts > 1 {
		t.Errorf("%d restarts", st.Restarts)
	}
}

// TestUnload replaces the worker, and the requests on the other model wait for it.
func TestUnload(t *testing.T) {
	r := newRig(t, "", nil)
	m, other := r.add(t, "one"), r.add(t, "other")
	if err := errors.Join(m.Close(), m.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := infer1(soon(t), m, 1); !errors.Is(err, hailo.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	r.until(t, "new worker", func(st hailo.Status) bool { return st.Restarts == 1 && st.State == hailo.StateReady })
	good(t, other)
	if strings.Contains(r.log.String(), "out of service") {
		t.Errorf("a planned restart passes for a fault:\n%s", r.log)
	}
}

// TestGrownWorker has a worker that gains memory at once: it is faulty, and not
// started again and again without a pause.
func TestGrownWorker(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: waits for the second sign of life for seconds")
	}
	r := newRig(t, workertest.Grows, nil)
	st := r.state(t, hailo.StateDegraded)
	if st.Restarts != 1 || !strings.Contains(st.LastRestart, "has grown to 1048576 MiB within 2s") || r.Down() == nil {
		t.Errorf("%d restarts, the last since %q; down: %v", st.Restarts, st.LastRestart, r.Down())
	}
}

// TestWatched has the link and the supply get worse while the chip works.
func TestWatched(t *testing.T) {
	root := Good().With(PCI+"/aer_dev_correctable", "RxErr 7\nTOTAL_ERR_COR 7\n").Make(t)
	r := newRig(t, "", func(c *hailo.Config) { c.Host.Root = root; c.Warm = 47; c.Hot = 60 })
	if st := r.until(t, "temperature", func(st hailo.Status) bool { return st.Temperature != nil }); st.LinkErrors != 0 || st.Zone != "warm" {
		t.Errorf("%d errors at first, zone %s", st.LinkErrors, st.Zone)
	}
	if err := os.WriteFile(filepath.Join(root, PCI+"/aer_dev_correctable"), []byte("RxErr 12\nTOTAL_ERR_COR 12\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hailo.Watch(r.Supervisor)
	st := r.Status().Get()
	if st.LinkErrors != 5 || !slices.ContainsFunc(st.Findings, func(f hailo.Finding) bool {
		return f.Code == hailo.LinkErrors && strings.Contains(f.Detail, "12 errors")
	}) {
		t.Errorf("it says %+v", st.Findings)
	}
}

// TestDoesNotStart names the cause for each way in which a worker does not come up.
func TestDoesNotStart(t *testing.T) {
	for name, test := range map[string]struct {
		fault  string
		change func(*testing.T, *hailo.Config)
		state  hailo.State
		detail string
	}{
		"it babbles":          {workertest.Babbles, nil, hailo.StateDegraded, "packet of 17 bytes, a header alone has 40"},
		"it exits":            {workertest.Exits, nil, hailo.StateDegraded, "the worker ended with code 3; its last word: no luck today"},
		"the chip is in use":  {workertest.Busy, nil, hailo.StateBusy, "used by another program"},
		"an unknown library":  {workertest.Unknown, nil, hailo.StateRuntime, "not known to the worker: 4.99.0"},
		"no chip":             {"", func(t *testing.T, c *hailo.Config) { c.Host.Root = Tree{}.Make(t) }, hailo.StateAbsent, "No Hailo device"},
		"another driver":      {"", func(t *testing.T, c *hailo.Config) { c.Host.Root = Good().With(Module+"/version", "4.20.0\n").Make(t) }, hailo.StateRuntime, "they must be equal"},
		"no worker program":   {"", func(_ *testing.T, c *hailo.Config) { c.Workers = nil }, hailo.StateRuntime, "prime-spark-hailo-worker is not here"},
		"no Python worker":    {"", func(t *testing.T, c *hailo.Config) { c.Host.Root = soc().Make(t) }, hailo.StateRuntime, "Python worker, which HailoRT 5.1.1 needs"},
		"not to be executed":  {"", func(_ *testing.T, c *hailo.Config) { c.Workers = []hailo.Worker{{Argv: []string{"/nonexistent"}}} }, hailo.StateDegraded, "no such file"},
		"no such library":     {"", func(t *testing.T, c *hailo.Config) { double(t, c); c.Library = "/nonexistent.so" }, hailo.StateRuntime, "that hailo.library names cannot be used: /nonexistent.so: cannot open"},
		"a double of nothing": {workertest.Exits, func(t *testing.T, c *hailo.Config) { c.Host.Root, c.Library = Tree{}.Make(t), "/nonexistent.so" }, hailo.StateDegraded, "ended with code 3"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, test.fault, func(c *hailo.Config) {
				if test.change != nil {
					test.change(t, c)
				}
			})
			st := r.state(t, test.state)
			if st.Cause == nil || !strings.Contains(st.Cause.Detail, test.detail) {
				t.Fatalf("cause %+v, want %q", st.Cause, test.detail)
			}
			// A model is refused at once, or when the next try has failed, too.
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, err := r.Add(ctx, hailo.Spec{Name: "one", File: modelFile(t, tiny())}); !errors.Is(err, hailo.ErrDown) && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Add: %v", err)
			}
		})
	}
}

func soc() Tree {
	return Good().Without(Module, Library).With(PCI+"/device", "0x45c4\n", "sys/module/hailo1x_pci/version", "5.1.1\n",
		"usr/lib/libhailort.so.5.1.1", "ELF", Packages, Installed("python3-h10-hailort", "5.1.1"))
}

// TestComesBack mends the host while the supervisor runs.
func TestComesBack(t *testing.T) {
	root := Good().Without(Node).Make(t)
	r := newRig(t, "", func(c *hailo.Config) { c.Host.Root = root })
	r.state(t, hailo.StateDriver)
	err := os.MkdirAll(filepath.Join(root, "dev"), 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(root, Node), nil, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.state(t, hailo.StateReady)
	m := r.add(t, "one")
	good(t, m)
	if n := strings.Count(r.log.String(), "out of service"); n != 1 {
		t.Errorf("the fault was told %d times:\n%s", n, r.log)
	}
}

// TestFrozen stops the worker: it does not answer, and is replaced.
func TestFrozen(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: waits for a sign of life for seconds")
	}
	r := newRig(t, "", nil)
	m := r.add(t, "one")
	if err := syscall.Kill(r.Status().Get().Worker.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	r.until(t, "restart", func(st hailo.Status) bool { return st.Restarts == 1 })
	good(t, m)
}
