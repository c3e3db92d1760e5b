//go:build linux

package device

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// families are those of which addresses can be.
var families = []int{unix.AF_INET6, unix.AF_INET}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func alone(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// tables are our routing tables: the usual one, and the one aside.
func (m *Manager) tables() []int { return []int{m.cfg.Table, m.cfg.Table + 1} }

// guard refuses what is sent to the overlay, until there are routes: without it such
// packets would leave by the default route.
func (m *Manager) guard(prefixes []netip.Prefix) error {
	var faults []error
	for _, p := range prefixes {
		for _, r := range m.refusals(p) {
			if err := m.nl.RouteReplace(&r); err != nil {
				faults = append(faults, fmt.Errorf("refuse strays to %s in table %d: %w", p, r.Table, err))
			}
		}
	}
	return errors.Join(append(faults, m.rules(State{Prefixes: prefixes}, keep))...)
}

func (m *Manager) refusals(p netip.Prefix) (all []netlink.Route) {
	for _, table := range m.tables() {
		all = append(all, netlink.Route{
			Table: table, Family: family(p.Addr()), Dst: ipNet(p), Type: unix.RTN_UNREACHABLE, Priority: lastResort, Protocol: protocol,
		})
	}
	return all
}

// routes makes our tables hold what is wanted and no other route of ours.
func (m *Manager) routes(wanted []Route, prefixes []netip.Prefix) error {
	var faults []error
	keep := map[routeKey]bool{}
	var all []netlink.Route
	for _, p := range prefixes {
		all = append(all, m.refusals(p)...)
	}
	for _, r := range wanted {
		link, err := m.nl.LinkByName(r.Link)
		if err != nil {
			faults = append(faults, fmt.Errorf("route to %s by %s: %w", r.To, r.Link, err))
			continue
		}
		one := netlink.Route{
			Table: m.cfg.Table, Family: family(r.To.Addr()), Dst: ipNet(r.To), LinkIndex: link.Attrs().Index,
			Priority: r.Metric, Protocol: protocol, Scope: unix.RT_SCOPE_LINK,
		}
		if r.Aside {
			one.Table++
		}
		if one.Family == unix.AF_INET6 {
			one.Scope = unix.RT_SCOPE_UNIVERSE // the only one it has
		}
		if r.Source.IsValid() {
			one.Src = r.Source.AsSlice()
		}
		all = append(all, one)
	}
	have, err := m.ours()
	if err != nil {
		return errors.Join(append(faults, err)...)
	}
	there := map[routeKey]bool{}
	for _, r := range have {
		there[keyOf(r)] = true
	}
	for _, r := range all {
		keep[keyOf(r)] = true
		if there[keyOf(r)] {
			continue
		}
		if err := m.nl.RouteReplace(&r); err != nil {
			faults = append(faults, fmt.Errorf("route to %s in table %d: %w", r.Dst, r.Table, err))
		}
	}
	for _, r := range have {
		// One that was replaced is gone already: it had the place of another one.
		if keep[keyOf(r)] || slices.ContainsFunc(all, func(n netlink.Route) bool { return placeOf(n) == placeOf(r) }) {
			continue
		}
		if err := m.nl.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			faults = append(faults, fmt.Errorf("remove the route to %s of table %d: %w", r.Dst, r.Table, err))
		}
	}
	return errors.Join(faults...)
}

// ours are the routes that carry our mark, in any table of ours.
func (m *Manager) ours() (all []netlink.Route, err error) {
	for _, f := range families {
		for _, table := range m.tables() {
			found, err := m.nl.RouteListFiltered(f, &netlink.Route{Table: table, Protocol: protocol}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL)
			if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EAFNOSUPPORT) { // no such table, no such family
				return nil, fmt.Errorf("list the routes of table %d: %w", table, err)
			}
			all = append(all, found...)
		}
	}
	return all, nil
}

// A routePlace is what there can be one route of, and a routeKey all that we set.
type routePlace struct {
	table, metric int
	to            string
}

type routeKey struct {
	routePlace
	link, kind int
	source     string
}

func placeOf(r netlink.Route) routePlace {
	return routePlace{r.Table, r.Priority, r.Dst.String()}
}

func keyOf(r netlink.Route) routeKey {
	k := routeKey{routePlace: placeOf(r), link: r.LinkIndex, kind: r.Type}
	if r.Src != nil {
		k.source = r.Src.String()
	}
	if r.Type == unix.RTN_UNREACHABLE {
		k.link = 0 // the kernel says lo
	}
	if k.kind == unix.RTN_UNSPEC {
		k.kind = unix.RTN_UNICAST
	}
	return k
}

// surplus says what becomes of rules that are ours and not wanted.
type surplus bool

const (
	keep   surplus = true
	remove surplus = false
)

// rules makes our rules what s wants. Three kinds: what WireGuard itself sends never
// goes into the overlay; what comes from a relay, or is sent through a probed link in
// particular, has the second table; all else for the overlay has the first.
func (m *Manager) rules(s State, rest ...surplus) error {
	type key struct {
		family, priority, table int
		mark                    uint32
		to, in, out             string
	}
	of := func(r netlink.Rule) key {
		k := key{family: r.Family, priority: r.Priority, table: r.Table, mark: r.Mark, in: r.IifName, out: r.OifName}
		if r.Dst != nil {
			k.to = r.Dst.String()
		}
		return k
	}
	var wanted []netlink.Rule
	add := func(p netip.Prefix, change func(*netlink.Rule)) {
		r := netlink.NewRule()
		r.Family, r.Dst, r.Type = family(p.Addr()), ipNet(p), unix.RTN_UNICAST
		change(r)
		wanted = append(wanted, *r)
	}
	for _, p := range s.Prefixes {
		add(p, func(r *netlink.Rule) {
			r.Priority, r.Mark, r.Type, r.Table = priority, uint32(m.cfg.Table), unix.RTN_UNREACHABLE, 0
		})
		for _, l := range s.Relays {
			add(p, func(r *netlink.Rule) { r.Priority, r.IifName, r.Table = priority+1, l, m.cfg.Table+1 })
		}
		for _, l := range s.Probed {
			add(p, func(r *netlink.Rule) { r.Priority, r.OifName, r.Table = priority+1, l, m.cfg.Table+1 })
		}
		add(p, func(r *netlink.Rule) { r.Priority, r.Table = priority+2, m.cfg.Table })
	}
	have := map[key]netlink.Rule{}
	for _, f := range families {
		found, err := m.nl.RuleList(f)
		if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
			return fmt.Errorf("list the routing rules: %w", err)
		}
		for _, r := range found {
			if r.Family == 0 {
				r.Family = f
			}
			mine := slices.Contains(m.tables(), r.Table) || r.Priority == priority && r.Mark == uint32(m.cfg.Table)
			if mine {
				have[of(r)] = r
			}
		}
	}
	var faults []error
	for _, r := range wanted {
		if _, ok := have[of(r)]; ok {
			delete(have, of(r))
			continue
		}
		if err := m.nl.RuleAdd(&r); err != nil && !errors.Is(err, unix.EEXIST) {
			faults = append(faults, fmt.Errorf("add the routing rule to %s: %w", r.Dst, err))
		}
	}
	if len(rest) > 0 && rest[0] == keep {
		return errors.Join(faults...)
	}
	for _, r := range have {
		if err := m.nl.RuleDel(&r); err != nil && !errors.Is(err, unix.ENOENT) {
			faults = append(faults, fmt.Errorf("remove the routing rule to %s: %w", r.Dst, err))
		}
	}
	return errors.Join(faults...)
}
