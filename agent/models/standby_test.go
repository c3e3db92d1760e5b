package models_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"primespark/agent/infer"
	"primespark/agent/infer/infertest"
	"primespark/agent/models"
	"primespark/shared/model"
	"primespark/shared/problem"
	"primespark/shared/tensor"
	"primespark/shared/testphoto"
)

// chip is the fake as an accelerator that does two things at a time.
func chip() *infertest.Device {
	return &infertest.Device{Fake: *engine("chip"), Slots: 2}
}

// both is the package for the chip, and for the processor if that is not there.
func both() models.Files {
	return replaced("variants: [{engine: fake", "variants: [{engine: chip, file: net.fake, sha256: "+fmt.Sprintf("%x", sha256.Sum256([]byte(infertest.Model)))+"}, {engine: fake")
}

// alone is the package for the chip alone.
func alone() models.Files { return replaced("variants: [{engine: fake", "variants: [{engine: chip") }

// by asks and returns which engine answered.
func by(ctx context.Context, r *models.Registry) (string, error) {
	answer, err := r.Infer(ctx, "pets", "", infer.Request{Inputs: []tensor.Tensor{tensor.FromBytes("image", testphoto.Astronaut())}})
	return answer.Backend, err
}

func wantBy(t *testing.T, r *models.Registry, want string) {
	t.Helper()
	if got, err := by(t.Context(), r); got != want || err != nil {
		t.Fatalf("answered by %q, %v; want %q", got, err, want)
	}
	if s := r.Serving(); len(s) != 1 || s[0].Backend != want {
		t.Fatalf("Serving = %+v, want by %s", s, want)
	}
}

// TestStandby takes the chip away and gives it back: the next variant answers
// meanwhile, which the index says, and is put away a minute after.
func TestStandby(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := chip()
		r := served(t, both(), c, engine(""))
		wantBy(t, r, "chip")
		c.Set(errors.New("the ribbon came off"))
		synctest.Wait()
		wantBy(t, r, "fake")
		st := r.Index()[0]
		if st.State != model.Ready || !strings.HasPrefix(st.Reason, "fake answers meanwhile, since chip does not") || !strings.Contains(st.Reason, "the ribbon came off") {
			t.Errorf("the index says %+v", st)
		}
		c.Set(nil)
		synctest.Wait()
		wantBy(t, r, "chip")
		if st := r.Index()[0]; st.Reason != "" {
			t.Errorf("the index still says %q", st.Reason)
		}
		time.Sleep(2 * time.Minute) // and the standby goes; nothing that can be seen changes
		wantBy(t, r, "chip")
	})
}

// TestStandbyForACrash answers a request on which the engine died.
func TestStandbyForACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := chip()
		r := served(t, both(), infer.Faulty(c, infer.Crash, 2), engine(""))
		for range 3 {
			if got, err := by(t.Context(), r); got != "fake" || err != nil {
				t.Errorf("answered by %q, %v", got, err)
			}
		}
	})
}

// TestAbsentDevice begins without the chip: the model comes up on the next
// variant, and goes to the chip when that is there.
func TestAbsentDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := chip()
		c.Set(errors.New("no driver"))
		r := served(t, both(), c, engine(""))
		wantBy(t, r, "fake")
		if st := r.Index()[0]; !strings.Contains(st.Reason, "fake answers, since chip net.fake") || !strings.Contains(st.Reason, "no driver") {
			t.Errorf("the index says %+v", st)
		}
		c.Set(nil)
		synctest.Wait()
		wantBy(t, r, "chip")
	})
}

// TestDeviceAlone has no other variant: the model is not ready while the chip is
// away, says why, and comes back.
func TestDeviceAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := chip()
		c.Set(errors.New("no driver"))
		r := served(t, alone(), c, engine(""))
		if _, err := by(t.Context(), r); !problem.Is(err, problem.NotReady) || !strings.Contains(err.Error(), "no driver") {
			t.Errorf("before: %v", err)
		}
		c.Set(nil)
		synctest.Wait()
		wantBy(t, r, "chip")
		c.Set(errors.New("too hot"))
		synctest.Wait()
		if _, err := by(t.Context(), r); !problem.Is(err, problem.NotReady) || !strings.Contains(err.Error(), "too hot") {
			t.Errorf("after: %v", err)
		}
		if len(r.Serving()) != 0 || r.Ready("pets", "") {
			t.Errorf("it passes for serving: %+v", r.Serving())
		}
		if st := r.Index()[0]; st.State != model.Unavailable || !strings.Contains(st.Reason, "chip does not answer: ") {
			t.Errorf("the index says %+v", st)
		}
		c.Set(nil)
		synctest.Wait()
		wantBy(t, r, "chip")
	})
}
