package fleet

import (
	"cmp"
	"net"
	"slices"
	"strings"
)

// A place is one node of a site, and what it is worth.
type place struct {
	Node
	class  int     // 2: a coordinator runs beside it, 1: it has an accelerator
	charge float64 // of its battery, in steps of 5 %
}

// site are the agents of a site that are not gone, the least valuable first. The
// last one is the keeper: beside a coordinator, and of those the one with the fullest
// battery. ok is false if it is not sure that all of them are on battery.
func (v View) site(name string) (all []place, ok bool) {
	var coordinators []string
	for _, n := range v {
		if n.Role == Coordinator && n.Liveness != Dead && n.Liveness != Left {
			coordinators = append(coordinators, hostOf(n.API))
		}
	}
	for _, n := range v {
		if n.Role != Agent || n.Vital.Site != name || n.Liveness == Dead || n.Liveness == Left {
			continue
		}
		if n.Liveness != Alive || !n.Vital.Power.OnBattery() {
			return nil, false
		}
		p := place{Node: n}
		if c := n.Vital.Power.Charge; c != nil {
			p.charge = float64(int(*c * 20))
		}
		switch host := hostOf(n.API); {
		case host != "" && slices.Contains(coordinators, host):
			p.class = 2
		case n.Vital.Accelerator != nil:
			p.class = 1
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.charge, b.charge), strings.Compare(a.Name, b.Name))
	})
	return all, true
}

func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	return host
}

// SiteTurn reports whether it is a node's turn to go down, since all nodes of its site
// run on battery: every one that is worth less is gone, and its own battery is low or
// that of the keeper, which is never told. after are those that are worth more, the
// keeper first: they come back before it.
func (v View) SiteTurn(site, self string) (down bool, after []string) {
	all, ok := v.site(site)
	i := slices.IndexFunc(all, func(p place) bool { return p.Name == self })
	if site == "" || !ok || i < 0 {
		return false, nil
	}
	for _, p := range all[i+1:] {
		after = append(after, p.Name)
	}
	slices.Reverse(after)
	keeper := all[len(all)-1]
	first := i == 0 && len(all) > 1
	return first && (all[0].Vital.Power.Low() || keeper.Vital.Power.Low()), after
}
