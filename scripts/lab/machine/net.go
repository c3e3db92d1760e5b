package machine

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
)

// A Net is a bridge on this machine with hosts at it, each in a network
// namespace of its own. This process reaches all of them, whatever is cut
// between them.
type Net struct {
	bridge string
	subnet netip.Prefix
	hosts  []*Host
}

// A Host is one network namespace.
type Host struct {
	Address string // its IP address

	space string
}

// Net makes a network, whose addresses nobody else on this machine has.
func (r *Run) Net() (*Net, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	letter := string(rune('a' + r.nets))
	if r.nets++; r.nets > 26 {
		return nil, errors.New("make a network: a run has 26 of them at most")
	}
	n := &Net{bridge: Prefix + r.id + "." + letter}
	if len(n.bridge)+2 > 15 {
		return nil, fmt.Errorf("make a network: the name %s00 is too long for an interface", n.bridge)
	}
	taken, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("make a network: %w", err)
	}
	// 198.18.0.0/15 is for tests of networks (RFC 2544).
	for i := range 512 {
		at := (i + os.Getpid()*26 + r.nets) % 512
		n.subnet = netip.PrefixFrom(netip.AddrFrom4([4]byte{198, byte(18 + at/256), byte(at), 0}), 24)
		if free(n.subnet, taken) {
			break
		}
	}
	own := n.subnet.Addr().Next()
	_, err = tool(fmt.Sprintf("link add %[1]s type bridge\naddr add %[2]s/24 dev %[1]s\nlink set %[1]s up\n", n.bridge, own), "ip", "-batch", "-")
	return n, err
}

func free(p netip.Prefix, taken []net.Addr) bool {
	for _, a := range taken {
		if other, err := netip.ParsePrefix(a.String()); err == nil && other.Overlaps(p) {
			return false
		}
	}
	return true
}

// Gateway is the address of this process in the network.
func (n *Net) Gateway() string { return n.subnet.Addr().Next().String() }

// Host adds a host.
func (n *Net) Host() (*Host, error) {
	i := len(n.hosts)
	b := n.subnet.Addr().As4()
	b[3] = byte(10 + i)
	link := fmt.Sprintf("%s%02d", n.bridge, i)
	h := &Host{Address: netip.AddrFrom4(b).String(), space: link}
	if i >= 90 {
		return nil, errors.New("add a host: a network has 90 of them at most")
	}
	if _, err := tool("", "ip", "netns", "add", h.space); err != nil {
		return nil, err
	}
	if _, err := tool(fmt.Sprintf("link add %s type veth peer name eth0 netns %s\nlink set %s master %s up\n", link, h.space, link, n.bridge), "ip", "-batch", "-"); err != nil {
		return nil, err
	}
	if _, err := tool(fmt.Sprintf("link set lo up\naddr add %s/24 dev eth0\nlink set eth0 up\n", h.Address), "ip", "-netns", h.space, "-batch", "-"); err != nil {
		return nil, err
	}
	if err := h.nft("add table inet pslab\nadd chain inet pslab in { type filter hook input priority 0; }\n"); err != nil {
		return nil, err
	}
	n.hosts = append(n.hosts, h)
	return h, nil
}

// Under is the command line that runs another one on the host. It is not ip netns
// exec, which makes a mount namespace, too: that would hold on to each disk that is
// mounted at the time, and a power cut would not end.
func (h *Host) Under(command ...string) []string {
	return append([]string{"nsenter", "--net=/run/netns/" + h.space}, command...)
}

// nft has the host's packet filter changed.
func (h *Host) nft(rules string) error {
	line := h.Under("nft", "-f", "-")
	_, err := tool(rules, line[0], line[1:]...)
	return err
}

// Deafen drops whatever comes to the host from the others: they hear it, and it
// does not hear them.
func (h *Host) Deafen(from ...*Host) error {
	var rules strings.Builder
	for _, f := range from {
		fmt.Fprintf(&rules, "add rule inet pslab in ip saddr %s drop\n", f.Address)
	}
	return h.nft(rules.String())
}

// Lose drops so many of a hundred packets that come to the host from the others.
func (h *Host) Lose(percent int, from ...*Host) error {
	var rules strings.Builder
	for _, f := range from {
		fmt.Fprintf(&rules, "add rule inet pslab in ip saddr %s numgen random mod 100 < %d drop\n", f.Address, percent)
	}
	return h.nft(rules.String())
}

// Cut drops everything between the host and the others, both ways.
func (h *Host) Cut(others ...*Host) error {
	errs := []error{h.Deafen(others...)}
	for _, o := range others {
		errs = append(errs, o.Deafen(h))
	}
	return errors.Join(errs...)
}

// Heal lets everything through again.
func (n *Net) Heal() error {
	var errs []error
	for _, h := range n.hosts {
		errs = append(errs, h.nft("flush chain inet pslab in\n"))
	}
	return errors.Join(errs...)
}

// Behind adds a host to a network of its own behind a router, which gives it its own
// address by NAT. Such networks all have the same addresses, as in people's homes.
// hard has the router pick another port for each place that a packet goes to.
func (h *Host) Behind(hard bool) (*Host, error) {
	depth := strings.Count(h.space, "-") // a network behind a network has others
	inner := &Host{Address: fmt.Sprintf("192.168.%d.2", depth), space: h.space + "-"}
	how := "masquerade"
	if hard {
		how = "masquerade fully-random"
	}
	for _, step := range []struct{ stdin, line string }{
		{"", "ip netns add " + inner.space},
		{fmt.Sprintf("link add lan0 type veth peer name eth0 netns %s\naddr add 192.168.%d.1/24 dev lan0\nlink set lan0 up\n", inner.space, depth), "ip -netns " + h.space + " -batch -"},
		{fmt.Sprintf("link set lo up\naddr add %s/24 dev eth0\nlink set eth0 up\nroute add default via 192.168.%d.1\n", inner.Address, depth), "ip -netns " + inner.space + " -batch -"},
		{"", strings.Join(h.Under("sysctl", "-qw", "net.ipv4.ip_forward=1"), " ")},
	} {
		words := strings.Fields(step.line)
		if _, err := tool(step.stdin, words[0], words[1:]...); err != nil {
			return nil, err
		}
	}
	return inner, errors.Join(
		h.nft("add table ip home\nadd chain ip home out { type nat hook postrouting priority 100; }\nadd rule ip home out oifname eth0 "+how+"\n"+
			// What nobody asked for is dropped, and not remembered.
			"add chain ip home through { type filter hook forward priority 0; }\nadd rule ip home through iifname eth0 ct state new drop\n"+
			"add chain ip home in { type filter hook input priority 0; }\nadd rule ip home in iifname eth0 ct state new drop\n"),
		inner.nft("add table inet pslab\nadd chain inet pslab in { type filter hook input priority 0; }\n"),
	)
}
