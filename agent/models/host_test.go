package models_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"primespark/agent/infer"
	"primespark/agent/models"
	"primespark/shared/problem"
	"primespark/shared/tensor"
	"primespark/shared/testphoto"
)

// TestHostMemory loads no model that would make the host swap, says so to who asks, and
// loads it for a request once there is room.
func TestHostMemory(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), named("a")) // 10 MiB
	synctest.Test(t, func(t *testing.T) {
		var free atomic.Int64
		free.Store(70 << 20)
		r := started(t, models.Config{
			Backends: []infer.Backend{engine("")}, Dir: dir, Embedded: map[string]models.Files{},
			Free: func() (int64, error) { return free.Load(), nil },
		})
		photo := infer.Request{Inputs: []tensor.Tensor{tensor.FromBytes("image", testphoto.Astronaut())}}
		asked := func() error { _, err := r.Infer(t.Context(), "a", "", photo); return err }
		for range 2 { // it stays cold
			p := problem.Of(asked())
			if p.Code != problem.NoCapacity || p.RetryAfter != 30*time.Second || !strings.Contains(p.Detail, "needs 10MiB, and this host has 70MiB left, of which 64MiB are kept free") {
				t.Errorf("without memory: %+v", p)
			}
			time.Sleep(time.Minute)
		}
		if _, cold := resident(r); !slices.Equal(cold, []string{"a"}) {
			t.Errorf("cold are %v", cold)
		}
		if err := r.Load(t.Context(), "a"); !problem.Is(err, problem.NoCapacity) {
			t.Errorf("an operator's load: %v", err)
		}
		free.Store(80 << 20)
		p := problem.Of(asked())
		if p.Code != problem.NotReady || !strings.Contains(p.Detail, "being loaded") {
			t.Errorf("with memory: %+v", p)
		}
		time.Sleep(p.RetryAfter)
		if err := asked(); err != nil {
			t.Errorf("after Retry-After: %v", err)
		}
	})
}

// TestHostMemoryInVain unloads nothing for a model that has no room even then.
func TestHostMemoryInVain(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		write(t, filepath.Join(dir, name), named(name))
	}
	var free atomic.Int64
	free.Store(100 << 20)
	r := started(t, models.Config{
		Backends: []infer.Backend{engine("")}, Dir: dir, Embedded: map[string]models.Files{},
		Free: func() (int64, error) { return free.Load(), nil },
	})
	if err := r.Unload(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	free.Store(50 << 20)
	if err := r.Load(t.Context(), "b"); !problem.Is(err, problem.NoCapacity) {
		t.Errorf("Load: %v", err)
	}
	if !r.Ready("a", "") {
		t.Error("a was unloaded for nothing")
	}
}

// TestHostMemoryUnknown loads a model where the host does not tell.
func TestHostMemoryUnknown(t *testing.T) {
	r := started(t, models.Config{
		Backends: []infer.Backend{engine("")}, Embedded: map[string]models.Files{"pets": pets()},
		Free: func() (int64, error) { return 0, errors.New("no /proc") },
	})
	if !r.Ready("pets", "") {
		t.Errorf("it is %+v", r.Index())
	}
}

// TestHostMemoryMadeByOthers unloads a model that nobody uses for one that is asked for.
func TestHostMemoryMadeByOthers(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		write(t, filepath.Join(dir, name), named(name))
	}
	synctest.Test(t, func(t *testing.T) {
		var kept atomic.Pointer[models.Registry]
		r := started(t, models.Config{
			Backends: []infer.Backend{engine("")}, Dir: dir, Embedded: map[string]models.Files{},
			Free: func() (int64, error) { // room for one of them
				if r := kept.Load(); r == nil || r.Ready("a", "") || r.Ready("b", "") {
					return 73 << 20, nil
				}
				return 83 << 20, nil
			},
		})
		kept.Store(r)
		if err := r.Load(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		photo := infer.Request{Inputs: []tensor.Tensor{tensor.FromBytes("image", testphoto.Astronaut())}}
		asked := func() error { _, err := r.Infer(t.Context(), "b", "", photo); return err }
		if err := asked(); !problem.Is(err, problem.NoCapacity) {
			t.Errorf("while a is in use: %v", err)
		}
		time.Sleep(time.Minute)
		if err := asked(); !problem.Is(err, problem.NotReady) {
			t.Errorf("b: %v", err)
		}
		time.Sleep(2 * time.Second)
		if err := asked(); err != nil {
			t.Errorf("b: %v", err)
		}
		if warm, _ := resident(r); !slices.Equal(warm, []string{"b"}) {
			t.Errorf("resident are %v", warm)
		}
	})
}
