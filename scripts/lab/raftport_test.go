package lab_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/identity/identitytest"
	"primespark/shared/rig"
)

// TestForgedRaft: nobody but a coordinator of the group speaks raft to it. Whoever
// could would rewrite the agreed state (CVE-2021-37218).
func TestForgedRaft(t *testing.T) {
	ctx := begin(t, 2*time.Minute)
	if err := forgedRaft(ctx, "", identitytest.New(t, rig.Cluster)); err != nil {
		t.Fatal(err)
	}
}

// forgedRaft sends AppendEntries of a leader to come, as each of those who must not.
// The other cluster has the same name, and another authority.
func forgedRaft(ctx context.Context, b build, other *identitytest.Cluster) (err error) {
	l, err := found(ctx, plan{build: b})
	if err != nil {
		return err
	}
	defer l.done(&err)
	ours, err := l.enroll(ctx, "intruder")
	if err != nil {
		return err
	}
	victim := l.Coordinators[0]
	before, err := l.term(ctx)
	if err != nil {
		return err
	}
	at := net.JoinHostPort(victim.Host, "7481")
	for name, who := range map[string]*tls.Config{
		"without a certificate":                     {InsecureSkipVerify: true},
		"as an agent":                               ours.ClientTLSFor(anyone),
		"as a coordinator of another authority":     showing(other.Node(fleet.Coordinator, l.Coordinators[1].Name)),
		"as this very coordinator, of another, too": showing(other.Node(fleet.Coordinator, victim.Name)),
	} {
		term, err := forge(at, who, l.Coordinators[1], before+1000)
		if err == nil {
			return broken("%s: the forged entries were answered, at term %d", name, term)
		}
	}
	after, err := l.term(ctx)
	if err != nil {
		return err
	}
	if after >= before+1000 {
		return broken("the term went from %d to %d by forged entries", before, after)
	}
	return nil
}

func anyone(identity.ID) error { return nil }

// showing is a client with that identity that believes every server.
func showing(id *identity.Identity) *tls.Config {
	c := id.ClientTLSFor(anyone)
	c.VerifyConnection = nil
	return c
}

// forge sends one AppendEntries in the name of a coordinator, and returns the term
// of the answer.
func forge(at string, who *tls.Config, claims *rig.Node, term uint64) (uint64, error) {
	who = who.Clone()
	who.MinVersion, who.NextProtos = tls.VersionTLS13, []string{"ps-raft"}
	trans := raft.NewNetworkTransport(stream{who}, 1, 3*time.Second, io.Discard)
	defer trans.Close()
	var answer raft.AppendEntriesResponse
	err := trans.AppendEntries("c1", raft.ServerAddress(at), &raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(claims.Name), Addr: []byte(claims.Host + ":7481")},
		Term:      term,
	}, &answer)
	return answer.Term, err
}

// A stream is the way out of a forger's transport; nobody comes in.
type stream struct{ config *tls.Config }

func (s stream) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: timeout}, "tcp", string(to), s.config)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", to, err)
	}
	return c, nil
}

func (stream) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (stream) Close() error              { return nil }
func (stream) Addr() net.Addr            { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
