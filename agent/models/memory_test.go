package models_test

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"

	"primespark/agent/infer"
	"primespark/agent/infer/infertest"
	"primespark/agent/models"
	"primespark/shared/model"
	"primespark/shared/problem"
	"primespark/shared/tensor"
)

// holding is an engine whose sessions hold that much.
func holding(bytes int64) *infertest.Fake {
	f := engine("")
	f.Holds = bytes
	return f
}

func TestMemoryOfSessions(t *testing.T) {
	quiet := replaced("resources: {memory: 10MiB}", "")
	for name, test := range map[string]struct {
		files models.Files
		holds int64
		room  int64
		want  string // in the reason why it is refused; "" if it is not
	}{
		"less than declared":      {pets(), 5 << 20, 10 << 20, ""},
		"more than declared":      {pets(), 20 << 20, 30 << 20, ""},
		"much, as declared":       {replaced("10MiB", "100MiB"), 90 << 20, 0, ""},
		"declared, and no room":   {pets(), 5 << 20, 9 << 20, "needs 10MiB, and 9MiB of 9MiB are left"},
		"more, and no room":       {pets(), 20 << 20, 15 << 20, "needs more memory than is left, and 15MiB of 15MiB are left"},
		"tensors, and no room":    {quiet, 15<<20 - 100, 15 << 20, "needs 16MiB, and 15MiB of 15MiB are left"},
		"much from a tiny file":   {quiet, 65 << 20, 0, "it may take 671"},
		"tensors over allowance":  {quiet, 64<<20 + 300, 0, "may take 65MiB; declare resources.memory"},
		"within what it may take": {quiet, 60 << 20, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := started(t, models.Config{
				Backends: []infer.Backend{holding(test.holds)}, Memory: test.room, Embedded: map[string]models.Files{"pets": test.files},
			})
			s := r.Index()[0]
			if s.State == model.Ready != (test.want == "") || !strings.Contains(s.Reason, test.want) {
				t.Errorf("Index = %+v, want %q", s, test.want)
			}
		})
	}
}

func TestMemoryCountsWhatIsHeld(t *testing.T) {
	r := started(t, models.Config{
		Backends: []infer.Backend{holding(20 << 20)}, Memory: 45 << 20,
		Embedded: map[string]models.Files{"pets": pets(), "quiet": replaced("name: pets", "name: quiet"), "third": replaced("name: pets", "name: third")},
	})
	if warm, cold := resident(r); len(warm) != 2 || len(cold) != 1 {
		t.Errorf("Index = %+v, want two models of 20 MiB in 45, and one that waits for room", r.Index())
	}
	if err := r.Load(t.Context(), "third"); err != nil {
		t.Errorf("Load = %v, want that one of the others makes room", err)
	}
	if warm, cold := resident(r); len(warm) != 2 || len(cold) != 1 {
		t.Errorf("afterwards: Index = %+v", r.Index())
	}
}

// TestLargeNetwork refuses a file without hashing it, which would take a second for each half gigabyte.
func TestLargeNetwork(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "pets"), pets())
	if err := os.Truncate(filepath.Join(dir, "pets", "net.fake"), 1<<40); err != nil {
		t.Fatal(err)
	}
	r := started(t, models.Config{Backends: []infer.Backend{engine("")}, Dir: dir, Embedded: map[string]models.Files{}})
	if s := r.Index()[0]; !strings.Contains(s.Reason, "net.fake has 1TiB; at most 256MiB are read") && !strings.Contains(s.Reason, "net.fake has 1024GiB; at most 256MiB are read") {
		t.Errorf("Index = %+v", s)
	}
}

// TestBrokenModelIsWithdrawn takes a model out of service whose engine met a fault of its own.
func TestBrokenModelIsWithdrawn(t *testing.T) {
	broken := engine("")
	calls := 0
	broken.Answer = func([]tensor.Tensor, []tensor.Tensor) error {
		if calls++; calls > 1 { // the first inference warms up
			return fmt.Errorf("%w: node 7", infer.ErrBroken)
		}
		return nil
	}
	r := served(t, edited("model.yaml", func(b []byte) []byte {
		return []byte(strings.Replace(string(b), "selftest: {image: photo.jpg, expect: [{label: dog, min_score: 0.5}]}\n", "", 1))
	}), broken)
	in, err := tensor.New("image", tensor.Float32, 1, 3, 4, 4)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Infer(t.Context(), "pets", "", infer.Request{Inputs: []tensor.Tensor{in}}); !problem.Is(err, problem.Unexpected) {
		t.Errorf("Infer = %v, want Unexpected", err)
	}
	if s := r.Index()[0]; s.State != model.Unavailable || !strings.Contains(s.Reason, "node 7") {
		t.Errorf("Index = %+v, want UNAVAILABLE because of node 7", s)
	}
}

// TestLargeImagesLeaveNothing sends an image that takes 18 MB to decode, and looks at what
// the process still has of the system's memory.
func TestLargeImagesLeaveNothing(t *testing.T) {
	var photo bytes.Buffer
	if err := png.Encode(&photo, image.NewRGBA(image.Rect(0, 0, 2100, 2100))); err != nil {
		t.Fatal(err)
	}
	r := served(t, pets(), engine(""))
	retained := func() int64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapSys - m.HeapReleased)
	}
	debug.FreeOSMemory()
	before := retained()
	look(t, r, "pets", photo.Bytes())
	if more := retained() - before; more > 9<<20 {
		t.Errorf("%d MiB are left", more>>20)
	}
}

// TestNoRoomIsNoFault of the package: nobody is told to mend it.
func TestNoRoomIsNoFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		r := started(t, models.Config{
			Backends: []infer.Backend{engine("")}, Memory: 15 << 20, Log: slog.New(slog.NewTextHandler(&log, nil)),
			Embedded: map[string]models.Files{"pets": pets(), "vast": edited("model.yaml", func(b []byte) []byte {
				return []byte(strings.NewReplacer("name: pets", "name: vast", "memory: 10MiB", "memory: 16MiB").Replace(string(b)))
			})},
		})
		if err := r.Load(t.Context(), "vast"); !problem.Is(err, problem.NoCapacity) {
			t.Errorf("Load = %v, want NoCapacity", err)
		}
		synctest.Wait()
		if said := log.String(); !strings.Contains(said, "no room for a model") || strings.Contains(said, "mend its package") {
			t.Errorf("the log says %s", said)
		}
	})
}
