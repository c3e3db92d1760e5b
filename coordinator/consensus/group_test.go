package consensus

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/identity/identitytest"
	"primespark/shared/pipenet"
)

// raftPort is where the nodes of a test group listen.
const raftPort = "7481"

// A group is a whole coordinator group in one process, with or without a bubble.
type group struct {
	t       testing.TB
	witness string // the name of the one that is a witness; empty for none
	ca      *identitytest.Cluster
	net     *pipenet.Net // nil: real loopback
	nodes   map[string]*member
}

type member struct {
	*Node
	fsm  *fsm.FSM
	dir  string
	id   *identity.Identity
	addr string
	disk *gate
	stop context.CancelFunc // ends KeepMembers
	done chan struct{}
}

func newGroup(t testing.TB, n *pipenet.Net) *group {
	t.Helper()
	g := &group{t: t, ca: identitytest.New(t, "home"), net: n, nodes: map[string]*member{}}
	t.Cleanup(g.close)
	return g
}

func (g *group) close() {
	for _, m := range g.nodes {
		g.halt(m)
	}
}

func (g *group) halt(m *member) {
	m.stop()
	<-m.done
	if err := m.Close(); err != nil {
		g.t.Errorf("close %s: %v", m.name, err)
	}
}

// dial connects as a host of the test's network.
func (g *group) dial(name string) func(ctx context.Context, network, address string) (net.Conn, error) {
	if g.net == nil {
		return (&net.Dialer{}).DialContext
	}
	return g.net.Host(name).Dial
}

// start opens a node, in the directory that it had before if there was one.
func (g *group) start(name string) *member {
	g.t.Helper()
	m := &member{fsm: fsm.New(), done: make(chan struct{}), disk: &gate{}}
	listen := "127.0.0.1:0"
	if old := g.nodes[name]; old != nil {
		m.dir, m.id, listen = old.dir, old.id, old.addr
	} else {
		m.dir, m.id = g.t.TempDir(), g.ca.Node(fleet.Coordinator, name)
		if g.net != nil {
			listen = name + ":" + raftPort
		}
	}
	if name == g.witness {
		m.fsm = fsm.NewLight()
	}
	var l net.Listener
	var err error
	if g.net == nil {
		l, err = net.Listen("tcp", listen)
	} else {
		l, err = g.net.Host(name).Listen(context.Background(), "tcp", listen)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	m.addr = listen
	if g.net == nil {
		m.addr = l.Addr().String()
	}
	m.Node, err = Open(Config{Dir: m.dir, Advertise: m.addr, Profile: profiles["lan"], Identity: m.id, Log: testLog(), Witness: name == g.witness, disk: m.disk.before},
		m.fsm, Outside{Listener: l, Dial: g.dial(name)})
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	go func() {
		defer close(m.done)
		whileLeading(ctx, m.Node)
	}()
	g.nodes[name] = m
	return m
}

// whileLeading is lead.While for KeepMembers, without the import.
func whileLeading(ctx context.Context, n *Node) {
	for ctx.Err() == nil {
		yes, changed := n.Leading().Load()
		term, end := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if yes && !n.witness {
				_ = n.KeepMembers(term) // nil by its contract
			}
		}()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		end()
		<-done
	}
}

func testLog() *slog.Logger {
	if os.Getenv("RAFT_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.DiscardHandler)
}

// found starts the group with its first node, c1.
func (g *group) found() *member {
	g.t.Helper()
	m := g.start("c1")
	if err := m.Bootstrap(); err != nil {
		g.t.Fatal(err)
	}
	_, token := fsm.NewToken("admin", fsm.Admin)
	g.propose("c1", fsm.ClusterInit{
		Name: "home", Token: token,
		Node: fsm.Node{Name: "c1", Key: m.id.KeyHash(), Addresses: identity.Addresses{Raft: m.addr}},
		Codes: []fsm.CodeCreate{{
			ID: "join", Hash: fsm.Hash("secret"), Role: fleet.Coordinator, Uses: 100, Expires: time.Now().Add(24 * time.Hour),
		}},
	})
	return m
}

// join admits a node that has started, and waits until it votes.
func (g *group) join(name string) *member {
	g.t.Helper()
	m := g.start(name)
	g.propose("c1", fsm.NodeJoin{
		Code: "join", Hash: fsm.Hash("secret"), Name: name, Role: fleet.Coordinator,
		Key: m.id.KeyHash(), Addresses: identity.Addresses{Raft: m.addr},
	})
	g.wait(name+" votes", func() bool {
		return slices.ContainsFunc(m.Status().Servers, func(s Server) bool { return s.Name == name && s.Voter })
	})
	return m
}

// three starts a group of c1, c2 and c3.
func (g *group) three() *group {
	g.t.Helper()
	g.found()
	g.join("c2")
	g.join("c3")
	return g
}

// wait polls, which costs nothing in a bubble, for at most 30 s.
func (g *group) wait(what string, ok func() bool) {
	g.t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			for _, m := range g.nodes {
				g.t.Logf("%+v", m.Status())
			}
			g.t.Fatalf("waited 30 s in vain: %s", what)
		}
	}
}

// same tells whether two coordinators have equal states, of the same entry.
func same(a, b *Node) bool {
	left, _ := a.State()
	right, _ := b.State()
	return left.Index == right.Index && left.Checksum() == right.Checksum()
}

// leader waits until one of the named nodes leads, and all of them know it.
func (g *group) leader(names ...string) *member {
	g.t.Helper()
	var found *member
	g.wait("a leader", func() bool {
		found = nil
		for _, name := range names {
			m := g.nodes[name]
			if m.Leading().Get() {
				found = m
			}
		}
		return found != nil && !slices.ContainsFunc(names, func(name string) bool {
			return g.nodes[name].Status().Leader != found.name
		})
	})
	return found
}

func (g *group) propose(at string, c fsm.Command) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := g.nodes[at].Propose(ctx, "token:test", c); err != nil {
		g.t.Fatalf("propose %s at %s: %v", c.Kind(), at, err)
	}
}

// token proposes a token and returns its id, for something to count.
func (g *group) token(at string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, c := fsm.NewToken("ada", fsm.Viewer)
	for {
		_, err := g.nodes[at].Propose(ctx, "token:test", c)
		if !errors.Is(err, ErrUnknown) || ctx.Err() != nil {
			return c.ID, err
		}
	}
}

// others are the nodes of the group but those named.
func (g *group) others(but ...string) (names []string) {
	for name := range g.nodes {
		if !slices.Contains(but, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
