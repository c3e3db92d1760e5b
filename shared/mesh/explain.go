package mesh

import "strings"

// An Explanation is what keeps a node from the mesh or from direct paths, in words.
type Explanation struct {
	Code   string `json:"code"`
	Bad    bool   `json:"bad"` // something does not work that should; otherwise it is as it is
	Detail string `json:"detail"`
	Remedy string `json:"remedy"`
}

// Explain words the facts that a node has found out about its end of the mesh, the
// worst first. The doctor and the operator's view show the same.
func Explain(f Facts) (all []Explanation) {
	add := func(code string, bad bool, detail, remedy string) {
		all = append(all, Explanation{code, bad, detail, remedy})
	}
	if f.Fault != "" {
		add("fault", true, "There is no interface of the mesh: "+strings.TrimSuffix(f.Fault, ".")+".",
			"See systemctl status prime-spark-mesh, and that the package is installed whole.")
	}
	if f.Clash != "" {
		add("clash", true, f.Clash, "Two networks of the same addresses cannot be told apart: change the other one.")
	}
	if len(f.Blocked) > 0 {
		add("udp_blocked", true, "UDP does not get through to the hub "+strings.Join(f.Blocked, ", ")+", and does to another one.",
			"See whether the hub's host is up: prime-spark status. If it is, let UDP out to the hub's port (51820 if nothing else is configured), and in where the hub is: the firewall and the router's port forwarding.")
	}
	if f.NAT == NATHard {
		add("nat_hard", false, "The router gives each destination another port (endpoint-dependent NAT): there are no direct paths through it, and packets go through hubs.",
			"Nothing is wrong. For direct paths, forward a UDP port to this node and name it in mesh.endpoints, or use IPv6.")
	}
	if f.Backend == Userspace {
		add("no_module", false, "The kernel has no WireGuard: the program runs it itself, which takes more memory and processor.",
			"Load the module with sudo modprobe wireguard; Raspberry Pi OS has it.")
	}
	return all
}
