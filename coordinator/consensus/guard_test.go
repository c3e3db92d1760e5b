package consensus

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/identity/identitytest"
)

// strangerLayer dials the raft port with settings of its own.
type strangerLayer struct {
	net.Listener
	cfg *tls.Config
}

func (l strangerLayer) Dial(a raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return tls.DialWithDialer(&net.Dialer{Timeout: timeout}, "tcp", string(a), l.cfg)
}

// TestForgedRPCs sends what would overwrite the state of a node, from everyone
// who must not: it is refused in the handshake. A member gets through, so that
// the test is known to test something.
func TestForgedRPCs(t *testing.T) {
	g := newGroup(t, nil)
	m := g.found()
	other := identitytest.New(t, "home") // the same name, another authority
	neighbour := identitytest.New(t, "other")
	long := time.Now().Add(-40 * 24 * time.Hour)
	for name, test := range map[string]struct {
		id      *identity.Identity
		through bool
	}{
		"no certificate":           {nil, false},
		"agent":                    {g.ca.Node(fleet.Agent, "pi-1"), false},
		"agent named like a voter": {g.ca.Node(fleet.Agent, "c1"), false},
		"not in the configuration": {g.ca.Node(fleet.Coordinator, "c9"), false},
		"another authority":        {other.Node(fleet.Coordinator, "c1"), false},
		"another cluster":          {neighbour.Node(fleet.Coordinator, "c1"), false},
		"expired":                  {g.ca.NodeAt(fleet.Coordinator, "c1", long), false},
		"member":                   {g.ca.Node(fleet.Coordinator, "c1"), true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, proto := range []string{protoRaft, protoControl, "", "h2"} {
				cfg := &tls.Config{InsecureSkipVerify: true} // the attacker does not care whom he talks to
				if test.id != nil {
					cfg = test.id.ClientTLS()
					cfg.InsecureSkipVerify, cfg.VerifyConnection = true, nil
				}
				if proto != "" {
					cfg.NextProtos = []string{proto}
				}
				want := test.through && (proto == protoRaft || proto == protoControl)
				if got := opens(t, m.addr, cfg); got != want {
					t.Errorf("protocol %q: open %t, want %t", proto, got, want)
				}
			}
			cfg := &tls.Config{InsecureSkipVerify: true}
			if test.id != nil {
				cfg = test.id.ClientTLS()
				cfg.InsecureSkipVerify, cfg.VerifyConnection = true, nil
			}
			cfg.NextProtos = []string{protoRaft}
			err := forge(t, m, cfg)
			if reached := err == nil; reached != test.through {
				t.Errorf("the forged request: %v", err)
			}
		})
	}
	s, _ := m.State()
	if s.Cluster.Name != "home" {
		t.Error("the state was overwritten")
	}
}

// opens reports whether a connection survives the handshake: a server that
// refuses a certificate under TLS 1.3 says so only after the client is done.
func opens(t *testing.T, addr string, cfg *tls.Config) bool {
	t.Helper()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", addr, cfg)
	if err != nil {
		return false
	}
	defer c.Close()
	if err := c.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	_, err = c.Read(make([]byte, 1))
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}

// forge sends an AppendEntries with an old term, which a node that takes it
// answers and otherwise ignores.
func forge(t *testing.T, m *member, cfg *tls.Config) error {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	trans := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: strangerLayer{l, cfg}, MaxPool: 1, Timeout: 2 * time.Second, Logger: raftLogger(testLog()),
	})
	defer trans.Close()
	defer trans.CloseStreams()
	var resp raft.AppendEntriesResponse
	return trans.AppendEntries(raft.ServerID(m.name), raft.ServerAddress(m.addr), &raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("c1"), Addr: []byte(m.addr)},
		Term:      0,
	}, &resp)
}

// TestDialRefusesStrangers listens where a member should be, with every kind of
// certificate but the member's own: this node does not speak to it.
func TestDialRefusesStrangers(t *testing.T) {
	g := newGroup(t, nil)
	m := g.found()
	for name, id := range map[string]*identity.Identity{
		"agent":             g.ca.Node(fleet.Agent, "c2"),
		"other coordinator": g.ca.Node(fleet.Coordinator, "c3"),
		"expired":           g.ca.NodeAt(fleet.Coordinator, "c2", time.Now().Add(-40*24*time.Hour)),
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			cfg := id.ServerTLS(tls.RequestClientCert)
			cfg.NextProtos = []string{protoRaft, protoControl}
			go func() { // ends when the listener is closed
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					_ = tls.Server(c, cfg).Handshake() // the client's word counts
					c.Close()
				}
			}()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			_, err = m.port.open(ctx, l.Addr().String(), protoRaft, identity.Node("c2", fleet.Coordinator))
			if err == nil {
				t.Fatal("the connection was opened")
			}
		})
	}
}

func TestPortIsBounded(t *testing.T) {
	g := newGroup(t, nil)
	m := g.found()
	var idle []net.Conn
	defer func() {
		for _, c := range idle {
			c.Close()
		}
	}()
	for range maxConns + 20 {
		c, err := net.Dial("tcp", m.addr)
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, c)
	}
	if n := len(m.port.slots); n > maxConns {
		t.Errorf("%d connections, at most %d are to be", n, maxConns)
	}
	if _, err := m.Propose(t.Context(), "token:test", fsm.Prune{}); err != nil {
		t.Errorf("strangers who say nothing keep the node from working: %v", err)
	}
}

func TestErrorsOfTheControlProtocol(t *testing.T) {
	g := newGroup(t, nil)
	m := g.found()
	_, err := m.StatusOf(t.Context(), "nobody")
	if err == nil || !neverSent(err) || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("a call to an unknown coordinator: %v", err)
	}
}
