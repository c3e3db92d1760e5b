//go:build linux

package device

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"primespark/shared/mesh"
)

// kindWireGuard and kindTUN are how the kernel calls its own interfaces, and those
// that a process serves.
const (
	kindWireGuard = "wireguard"
	kindTUN       = "tuntap"
)

// link makes one interface what it should be.
func (m *Manager) link(want Link) error {
	have, err := m.make(want)
	if err != nil {
		return err
	}
	if have.Attrs().Alias != alias {
		if err := m.nl.LinkSetAlias(have, alias); err != nil {
			return fmt.Errorf("mark it as ours: %w", err)
		}
	}
	if err := m.configure(want); err != nil {
		return err
	}
	if have.Attrs().MTU != want.MTU && want.MTU > 0 {
		if err := m.nl.LinkSetMTU(have, want.MTU); err != nil {
			return fmt.Errorf("set its MTU to %d bytes: %w", want.MTU, err)
		}
	}
	if have.Attrs().Flags&net.FlagUp == 0 {
		if err := quiet(want.Name); err != nil {
			return err
		}
	}
	if have.Attrs().Flags&net.FlagUp == 0 {
		if err := m.nl.LinkSetUp(have); err != nil {
			return fmt.Errorf("bring it up: %w", err)
		}
	}
	return m.addresses(have, want.Addresses)
}

// make finds the interface, or makes it: by the kernel, or by this process.
func (m *Manager) make(want Link) (netlink.Link, error) {
	have, err := m.nl.LinkByName(want.Name)
	if err == nil {
		usable := have.Type() == kindWireGuard && m.cfg.Backend != User || m.user[want.Name] != nil
		if usable {
			return have, nil
		}
		if have.Attrs().Alias != alias {
			return nil, fmt.Errorf("there is one of that name already, which is not ours; rename it, or give another --interface")
		}
		if err := m.unmake(have); err != nil {
			return nil, err
		}
	} else if _, ok := errors.AsType[netlink.LinkNotFoundError](err); !ok {
		return nil, fmt.Errorf("look for it: %w", err)
	}
	if u := m.user[want.Name]; u != nil { // somebody has removed it
		u.close()
		delete(m.user, want.Name)
	}
	if m.cfg.Backend != User {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = want.Name
		err := m.nl.LinkAdd(&netlink.Wireguard{LinkAttrs: attrs})
		switch {
		case err == nil:
			m.kern = true
			return m.nl.LinkByName(want.Name)
		case m.cfg.Backend == Kernel || m.kern || !errors.Is(err, unix.EOPNOTSUPP):
			return nil, fmt.Errorf("make it by the kernel: %w", err)
		}
	}
	u, err := serve(want.Name, want.MTU, m.cfg.Log)
	if err != nil {
		return nil, err
	}
	m.user[want.Name] = u
	return m.nl.LinkByName(want.Name)
}

// unmake removes an interface.
func (m *Manager) unmake(l netlink.Link) error {
	name := l.Attrs().Name
	if u := m.user[name]; u != nil {
		u.close() // and the interface is gone with it
		delete(m.user, name)
		return nil
	}
	var gone netlink.LinkNotFoundError
	if err := m.nl.LinkDel(l); err != nil && !errors.As(err, &gone) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove interface %s: %w", name, err)
	}
	return nil
}

// removeLinks removes the interfaces that are ours and of which old says so.
func (m *Manager) removeLinks(old func(name string) bool) error {
	links, err := m.nl.LinkList()
	if err != nil {
		return fmt.Errorf("list the interfaces: %w", err)
	}
	var faults []error
	for _, l := range links {
		a := l.Attrs()
		if a.Alias == alias && strings.HasPrefix(a.Name, m.cfg.Stem) && old(a.Name) {
			faults = append(faults, m.unmake(l))
		}
	}
	return errors.Join(faults...)
}

// addresses gives an interface its addresses, and takes others away. IPv6's
// link-local ones are not made in the first place (quiet).
func (m *Manager) addresses(l netlink.Link, want []netip.Addr) error {
	have, err := m.nl.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list its addresses: %w", err)
	}
	there := map[netip.Addr]bool{}
	for _, a := range have {
		ip, _ := netip.AddrFromSlice(a.IP)
		ip = ip.Unmap()
		if ones, _ := a.Mask.Size(); slices.Contains(want, ip) && ones == ip.BitLen() {
			there[ip] = true
			continue
		}
		if err := m.nl.AddrDel(l, &a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("remove its address %v: %w", a.IPNet, err)
		}
	}
	for _, ip := range want {
		if there[ip] {
			continue
		}
		// Nobody else can have it: duplicates are looked for on networks only. The main
		// table needs no route to it.
		a := netlink.Addr{IPNet: ipNet(alone(ip)), Flags: unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE}
		if err := m.nl.AddrReplace(l, &a); err != nil {
			return fmt.Errorf("add its address %v: %w", ip, err)
		}
	}
	return nil
}

// quiet keeps the kernel from giving an interface an address of its own, and from
// looking for routers by it; and lets IPv4 come in by another interface than it
// would go out by, since each end chooses the hub for itself.
func quiet(name string) error {
	for _, s := range []struct{ path, value string }{
		{"ipv6/conf/" + name + "/addr_gen_mode", "1"},
		{"ipv6/conf/" + name + "/accept_ra", "0"},
		{"ipv4/conf/" + name + "/rp_filter", "2"},
	} {
		path := filepath.Join("/proc/sys/net", s.path)
		if err := os.WriteFile(path, []byte(s.value), 0); err != nil && !errors.Is(err, os.ErrNotExist) { // a kernel without that protocol
			return fmt.Errorf("set %s to %s: %w", path, s.value, err)
		}
	}
	return nil
}

