package mesh_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"primespark/shared/mesh"
)

var update = flag.Bool("update", false, "rewrite the golden files")

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
	path := filepath.Join("testdata", "explain.golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text.String() != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", text.String(), want)
	}
}
