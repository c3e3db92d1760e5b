package systest_test

import (
	"slices"
	"testing"
	"time"

	"primespark/coordinator/systest"
	"primespark/shared/wire"
)

// TestTwoAndAWitness: a site with two coordinators and a witness goes on when
// either is lost, and shows the witness for what it is.
func TestTwoAndAWitness(t *testing.T) {
	systest.Test(t, 2, 1, func(t *testing.T, f *systest.Fleet) {
		f.JoinWitness("w1")
		f.WaitHealthy(3, 1)
		all := f.Via("c1", "c2")
		defer all.Close()
		s, _ := all.Wait("the witness shows as one", time.Minute, func(s wire.StatusBody) bool {
			w := find(s, "w1")
			return w.Role == wire.RoleWitness && w.Voter && w.Alive && w.API == "" && len(w.Conditions) == 0
		})
		for _, path := range []string{"/livez", "/v1/version", "/metrics"} {
			if code, _ := f.Probe("w1", path); code != 200 {
				t.Errorf("%s of the witness: %d", path, code)
			}
		}
		time.Sleep(5 * time.Second)
		if code, body := f.Probe("w1", "/readyz"); code != 200 || !body.Ready {
			t.Errorf("/readyz of the witness: %d %+v", code, body)
		}
		for _, path := range []string{"/v1/status", "/", "/openapi.json"} {
			if code, _ := f.Probe("w1", path); code != 404 {
				t.Errorf("%s of the witness: %d, want 404", path, code)
			}
		}
		for range 2 {
			leader := s.Leader
			rest := f.Via(others(s, leader, "w1")...)
			f.Kill(leader)
			if err := rest.Change(10 * time.Second); err != nil {
				t.Errorf("without %s: %v", leader, err)
			}
			if _, _, err := rest.Photo(10 * time.Second); err != nil {
				t.Errorf("inference without %s: %v", leader, err)
			}
			rest.Close()
			f.Revive(leader)
			s = f.WaitHealthy(3, 1)
			s, _ = all.Wait("all are back", time.Minute, func(s wire.StatusBody) bool {
				return s.Leader != "" && s.Summary.QuorumHave == 3 && !slices.ContainsFunc(s.Coordinators, func(c wire.Coordinator) bool { return !c.Voter })
			})
		}
		f.Kill("w1")
		if err := all.Change(10 * time.Second); err != nil {
			t.Errorf("without the witness: %v", err)
		}
		all.Wait("the witness is missed", time.Minute, func(s wire.StatusBody) bool { return find(s, "w1").Role == wire.RoleUnreachable })
		f.Revive("w1")
		f.WaitHealthy(3, 1)
	})
}

func find(s wire.StatusBody, name string) (found wire.Coordinator) {
	if i := slices.IndexFunc(s.Coordinators, func(c wire.Coordinator) bool { return c.Name == name }); i >= 0 {
		found = s.Coordinators[i]
	}
	return found
}
