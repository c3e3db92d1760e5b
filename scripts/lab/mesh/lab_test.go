package mesh_test

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"primespark/scripts/lab/machine"
	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/identity/identitytest"
	"primespark/shared/mesh"
	"primespark/shared/meshnet"
)

// A lab is hubs and edges, each in a namespace with a prime-spark-mesh of its own.
type lab struct {
	net     *machine.Net
	cluster *identitytest.Cluster
	hosts   map[string]*host
	names   []string

	mu  sync.Mutex
	now mesh.Map // as it was told last

	loud bool // edges are heard by their neighbours
}

type host struct {
	*machine.Host
	name    string
	dir     string
	stem    string
	ring    mesh.Ring
	address netip.Addr // in the overlay
	socket  string
	client  *meshnet.Client
	stop    func() // the client
	cmd     *exec.Cmd
	log     *os.File
}

var labs atomic.Int64

// build makes hubs c1, c2, ... and edges pi-1, pi-2, ..., and waits until all know
// the map. The test has begun.
func build(t *testing.T, hubs, edges int) *lab {
	t.Helper()
	return buildAt(t, hubs, edges, func(_ string, h *machine.Host) (*machine.Host, error) { return h, nil })
}

// buildAt is build for edges that are where at says.
func buildAt(t *testing.T, hubs, edges int, at func(name string, h *machine.Host) (*machine.Host, error)) *lab {
	t.Helper()
	run, err := theRun()
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{cluster: identitytest.New(t, "home"), hosts: map[string]*host{}}
	if l.net, err = run.Net(); err != nil {
		t.Fatal(err)
	}
	number := int(labs.Add(1))
	for i := range hubs {
		l.names = append(l.names, fmt.Sprintf("c%d", i+1))
	}
	for i := range edges {
		l.names = append(l.names, fmt.Sprintf("pi-%d", i+1))
	}
	for i, name := range l.names {
		h := &host{name: name, dir: filepath.Join(run.Dir, fmt.Sprintf("mesh%d-%s", number, name))}
		h.stem = l.stem(run, number, i)
		if h.Host, err = l.net.Host(); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(name, "pi-") {
			if h.Host, err = at(name, h.Host); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(h.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		h.socket = filepath.Join(h.dir, "sock")
		if h.ring, err = mesh.NewRing(); err != nil {
			t.Fatal(err)
		}
		l.hosts[name] = h
		h.start(t)
		h.watch(t)
	}
	l.now = mesh.Map{Cluster: l.cluster.Name, Prefix: mesh.Prefix(identity.CAHash(l.cluster.CA))}
	for _, name := range l.names {
		h := l.hosts[name]
		n := mesh.Node{Name: name, Role: fleet.Agent, Keys: h.ring.Public()}
		if strings.HasPrefix(name, "c") {
			n.Role, n.Hub = fleet.Coordinator, &mesh.Hub{}
			if name == "c1" {
				n.Hub.Priority = 10 // all begin at this one
			}
			n.Endpoints = []mesh.Endpoint{{Kind: mesh.Static, Address: h.Address + ":51820"}}
		}
		n.ID = mesh.URI(l.now.Cluster, n.Role, name)
		n.Address = mesh.NodeHost(n.Role, n.ID).In(l.now.Prefix)
		h.address = n.Address
		l.now.Nodes = append(l.now.Nodes, n)
	}
	slices.SortFunc(l.now.Nodes, func(a, b mesh.Node) int { return strings.Compare(a.Name, b.Name) }) // pi-10 before pi-2
	l.tell(t, func(*mesh.Map) {})
	for _, name := range l.names {
		l.hosts[name].facts(t, func(f meshnet.Facts) bool { return f.Report.Version == l.now.Version })
	}
	return l
}

// start starts the host's prime-spark-mesh.
func (h *host) start(t *testing.T) {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	if h.log, err = os.OpenFile(filepath.Join(h.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		t.Fatal(err)
	}
	line := h.Under(path, "run", "--state", h.dir, "--socket", h.socket, "--interface", h.stem, "--wireguard", cmp.Or(os.Getenv(backendEnv), "user"), "--log", "text")
	h.cmd = exec.Command(line[0], line[1:]...)
	h.cmd.Stderr = h.log
	start(t, h.cmd)
}

// kill ends it as a power cut does.
func (h *host) kill(t *testing.T) {
	t.Helper()
	_ = h.cmd.Process.Signal(syscall.SIGKILL)
	_, _ = h.cmd.Process.Wait()
}

// facts waits for facts that are as wanted.
func (h *host) facts(t *testing.T, ok func(meshnet.Facts) bool) meshnet.Facts {
	t.Helper()
	return h.within(t, 20*time.Second, ok)
}

func (h *host) within(t *testing.T, limit time.Duration, ok func(meshnet.Facts) bool) meshnet.Facts {
	t.Helper()
	end := time.After(limit)
	for {
		f, changed := h.client.Facts()
		if !f.At.IsZero() && ok(f) {
			return f
		}
		select {
		case <-changed:
		case <-end:
			t.Fatalf("%s: not within %v; its facts are %+v\n%s", h.name, limit, f, h.words())
		}
	}
}

// tell changes the map and tells everybody.
func (l *lab) tell(t *testing.T, change func(*mesh.Map)) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.now
	m.Nodes = slices.Clone(m.Nodes)
	change(&m)
	m.Version++
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	l.now = m
	for _, name := range l.names {
		l.want(name, nil)
	}
}

// want tells one host the map.
func (l *lab) want(name string, sightings []mesh.Sighting) {
	l.hosts[name].client.Want(meshnet.Wanted{Self: name, Map: l.now, Ring: l.hosts[name].ring, Sightings: sightings, Ports: meshnet.Ports{API: flowPort, Gossip: flowPort}, Quiet: !l.loud})
}

// by waits until packets of a host go through a hub.
func (l *lab) by(t *testing.T, name, hub string) {
	t.Helper()
	l.hosts[name].within(t, 2*time.Minute, func(f meshnet.Facts) bool { return f.Report.Hub == hub })
}

// others are all hosts but one.
func (l *lab) others(name string) (all []*machine.Host) {
	for _, n := range l.names {
		if n != name {
			all = append(all, l.hosts[n].Host)
		}
	}
	return all
}

// words are the last lines of all logs.
func (l *lab) words() string {
	var all strings.Builder
	for _, name := range l.names {
		all.WriteString(l.hosts[name].words())
	}
	return all.String()
}

func (h *host) words() string {
	b, err := os.ReadFile(filepath.Join(h.dir, "log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return h.name + ":\n  " + strings.Join(lines[max(0, len(lines)-12):], "\n  ") + "\n"
}
