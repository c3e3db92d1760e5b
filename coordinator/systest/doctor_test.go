package systest_test

import (
	"strings"
	"testing"
	"time"

	"primespark/coordinator/systest"
	"primespark/shared/doctor"
	"primespark/shared/wire"
)

// TestDoctor: the doctor asks the group and knocks at the others' doors, whether the
// coordinator that it looks at runs or not.
func TestDoctor(t *testing.T) {
	systest.Test(t, 3, 0, func(t *testing.T, f *systest.Fleet) {
		expect := func(when, name, check string, severity doctor.Severity, words string) {
			t.Helper()
			got := f.Examine(name, "group")[check]
			if got.Severity != severity || !strings.Contains(got.Detail, words) {
				t.Errorf("%s, %s says of %s %+v; want %s and %q", when, name, check, got, severity, words)
			}
		}
		own := f.Via("c1")
		defer own.Close()
		own.Wait("all three are alive", time.Minute, func(s wire.StatusBody) bool { return s.Summary.QuorumHave == 3 })
		expect("all well", "c1", "quorum", doctor.OK, "alive are 3 of 3 voters")
		expect("all well", "c1", "this one", doctor.OK, "It votes")
		expect("all well", "c1", "others", doctor.OK, "Answered: c2")

		f.Kill("c3")
		if _, err := f.Via("c1", "c2").Status(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second) // until gossip knows
		expect("c3 is gone", "c1", "quorum", doctor.Warning, "alive are 2 of 3 voters")
		expect("c3 is gone", "c1", "others", doctor.Warning, "c3 does not answer at")

		f.Stop("c2")
		time.Sleep(10 * time.Second)
		expect("c1 is alone", "c1", "quorum", doctor.Fault, "cannot decide")
		f.Stop("c1")
		expect("c1 does not run", "c1", "quorum", doctor.Warning, "Nobody tells how the group is")
	})
}