// configure closes the gap between the interface's keys and peers and what they
// should be. What is right already is not touched: setting a key anew, or an
// endpoint that the peer has left, would break a tunnel that works.
func (m *Manager) configure(want Link) error {
	have, err := m.wg.Device(want.Name)
	if err != nil {
		return fmt.Errorf("read its WireGuard settings: %w", err)
	}
	var c wgtypes.Config
	changed := false
	if key := wgtypes.Key(want.Key); have.PrivateKey != key {
		c.PrivateKey, changed = &key, true
	}
	if port := int(want.Port); port != 0 && have.ListenPort != port {
		c.ListenPort, changed = &port, true
	}
	if mark := m.cfg.Table; have.FirewallMark != mark {
		c.FirewallMark, changed = &mark, true
	}
	peers := map[wgtypes.Key]wgtypes.Peer{}
	for _, p := range have.Peers {
		peers[p.PublicKey] = p
	}
	for _, p := range want.Peers {
		old, known := peers[wgtypes.Key(p.Key)]
		delete(peers, wgtypes.Key(p.Key))
		if one, differs := peer(p, old, known); differs {
			c.Peers, changed = append(c.Peers, one), true
		}
	}
	// Addresses go from one peer to another one in one step if the one that gets them
	// comes first.
	slices.SortStableFunc(c.Peers, func(a, b wgtypes.PeerConfig) int { return len(b.AllowedIPs) - len(a.AllowedIPs) })
	for key := range peers {
		c.Peers, changed = append(c.Peers, wgtypes.PeerConfig{PublicKey: key, Remove: true}), true
	}
	if !changed {
		return nil
	}
	if err := m.wg.ConfigureDevice(want.Name, c); err != nil {
		return fmt.Errorf("set its WireGuard settings: %w", err)
	}
	return nil
}

// peer is what has to be said for one peer to be as wanted, and whether anything has.
func peer(want Peer, have wgtypes.Peer, known bool) (wgtypes.PeerConfig, bool) {
	c := wgtypes.PeerConfig{PublicKey: wgtypes.Key(want.Key), UpdateOnly: known}
	differs := !known
	if want.Endpoint.IsValid() {
		at := net.UDPAddrFromAddrPort(want.Endpoint)
		fresh := known && have.Endpoint != nil && !want.Fixed
		if !fresh && (have.Endpoint == nil || have.Endpoint.AddrPort() != at.AddrPort()) {
			c.Endpoint, differs = at, true
		}
	}
	if !known || have.PersistentKeepaliveInterval != want.Keepalive {
		c.PersistentKeepaliveInterval, differs = &want.Keepalive, true
	}
	var allowed []netip.Prefix
	for _, n := range have.AllowedIPs {
		if p, ok := prefixOf(n); ok {
			allowed = append(allowed, p)
		}
	}
	if !equalPrefixes(allowed, want.Allowed) {
		c.ReplaceAllowedIPs, differs = true, true
		for _, p := range want.Allowed {
			c.AllowedIPs = append(c.AllowedIPs, *ipNet(p))
		}
	}
	return c, differs
}

func prefixOf(n net.IPNet) (netip.Prefix, bool) {
	a, ok := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), ones), ok
}

// Keys are those of our links that the kernel serves, which outlive a process.
func (m *Manager) Keys() (all []mesh.PrivateKey, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	links, err := m.nl.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	for _, l := range links {
		a := l.Attrs()
		if a.Alias != alias || !strings.HasPrefix(a.Name, m.cfg.Stem) || l.Type() != kindWireGuard {
			continue
		}
		d, err := m.wg.Device(a.Name)
		if err != nil {
			return nil, fmt.Errorf("read the WireGuard settings of %s: %w", a.Name, err)
		}
		if key := mesh.PrivateKey(d.PrivateKey); key != (mesh.PrivateKey{}) && !slices.Contains(all, key) {
			all = append(all, key)
		}
	}
	return all, nil
}

// Observe tells how the links fare.
func (m *Manager) Observe() (map[string]LinkFacts, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	links, err := m.nl.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	all := map[string]LinkFacts{}
	for _, l := range links {
		a := l.Attrs()
		if a.Alias != alias || !strings.HasPrefix(a.Name, m.cfg.Stem) {
			continue
		}
		d, err := m.wg.Device(a.Name)
		if err != nil {
			return nil, fmt.Errorf("read the WireGuard settings of %s: %w", a.Name, err)
		}
		f := LinkFacts{Name: a.Name, Port: uint16(d.ListenPort), MTU: a.MTU, Kernel: l.Type() == kindWireGuard, Peers: map[mesh.PublicKey]PeerFacts{}}
		for _, p := range d.Peers {
			one := PeerFacts{Received: p.ReceiveBytes, Sent: p.TransmitBytes}
			if p.Endpoint != nil {
				at := p.Endpoint.AddrPort()
				one.Endpoint = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
			}
			if p.LastHandshakeTime.After(time.Unix(0, 0)) {
				one.Handshake = p.LastHandshakeTime
			}
			f.Peers[mesh.PublicKey(p.PublicKey)] = one
		}
		all[a.Name] = f
	}
	return all, nil
}
