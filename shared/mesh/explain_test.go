package mesh_test

import (
	"fmt"
	"strings"
	"testing"

	"primespark/shared/goldentest"
	"primespark/shared/mesh"
)

// TestExplain pins the words that a person reads.
func TestExplain(t *testing.T) {
	if all := mesh.Explain(mesh.Facts{Backend: mesh.Kernel, NAT: mesh.NATEasy}); len(all) != 0 {
		t.Errorf("nothing is wrong, and it says %v", all)
	}
	var text strings.Builder
	for _, e := range mesh.Explain(mesh.Facts{
		Backend: mesh.Userspace, NAT: mesh.NATHard, Blocked: []string{"c1", "c2"},
		Clash: "The mesh's IPv4 range 10.77.0.0/16 overlaps the network 10.77.9.0/24 of eth0 on this host.", Fault: "operation not permitted",
	}) {
		fmt.Fprintf(&text, "%s (bad: %t)\n%s\n%s\n\n", e.Code, e.Bad, e.Detail, e.Remedy)
	}
	goldentest.Compare(t, "explain.golden", text.String())
}
