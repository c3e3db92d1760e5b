//go:build linux

package device_test

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"primespark/shared/mesh"
	"primespark/shared/meshnet/device"
)

// inside says that this process is in a network of its own.
const inside = "PRIME_SPARK_TEST_NAMESPACE"

// namespaced runs the test once more in a process with network interfaces and
// mounts of its own. It reports whether this is that process.
func namespaced(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inside) != "" {
		if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("none", "/run", "tmpfs", 0, ""); err != nil { // wireguard-go's control sockets
			t.Fatal(err)
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkSetUp(lo); err != nil {
			t.Fatal(err)
		}
		return true
	}
	var missing string
	if os.Getuid() != 0 {
		missing = "makes network namespaces, which takes root"
	} else if _, err := os.Stat("/dev/net/tun"); err != nil {
		missing = err.Error()
	}
	if missing != "" {
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=30s")
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return false
}

var prefix = netip.MustParsePrefix("fd12:3456:789a::/48")

// wanted is a hub's state with a link of each kind.
func wanted(t *testing.T) device.State {
	t.Helper()
	key := func() mesh.PrivateKey {
		k, err := mesh.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	self := netip.MustParseAddr("fd12:3456:789a:1::1")
	old := netip.MustParseAddr("10.77.0.1")
	all := []netip.Prefix{prefix, netip.MustParsePrefix("10.77.0.0/16")}
	member := netip.MustParsePrefix("fd12:3456:789a:1::2/128")
	return device.State{
		Links: []device.Link{
			{Name: "psth", Key: key(), Port: 51900, MTU: 1280, Addresses: []netip.Addr{self, old}, Peers: []device.Peer{
				{Key: key().Public(), Allowed: []netip.Prefix{member, netip.MustParsePrefix("10.77.0.2/32")}},
				{Key: key().Public()},
			}},
			{Name: "pst0", Key: key(), MTU: 1420, Addresses: []netip.Addr{self, old}, Peers: []device.Peer{
				{Key: key().Public(), Endpoint: netip.MustParseAddrPort("127.0.0.1:1"), Keepalive: 25 * time.Second, Allowed: all},
			}},
		},
		Routes: []device.Route{
			{To: prefix, Link: "pst0", Source: self, Metric: 100},
			{To: member, Link: "psth", Source: self, Metric: 10},
			{To: member, Link: "psth", Source: self, Metric: 10, Aside: true},
			{To: all[1], Link: "pst0", Source: old, Metric: 100},
		},
		Prefixes: all, Relays: []string{"pst0"}, Probed: []string{"psth"}, Forward: true,
		Firewall: device.Firewall{{From: []netip.Prefix{prefix}, TCP: []uint16{7490}, UDP: []uint16{7482}}},
	}
}

func open(t *testing.T) *device.Manager {
	t.Helper()
	m, err := device.Open(device.Config{Stem: "pst", Table: 52000, Backend: backend(), Dir: os.Getenv(inside + "_DIR"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// backend is who serves WireGuard in these tests: this process, unless the kernel is
// asked for, which few machines that build have.
func backend() device.Backend {
	return cmp.Or(device.Backend(os.Getenv("PRIME_SPARK_TEST_WIREGUARD")), device.User)
}

// snapshot is all of a host that the mesh could change.
func snapshot(t *testing.T) (all []string) {
	t.Helper()
	add := func(kind string, err error, each ...any) {
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range each {
			all = append(all, fmt.Sprintf("%s %+v", kind, one))
		}
	}
	links, err := netlink.LinkList()
	for _, l := range links {
		add("link", err, fmt.Sprint(l.Attrs().Name, " ", l.Attrs().Alias, " ", l.Attrs().Flags))
	}
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	for _, a := range addrs {
		add("address", err, a.String())
	}
	for _, f := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := netlink.RouteListFiltered(f, &netlink.Route{}, netlink.RT_FILTER_TABLE)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range routes {
			if r.Table == 255 { // the kernel's own, of the addresses, which it makes in its own time
				continue
			}
			l, err := netlink.LinkByIndex(r.LinkIndex)
			if err != nil { // those that refuse IPv4 have none
				l = &netlink.Dummy{}
			}
			add("route", nil, fmt.Sprintf("%v by %q from %v table %d metric %d type %d proto %d", r.Dst, l.Attrs().Name, r.Src, r.Table, r.Priority, r.Type, r.Protocol))
		}
		rules, err := netlink.RuleList(f)
		for _, r := range rules {
			add("rule", err, fmt.Sprintf("%d %v %v %v %v %v", f, r.Priority, r.Table, r.Mark, r.Dst, r.IifName))
		}
	}
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	tables, err := c.ListTables()
	for _, table := range tables {
		add("table", err, table.Name)
	}
	for _, path := range []string{"ipv6/conf/all/forwarding", "ipv6/conf/lo/accept_ra", "ipv4/ip_forward", "ipv4/conf/lo/rp_filter"} {
		b, err := os.ReadFile("/proc/sys/net/" + path)
		add("setting "+path, err, strings.TrimSpace(string(b)))
	}
	slices.Sort(all)
	return all
}

// diff are the lines of a that b does not have.
func diff(a, b []string) (only []string) {
	for _, line := range a {
		if !slices.Contains(b, line) {
			only = append(only, line)
		}
	}
	return only
}

func TestTeardownLeavesNothing(t *testing.T) {
	if !namespaced(t) {
		return
	}
	t.Setenv(inside+"_DIR", t.TempDir())
	before := snapshot(t)
	m := open(t)
	want := wanted(t)
	for range 2 { // the second time there is nothing to do
		if err := m.Apply(want); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []string{"link pst0", "link psth", "address", "route", "rule", "table", "setting ipv6/conf/all/forwarding"} {
		if !slices.ContainsFunc(diff(snapshot(t), before), func(s string) bool { return strings.HasPrefix(s, kind) }) {
			t.Errorf("no %s was made, so this test shows nothing:\n%s", kind, strings.Join(diff(snapshot(t), before), "\n"))
		}
	}
	if err := m.Teardown(); err != nil {
		t.Fatal(err)
	}
	after := snapshot(t)
	for _, line := range diff(after, before) {
		t.Errorf("left: %s", line)
	}
	for _, line := range diff(before, after) {
		t.Errorf("lost: %s", line)
	}

	// A node that is out of the mesh has nothing of it.
	if err := errors.Join(m.Apply(want), m.Apply(device.State{})); err != nil {
		t.Fatal(err)
	}
	for _, line := range diff(snapshot(t), before) {
		t.Errorf("left outside of the mesh: %s", line)
	}

	// One that crashed is cleaned up after by the next.
	if err := m.Apply(want); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if len(diff(snapshot(t), before)) == 0 {
		t.Error("Close removed what was to outlive it")
	}
	next := open(t)
	if err := next.Teardown(); err != nil {
		t.Fatal(err)
	}
	for _, line := range diff(snapshot(t), before) {
		t.Errorf("left by one before: %s", line)
	}
}

// TestReconcile has others meddle with what is ours, and with the wish.
func TestReconcile(t *testing.T) {
	if !namespaced(t) {
		return
	}
	t.Setenv(inside+"_DIR", t.TempDir())
	m := open(t)
	want := wanted(t)
	if err := m.Apply(want); err != nil {
		t.Fatal(err)
	}
	good := snapshot(t)
	for _, meddle := range [][]string{
		{"ip", "-6", "route", "flush", "table", "52000"},
		{"ip", "-6", "route", "replace", "unreachable", prefix.String(), "metric", "100", "table", "52000"},
		{"ip", "-6", "route", "add", "fd99::/64", "dev", "pst0", "table", "52000", "proto", "80"},
		{"ip", "-6", "rule", "del", "priority", "5182"},
		{"ip", "-6", "rule", "add", "to", "fd99::/64", "table", "52000"},
		{"ip", "address", "add", "fd12:3456:789a:1::77/128", "dev", "pst0"},
		{"ip", "address", "del", "10.77.0.1/32", "dev", "psth"},
		{"ip", "link", "set", "pst0", "down"},
		{"ip", "link", "set", "pst0", "mtu", "1300"},
		{"ip", "link", "del", "psth"},
		{"ip", "link", "set", "pst0", "alias", "another's"},
		{"nft", "delete", "table", "inet", "prime-spark-mesh"},
	} {
		t.Run(strings.Join(meddle, " "), func(t *testing.T) {
			if _, err := exec.LookPath(meddle[0]); err != nil {
				t.Skip(err)
			}
			if out, err := exec.CommandContext(t.Context(), meddle[0], meddle[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if len(diff(snapshot(t), good)) == 0 && len(diff(good, snapshot(t))) == 0 && !slices.Contains(meddle, "mtu") {
				t.Fatal("it changed nothing, so this test shows nothing")
			}
			if err := m.Apply(want); err != nil {
				t.Fatal(err)
			}
			now := snapshot(t)
			for _, line := range diff(now, good) {
				t.Errorf("left: %s", line)
			}
			for _, line := range diff(good, now) {
				t.Errorf("lost: %s", line)
			}
		})
	}
	t.Run("peers", func(t *testing.T) {
		gone := want.Links[0].Peers[1].Key
		want.Links[0].Peers = want.Links[0].Peers[:1]
		want.Links[0].Peers[0].Allowed = want.Links[0].Peers[0].Allowed[:1]
		if err := m.Apply(want); err != nil {
			t.Fatal(err)
		}
		facts, err := m.Observe()
		if err != nil {
			t.Fatal(err)
		}
		hub := facts["psth"]
		if _, there := hub.Peers[gone]; there || len(hub.Peers) != 1 || hub.Port != 51900 || hub.MTU != 1280 || hub.Kernel != (backend() == device.Kernel) {
			t.Errorf("the hub's link is %+v", hub)
		}
	})
	t.Run("a name that is another's", func(t *testing.T) {
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "pstx"}, PeerName: "other"}); err != nil {
			t.Fatal(err)
		}
		more := want
		more.Links = append(slices.Clone(want.Links), device.Link{Name: "pstx", Key: want.Links[0].Key, MTU: 1280})
		if err := m.Apply(more); err == nil || !strings.Contains(err.Error(), "not ours") {
			t.Errorf("another's interface was taken: %v", err)
		}
	})
}
