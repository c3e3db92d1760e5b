package doctor_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"primespark/shared/doctor"
	"primespark/shared/goldentest"
	"primespark/shared/mesh"
)

// TestMesh pins what the doctor says of each trouble with the mesh.
func TestMesh(t *testing.T) {
	chart := mesh.Map{Version: 17, Prefix: netip.MustParsePrefix("fd6d:7a4e:7e2d::/48"), IPv4: netip.MustParsePrefix("10.77.0.0/16"), Nodes: make([]mesh.Node, 3)}
	lan := func(p string) func() ([]mesh.Local, error) {
		return func() ([]mesh.Local, error) {
			return []mesh.Local{{Prefix: netip.MustParsePrefix(p), Interface: "eth0"}}, nil
		}
	}
	well := mesh.Report{Version: 17, Hub: "c1", Links: []mesh.Link{{Peer: "c1", Up: true}, {Peer: "c2"}}, Facts: mesh.Facts{Backend: mesh.Kernel, NAT: mesh.NATEasy}}
	with := func(f mesh.Facts) *mesh.Report { r := well; r.Facts = f; return &r }
	cases := map[string]doctor.Mesh{
		"off":             {},
		"no map":          {Enabled: true},
		"no agent":        {Enabled: true, Map: chart, Locals: lan("192.168.1.7/24")},
		"well":            {Enabled: true, Map: chart, Report: &well, Locals: lan("192.168.1.7/24")},
		"nat":             {Enabled: true, Map: chart, Report: with(mesh.Facts{NAT: mesh.NATHard}), Locals: lan("192.168.1.7/24")},
		"blocked udp":     {Enabled: true, Map: chart, Report: with(mesh.Facts{Blocked: []string{"c2"}}), Locals: lan("192.168.1.7/24")},
		"missing module":  {Enabled: true, Map: chart, Report: with(mesh.Facts{Backend: mesh.Userspace}), Locals: lan("192.168.1.7/24")},
		"no interface":    {Enabled: true, Map: chart, Report: with(mesh.Facts{Fault: "dial unix: connection refused"}), Locals: lan("192.168.1.7/24")},
		"alone":           {Enabled: true, Map: chart, Report: &mesh.Report{Version: 17, Links: []mesh.Link{{Peer: "c1"}}}, Locals: lan("192.168.1.7/24")},
		"clashing ranges": {Enabled: true, Map: chart, Report: &well, Locals: lan("10.77.3.4/24")},
		"nothing listed":  {Enabled: true, Map: chart, Report: &well, Locals: func() ([]mesh.Local, error) { return nil, errors.New("netlink: permission denied") }},
	}
	var names []string
	for name := range cases {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "# %s\n", name)
		for _, r := range doctor.Run(t.Context(), "pi-1", cases[name].Checks()).Results {
			fmt.Fprintf(&b, "%s %s %s %s\n\t%s\n", r.Severity, r.Check, r.Code, r.Detail, r.Remedy)
		}
	}
	goldentest.Compare(t, "mesh.txt", b.String())
}
