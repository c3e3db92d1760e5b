package checkup_test

import (
	"fmt"
	"strings"
	"testing"

	"primespark/agent/checkup"
	"primespark/hailo"
	"primespark/hailo/hosttest"
	"primespark/shared/doctor"
	"primespark/shared/goldentest"
)

func told(results []doctor.Result) string {
	var b strings.Builder
	for _, r := range results {
		fmt.Fprintf(&b, "%s %s/%s: %s\n", r.Severity, r.Section, r.Check, r.Detail)
		if r.Remedy != "" {
			fmt.Fprintf(&b, "  > %s\n", r.Remedy)
		}
	}
	return b.String()
}

// TestHailo puts the versions side by side, and what the agent knows beside what
// the host tells.
func TestHailo(t *testing.T) {
	probe := func(tree hosttest.Tree) hailo.Facts {
		return hailo.Probe(hailo.Host{Root: tree.Make(t), PageSize: 4096, Open: func(string) error { return nil }})
	}
	var b strings.Builder
	for _, row := range []struct {
		name string
		h    checkup.Hailo
	}{
		{"in order", checkup.Hailo{Facts: probe(hosttest.Good()), Firmware: "4.23.0"}},
		{"another driver", checkup.Hailo{Facts: probe(hosttest.Good().With(hosttest.Module+"/version", "4.20.0\n"))}},
		{"off", checkup.Hailo{Off: true, Facts: probe(hosttest.Good())}},
		{"none", checkup.Hailo{Facts: probe(hosttest.Tree{})}},
		{"simulated", checkup.Hailo{Facts: hailo.Facts{Simulated: true}}},
		{"the agent knows more", checkup.Hailo{Facts: probe(hosttest.Good()), More: []hailo.Finding{{Code: hailo.Wedged, Severity: hailo.Fault, Detail: "The driver hangs.", Remedy: "sudo reboot"}}}},
	} {
		r := doctor.Run(t.Context(), "pi-1", row.h.Checks())
		fmt.Fprintf(&b, "## %s: %s\n%s", row.name, r.Verdict, told(r.Results))
	}
	goldentest.Compare(t, "hailo.txt", b.String())
}
