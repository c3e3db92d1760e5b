package hailo_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"primespark/agent/infer"
	"primespark/agent/infer/hailo"
	"primespark/agent/infer/infertest"
	chip "primespark/hailo"
	"primespark/hailo/hef"
	"primespark/hailo/hef/synth"
	"primespark/hailo/hosttest"
	"primespark/hailo/workertest"
	"primespark/shared/run/runtest"
	"primespark/shared/tensor"
)

func TestMain(m *testing.M) { workertest.Main(m) }

// open returns a backend over the fake worker.
func open(t testing.TB, fault string) *hailo.Backend {
	t.Helper()
	s := chip.New(chip.Config{
		Host:    chip.Host{Root: hosttest.Good().Make(t), PageSize: 4096, Open: func(string) error { return nil }},
		Workers: workertest.Workers(t, fault), Dir: t.TempDir(), Depth: 3,
	})
	runtest.Start(t, s)
	return hailo.New(s, 3)
}

func TestConformance(t *testing.T) {
	b := open(t, workertest.None)
	t.Run("tensors", func(t *testing.T) { infertest.TestBackend(t, b, synth.Tensors("resnet", 4, 2, 10).Bytes()) })
	t.Run("boxes", func(t *testing.T) { infertest.TestBackend(t, b, synth.Detector("yolo", 8, 3, 5).Bytes()) })
}

func TestSpecs(t *testing.T) {
	b := open(t, workertest.None)
	s := infertest.Load(t, b, synth.Detector("yolo", 8, 3, 5).Bytes())
	in, out := s.Inputs()[0], s.Outputs()[0]
	if in.Fits(tensor.Uint8, []int{1, 8, 8, 3}) != nil || out.Fits(tensor.Float32, []int{1, 3, 26}) != nil {
		t.Errorf("in %+v, out %+v", in, out)
	}
	got := infertest.Outputs(t, s)
	if err := s.Infer(t.Context(), infertest.Inputs(t, s), got); err != nil {
		t.Fatal(err)
	}
	want := []float32{0, 1, .25, .25, .75, .75, .9, 0}
	for i, v := range got[0].Float32s() {
		if i < len(want) && v != want[i] || i >= len(want) && v != 0 {
			t.Fatalf("number %d is %v in %v", i, v, got[0].Float32s()[:12])
		}
	}
	if b.Parallel() != 3 || b.Engine() != "hailo" {
		t.Errorf("%d at a time on %q", b.Parallel(), b.Engine())
	}
}

func load(t *testing.T, b infer.Backend, model []byte) (infer.Session, error) {
	return loadIn(t.Context(), t, b, model)
}

func loadIn(ctx context.Context, t *testing.T, b infer.Backend, model []byte) (infer.Session, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.hef")
	if err := os.WriteFile(path, model, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return b.Load(ctx, f, int64(len(model)), 0)
}

// TestWrongChip refuses a file before the library sees it.
func TestWrongChip(t *testing.T) {
	b := open(t, workertest.None)
	s := infertest.Load(t, b, synth.Tensors("one", 4, 1, 10).Bytes()) // so that the chip is known
	defer s.Close()
	other := synth.Tensors("other", 4, 1, 10)
	other.Arch = hef.ArchHailo1X
	if _, err := load(t, b, other.Bytes()); err == nil || !strings.Contains(err.Error(), "the file is for hailo10h and the chip is a hailo8") {
		t.Errorf("got %v", err)
	}
}

// TestOutage gives the words of the chip to who asks for a session, or has one.
func TestOutage(t *testing.T) {
	b := open(t, workertest.Busy)
	for {
		changed, err := b.Service()
		if err != nil {
			if !errors.Is(err, infer.ErrDown) || !strings.Contains(err.Error(), "used by another program") {
				t.Errorf("out of service: %v", err)
			}
			break
		}
		select {
		case <-changed:
		case <-time.After(20 * time.Second):
			t.Fatal("it passes for being in service")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := loadIn(ctx, t, b, synth.Tensors("one", 4, 1, 10).Bytes()); !errors.Is(err, infer.ErrDown) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Load: %v", err)
	}
}

func TestCrash(t *testing.T) {
	b := open(t, workertest.None)
	s := infertest.Load(t, b, synth.Tensors("one", 4, 1, 10).Bytes())
	in, out := infertest.Inputs(t, s), infertest.Outputs(t, s)
	in[0].Data[0] = workertest.Crash
	if err := s.Infer(t.Context(), in, out); !errors.Is(err, infer.ErrDown) {
		t.Errorf("got %v, want infer.ErrDown", err)
	}
	in[0].Data[0] = 1
	if err := s.Infer(t.Context(), in, out); err != nil { // waits for the next worker
		t.Errorf("afterwards: %v", err)
	}
}

// FuzzBoxes lets a worker say anything about boxes.
func FuzzBoxes(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0x80, 0x3f}, 3, 2)
	f.Add([]byte{0xff, 0xff, 0xff, 0x7f}, 1, 1)
	f.Fuzz(func(t *testing.T, data []byte, classes, most int) {
		classes, most = 1+(classes&7), 1+(most&7)
		from, to := make([]byte, 4*classes*(1+5*most)), make([]byte, 4*classes*(1+5*most))
		for i := range from {
			if len(data) > 0 {
				from[i] = data[i%len(data)]
			}
			to[i] = 0xee
		}
		hailo.Boxes(to, from, classes, most)
		for i := 0; i+4 <= len(to); i += 4 {
			if v := math.Float32frombits(binary.LittleEndian.Uint32(to[i:])); v != 0 && to[i] == 0xee && from[i] != 0xee {
				t.Fatalf("number %d is of an earlier inference", i/4)
			}
		}
	})
}
