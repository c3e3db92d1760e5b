// Package pipenet is a network inside one process, for tests. Unlike loopback
// sockets it works under testing/synctest, where waiting for it lets the clock
// move on, and unlike a real network it can be cut at a word.
//
// A Net has hosts; each has a name and an address, and listens and dials as a
// machine does. Connections behave as TCP's do: they are buffered, they obey
// deadlines, a dial to a port that nobody listens on is refused at once, and a
// cut is noticed by nobody: bytes wait and go on when it heals, a dial hangs
// until its context ends. There is no delay and no loss; package gossiptest
// loses packets on top of it.
package pipenet

import (
	"fmt"
	"net"
	"sync"
)

// A Net joins hosts. The zero value is ready to use. In a synctest bubble it is
// made within the bubble. All its methods, and those of its hosts, may be called
// from any goroutine.
type Net struct {
	mu      sync.Mutex // of everything: hosts, listeners, connections
	hosts   map[string]*Host
	cuts    map[link]bool
	alone   map[string]bool // isolated hosts
	conns   map[*conn]bool  // every end that is not closed
	changed event           // a dial that hangs looks again
}

// A link is one direction between two hosts.
type link struct{ from, to string }

// A Host is one machine of the network.
type Host struct {
	net       *Net
	name      string
	ip        net.IP
	listeners map[int]*listener
	port      int // the ephemeral port given last
}

// Host returns the host of that name, which is made when it is named first. A
// name that is an IP address is the host's address too; any other host gets one
// of 10.77.0.0/16, and can be dialled by its name and by its address.
func (n *Net) Host(name string) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	if h := n.find(name); h != nil {
		return h
	}
	if n.hosts == nil {
		n.hosts = map[string]*Host{}
	}
	ip := net.ParseIP(name)
	for i := len(n.hosts) + 1; ip == nil; i++ {
		free := net.IPv4(10, 77, byte(i>>8), byte(i))
		if n.find(free.String()) == nil {
			ip = free
		}
	}
	h := &Host{net: n, name: name, ip: ip, listeners: map[int]*listener{}, port: firstEphemeral - 1}
	n.hosts[name] = h
	return h
}

// find returns the host of that name or address, or nil.
func (n *Net) find(name string) *Host {
	if h := n.hosts[name]; h != nil {
		return h
	}
	if ip := net.ParseIP(name); ip != nil {
		for _, h := range n.hosts {
			if h.ip.Equal(ip) {
				return h
			}
		}
	}
	return nil
}

// Name is the host's name.
func (h *Host) Name() string { return h.name }

// IP is the host's address.
func (h *Host) IP() net.IP { return h.ip }

// Net is the network that the host is in.
func (h *Host) Net() *Net { return h.net }

// Cut severs a and b, both ways.
func (n *Net) Cut(a, b string) { n.sever(link{a, b}, link{b, a}) }

// CutOneWay loses what from sends to the other host, while answers still come.
func (n *Net) CutOneWay(from, to string) { n.sever(link{from, to}) }

// Isolate severs the host from all others; it still reaches itself.
func (n *Net) Isolate(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.alone == nil {
		n.alone = map[string]bool{}
	}
	n.alone[n.canonical(host)] = true
}

// Heal takes back what was cut: everything if no host is named; the isolation
// of one host and all cuts that touch it; or only the cuts between two or more
// hosts, and their isolation.
func (n *Net) Heal(hosts ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	named := map[string]bool{}
	for _, h := range hosts {
		named[n.canonical(h)] = true
	}
	for l := range n.cuts {
		from, to := named[l.from], named[l.to]
		if len(named) == 0 || from && to || len(named) == 1 && (from || to) {
			delete(n.cuts, l)
		}
	}
	for h := range n.alone {
		if len(named) == 0 || named[h] {
			delete(n.alone, h)
		}
	}
	for c := range n.conns {
		c.out.deliver()
		c.in.deliver()
	}
	n.changed.fire()
}

// HealOneWay takes back that what from sends to the other host is lost.
func (n *Net) HealOneWay(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.cuts, link{n.canonical(from), n.canonical(to)})
	for c := range n.conns {
		c.out.deliver()
		c.in.deliver()
	}
	n.changed.fire()
}

// Kill ends the process on the host: its listeners close, and its connections
// are reset. The others learn of it at once, unless they are cut off. The host
// may listen again, as a process that is started anew. Isolate it too to pull
// the plug of the machine, of which nobody is told.
func (n *Net) Kill(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.find(host)
	if h == nil {
		panic(fmt.Sprintf("pipenet: kill %q: no such host", host))
	}
	for _, l := range h.listeners {
		l.close()
	}
	for c := range n.conns {
		if c.out.from == h.name {
			c.reset()
		}
	}
}

// Reachable reports whether what a sends gets to b and the answer back.
func (n *Net) Reachable(a, b string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	a, b = n.canonical(a), n.canonical(b)
	return n.carries(a, b) && n.carries(b, a)
}

// Carries reports whether what is sent by one host gets to the other.
func (n *Net) Carries(from, to string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.carries(n.canonical(from), n.canonical(to))
}

// carries wants names, not addresses, and the lock held.
func (n *Net) carries(from, to string) bool {
	return from == to || !n.alone[from] && !n.alone[to] && !n.cuts[link{from, to}]
}

func (n *Net) sever(links ...link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cuts == nil {
		n.cuts = map[link]bool{}
	}
	for _, l := range links {
		n.cuts[link{n.canonical(l.from), n.canonical(l.to)}] = true
	}
}

// canonical turns an address into the name of its host.
func (n *Net) canonical(host string) string {
	if h := n.find(host); h != nil {
		return h.name
	}
	return host
}

// An event wakes all who wait for it. The lock of the Net guards it.
type event struct{ c chan struct{} }

// wait returns a channel that closes at the next fire.
func (e *event) wait() <-chan struct{} {
	if e.c == nil {
		e.c = make(chan struct{})
	}
	return e.c
}

func (e *event) fire() {
	if e.c != nil {
		close(e.c)
		e.c = nil
	}
}
