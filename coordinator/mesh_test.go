package coordinator

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"primespark/coordinator/config"
	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/identity/identitytest"
	"primespark/shared/mesh"
	"primespark/shared/overlay"
)

// TestMeshRange: a range in which this host has a network already is refused with
// words, and not proposed to anybody.
func TestMeshRange(t *testing.T) {
	cluster, dir := identitytest.New(t, "home"), t.TempDir()
	member, err := overlay.New(overlay.Config{
		Self: identity.ID{Cluster: "home", Role: fleet.Coordinator, Name: "c1"}, Authority: cluster.CA, Dir: dir, KeyDir: dir, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		member *overlay.Member
		local  string
		want   string // "": nothing is proposed
	}{
		"free":           {member, "192.168.1.7/24", "10.77.0.0/16"},
		"taken":          {member, "10.77.3.1/24", ""},
		"without a mesh": {nil, "192.168.1.7/24", ""},
	} {
		var log bytes.Buffer
		s := &seat{mesh: member, cfg: config.Config{Mesh: config.Mesh{IPv4Range: "10.77.0.0/16"}}}
		s.mesh = test.member
		got := s.meshRange(func(mesh.Map) ([]mesh.Local, error) {
			return []mesh.Local{{Prefix: netip.MustParsePrefix(test.local), Interface: "eth0"}}, nil
		}, slog.New(slog.NewTextHandler(&log, nil)))
		if is := got != nil; is != (test.want != "") || is && got.String() != test.want {
			t.Errorf("%s: %v", name, got)
		}
		if told := strings.Contains(log.String(), "10.77.3.0/24 of eth0"); told != (name == "taken") {
			t.Errorf("%s: the log has %q", name, log.String())
		}
	}
}
