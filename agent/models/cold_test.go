package models_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"primespark/agent/infer"
	"primespark/agent/models"
	"primespark/shared/problem"
	"primespark/shared/tensor"
	"primespark/shared/testphoto"
)

// named is pets under another name.
func named(name string) models.Files { return replaced("name: pets", "name: "+name) }

// resident names the models in memory, and those that a request would load.
func resident(r *models.Registry) (warm, cold []string) {
	for _, s := range r.Serving() {
		if s.Cold {
			cold = append(cold, s.Name)
		} else {
			warm = append(warm, s.Name)
		}
	}
	return warm, cold
}

// TestCold: models that do not fit beside each other are loaded when they are asked for,
// and who asks is told when to come back. The one that was used longest ago makes room.
func TestCold(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		write(t, filepath.Join(dir, name), named(name))
	}
	synctest.Test(t, func(t *testing.T) {
		fake := engine("")
		fake.Cost = 300 * time.Millisecond
		var held error
		r := started(t, models.Config{
			Backends: []infer.Backend{fake}, Dir: dir, Embedded: map[string]models.Files{}, Memory: 25 << 20, Hold: func() error { return held },
		})
		is := func(when string, wantWarm, wantCold []string) {
			t.Helper()
			if warm, cold := resident(r); !slices.Equal(warm, wantWarm) || !slices.Equal(cold, wantCold) {
				t.Errorf("%s: resident %v, cold %v, want %v, %v", when, warm, cold, wantWarm, wantCold)
			}
		}
		is("at the start", []string{"a", "b"}, []string{"c"})
		photo := infer.Request{Inputs: []tensor.Tensor{tensor.FromBytes("image", testphoto.Astronaut())}}
		asked := func(name string) error { _, err := r.Infer(t.Context(), name, "", photo); return err }
		time.Sleep(time.Minute)
		if err := asked("b"); err != nil {
			t.Fatal(err)
		}
		held = problem.New(problem.NotReady, "Wait.", "This node runs on battery.")
		if err := asked("c"); err == nil || !strings.Contains(err.Error(), "on battery") {
			t.Errorf("while loads are held back: %v", err)
		}
		held = nil
		p := problem.Of(asked("c"))
		if p.Code != problem.NotReady || p.RetryAfter < time.Second || !strings.Contains(p.Detail, "being loaded") {
			t.Errorf("the first request for a cold model: %+v", p)
		}
		time.Sleep(p.RetryAfter)
		if err := asked("c"); err != nil {
			t.Errorf("after Retry-After: %v", err)
		}
		is("after c was asked for", []string{"b", "c"}, []string{"a"})
		// Now both were used just now: neither makes room for a request, who is told when one
		// may, and an operator has his way.
		time.Sleep(2 * time.Second)
		p = problem.Of(asked("a"))
		if p.Code != problem.NoCapacity || p.RetryAfter < time.Second || p.RetryAfter > 2*time.Second ||
			!strings.Contains(p.Detail, "needs 10MiB, and 5MiB of 25MiB are left for models; others were in use in the last 5s") {
			t.Errorf("a, while both are in use: %+v after %v", p, p.RetryAfter)
		}
		is("while both are in use", []string{"b", "c"}, []string{"a"})
		if err := r.Load(t.Context(), "a"); err != nil {
			t.Errorf("Load: %v", err)
		}
		is("after an operator loaded a", []string{"a", "c"}, []string{"b"})
		// The second time it is known how long it takes.
		time.Sleep(time.Minute)
		if err := asked("b"); !problem.Is(err, problem.NotReady) {
			t.Errorf("b: %v", err)
		}
		time.Sleep(400 * time.Millisecond)
		if err := asked("b"); err == nil || !strings.Contains(err.Error(), "% by the 0.6 s that it took the last time") {
			t.Errorf("while b is being loaded: %v", err)
		}
		time.Sleep(time.Second)
		if err := asked("b"); err != nil {
			t.Errorf("b: %v", err)
		}
	})
}

// TestNoRequestIsLostToRoom: a model that answers is not unloaded.
func TestNoRequestIsLostToRoom(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		write(t, filepath.Join(dir, name), named(name))
	}
	synctest.Test(t, func(t *testing.T) {
		fake := engine("")
		fake.Cost = time.Second
		r := started(t, models.Config{Backends: []infer.Backend{fake}, Dir: dir, Embedded: map[string]models.Files{}, Memory: 15 << 20})
		done := make(chan error, 1)
		go func() {
			_, err := r.Infer(t.Context(), "a", "", infer.Request{Inputs: []tensor.Tensor{tensor.FromBytes("image", testphoto.Astronaut())}})
			done <- err
		}()
		synctest.Wait()
		if err := r.Load(t.Context(), "b"); !problem.Is(err, problem.NoCapacity) {
			t.Errorf("Load beside a model at work: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("the request under way: %v", err)
		}
		if err := r.Load(t.Context(), "b"); err != nil {
			t.Errorf("Load afterwards: %v", err)
		}
	})
}
