package config

import (
	"net/netip"

	"primespark/shared/conf"
	"primespark/shared/mesh"
	"primespark/shared/overlay"
)

// Mesh configures this coordinator's end of the mesh, and what all of it have in
// common.
type Mesh struct {
	overlay.Settings

	Hub       bool   `yaml:"hub"`        // forward between nodes that do not reach each other
	Priority  int    `yaml:"priority"`   // of the hub; the greater is preferred
	IPv4Range string `yaml:"ipv4_range"` // empty: IPv6 only
}

// Range is IPv4Range as addresses; zero for none.
func (c Mesh) Range() netip.Prefix {
	p, err := netip.ParsePrefix(c.IPv4Range)
	if err != nil {
		return netip.Prefix{} // it is empty, or was refused by check
	}
	return p
}

func (c Mesh) check(f *conf.File) {
	c.Check(f)
	if c.Priority < 0 || c.Priority > mesh.MaxPriority {
		f.Bad("mesh.priority", "%d is not between 0 and %d; 0 is that of all others", c.Priority, mesh.MaxPriority)
	}
	if c.IPv4Range == "" {
		return
	}
	p, err := netip.ParsePrefix(c.IPv4Range)
	if err != nil {
		f.Bad("mesh.ipv4_range", "%q is no range of addresses; give one as in 10.77.0.0/16", c.IPv4Range)
	} else if err := mesh.CheckRange(p); err != nil {
		f.Bad("mesh.ipv4_range", "%v", err)
	}
}
