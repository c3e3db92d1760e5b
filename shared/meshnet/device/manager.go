//go:build linux

package device

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
)

// The marks that say what is ours on a host.
const (
	// alias is in each interface's description (ip link show).
	alias = "prime-spark mesh"
	// protocol is who made a route (ip route show proto 80); /etc/iproute2/rt_protos
	// of Debian and the kernel's own list have it free.
	protocol = netlink.RouteProtocol(80)
	// priority is that of our first rule; the main table's is 32766.
	priority = 5180
	// lastResort is the metric of the routes that refuse.
	lastResort = 1 << 20
)

// DefaultTable is the number of the routing table, and of the firewall mark.
const DefaultTable = 51820

// A Backend says who serves WireGuard interfaces.
type Backend string

// The backends.
const (
	Auto   Backend = "auto"   // the kernel if it can
	Kernel Backend = "kernel" // the kernel, or an error
	User   Backend = "user"   // wireguard-go in this process
)

// Config says how a Manager marks what it makes.
type Config struct {
	Stem    string // what the interfaces' names begin with
	Table   int    // number of the first of two routing tables, and the mark of what WireGuard itself sends
	Backend Backend
	Dir     string // where it is kept what was changed of the host and has to be put back
	Log     *slog.Logger
}

// A Manager owns this host's part of the mesh. Its methods may be called from
// several goroutines.
type Manager struct {
	cfg Config

	mu   sync.Mutex
	nl   *netlink.Handle
	wg   *wgctrl.Client
	user map[string]*userLink // interfaces that this process serves, by name
	fw   string               // the firewall that was installed last, as text
	kern bool                 // the kernel has shown that it knows WireGuard
}

// Open connects to the kernel. It needs CAP_NET_ADMIN from Apply on, not here.
func Open(cfg Config) (*Manager, error) {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	wg, err := wgctrl.New()
	if err != nil {
		nl.Close()
		return nil, fmt.Errorf("open WireGuard's control: %w", err)
	}
	return &Manager{cfg: cfg, nl: nl, wg: wg, user: map[string]*userLink{}}, nil
}

// Close leaves what the kernel serves as it is, so that packets pass while this
// program is replaced. Interfaces that this process serves end with it.
func (m *Manager) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, u := range m.user {
		u.close()
		delete(m.user, name)
	}
	m.nl.Close()
	return m.wg.Close()
}

// Apply makes the host what s says. It goes on after a fault, and returns all of
// them. What refuses stray packets comes first, before any interface is up, and goes
// last.
func (m *Manager) Apply(s State) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var faults []error
	note := func(err error) {
		if err != nil {
			faults = append(faults, err)
		}
	}
	note(m.guard(s.Prefixes))
	note(m.firewall(s))
	note(m.forwarding(s.Forward))
	note(m.removeLinks(func(name string) bool {
		return !slices.ContainsFunc(s.Links, func(l Link) bool { return l.Name == name })
	}))
	for _, l := range s.Links {
		if err := m.link(l); err != nil {
			note(fmt.Errorf("interface %s: %w", l.Name, err))
		}
	}
	note(m.routes(s.Routes, s.Prefixes))
	note(m.rules(s))
	return errors.Join(faults...)
}

// Route replaces the routes only. It is what happens when another hub takes over,
// and takes no longer than a few system calls.
func (m *Manager) Route(s State) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.routes(s.Routes, s.Prefixes)
}

// Teardown removes everything that is ours, whichever process made it.
func (m *Manager) Teardown() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return errors.Join(
		m.removeLinks(func(string) bool { return true }),
		m.rules(State{}),
		m.routes(nil, nil),
		m.removeFirewall(),
		m.forwarding(false),
	)
}

// Watch calls changed whenever links, addresses, routes or rules of the host change,
// until ctx ends. Changes of our own are among them.
func (m *Manager) Watch(ctx context.Context, changed func()) error {
	failed := make(chan error, 1)
	fail := func(err error) {
		select {
		case failed <- err:
		default: // one is enough
		}
	}
	links, addrs, routes := make(chan netlink.LinkUpdate, 64), make(chan netlink.AddrUpdate, 64), make(chan netlink.RouteUpdate, 64)
	if err := netlink.LinkSubscribeWithOptions(links, ctx.Done(), netlink.LinkSubscribeOptions{ErrorCallback: fail}); err != nil {
		return fmt.Errorf("watch links: %w", err)
	}
	if err := netlink.AddrSubscribeWithOptions(addrs, ctx.Done(), netlink.AddrSubscribeOptions{ErrorCallback: fail}); err != nil {
		return fmt.Errorf("watch addresses: %w", err)
	}
	if err := netlink.RouteSubscribeWithOptions(routes, ctx.Done(), netlink.RouteSubscribeOptions{ErrorCallback: fail}); err != nil {
		return fmt.Errorf("watch routes: %w", err)
	}
	// A closed channel is read as nil from then on; the failure comes by failed.
	for {
		var open bool
		select {
		case _, open = <-links:
		case _, open = <-addrs:
		case _, open = <-routes:
		case err := <-failed:
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("watch the network: %w", err)
		case <-ctx.Done():
			return nil
		}
		if open {
			changed()
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		return errors.New("watch the network: the kernel closed the subscription")
	}
}
