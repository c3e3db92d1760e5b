package systest

import (
	"primespark/coordinator"
	"primespark/shared/doctor"
)

// Examine has the doctor look at a coordinator, and returns what it says of a section,
// by check; of several findings the worst.
func (f *Fleet) Examine(name, section string) map[string]doctor.Result {
	f.t.Helper()
	p := f.nodes[name]
	found := map[string]doctor.Result{}
	for _, r := range coordinator.Examine(f.t.Context(), p.coordinator(), p.host.Dial).Results {
		if was, more := found[r.Check]; r.Section == section && (!more || r.Severity.Worse(was.Severity)) {
			found[r.Check] = r
		}
	}
	return found
}
