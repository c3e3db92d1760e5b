package identity_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/identity/identitytest"
)

func TestSaveAndLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "identity")
	if _, err := identity.Load(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load before the join = %v, want fs.ErrNotExist", err)
	}
	c := identitytest.New(t, "home")
	want := c.Credentials(fleet.Coordinator, "c1", time.Now())
	want.Peers = identity.Peers{API: []string{"c2:7480"}, Gossip: []string{"c2:7482"}}
	if err := want.Save(dir); err != nil {
		t.Fatal(err)
	}
	got, err := identity.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID() != (identity.ID{Cluster: "home", Role: fleet.Coordinator, Name: "c1"}) || len(got.GossipKey()) != 32 ||
		len(got.SessionKey()) != 32 || got.Peers().API[0] != "c2:7480" || !got.CA().Equal(c.CA) {
		t.Errorf("loaded %v %v", got.ID(), got.Peers())
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", e.Name(), info.Mode(), err)
		}
	}
	if len(entries) != 7 {
		t.Errorf("%d files, want 7 and nothing left over", len(entries))
	}
	// A new identity takes the place of the old one.
	if err := identitytest.New(t, "other").Credentials(fleet.Coordinator, "c9", time.Now()).Save(dir); err != nil {
		t.Fatal(err)
	}
	if got, err = identity.Load(dir); err != nil || got.ID().Cluster != "other" {
		t.Errorf("after another join: %v, %v", got, err)
	}
}

func TestLoadNamesTheDamage(t *testing.T) {
	for name, test := range map[string]struct {
		harm func(dir string) error
		want string
	}{
		"key missing":    {func(d string) error { return os.Remove(filepath.Join(d, "node.key")) }, "node.key"},
		"gossip short":   {func(d string) error { return os.WriteFile(filepath.Join(d, "gossip.key"), []byte("x"), 0o600) }, "gossip.key: 1 bytes"},
		"key readable":   {func(d string) error { return os.Chmod(filepath.Join(d, "node.key"), 0o644) }, "chmod 600"},
		"garbage":        {func(d string) error { return os.WriteFile(filepath.Join(d, "ca.crt"), []byte("hello"), 0o600) }, "ca.crt"},
		"huge":           {func(d string) error { return os.Truncate(filepath.Join(d, "node.key"), 1<<20) }, "too many"},
		"no session key": {func(d string) error { return os.Remove(filepath.Join(d, "session.key")) }, "session.key"},
		"other authority": {func(d string) error {
			return os.WriteFile(filepath.Join(d, "ca.crt"), identitytest.New(t, "home").PEM(), 0o600)
		}, "not signed"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := identitytest.New(t, "home").Credentials(fleet.Coordinator, "c1", time.Now()).Save(dir); err != nil {
				t.Fatal(err)
			}
			if err := test.harm(dir); err != nil {
				t.Fatal(err)
			}
			_, err := identity.Load(dir)
			if err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Load = %v, want an error with %q that is not fs.ErrNotExist", err, test.want)
			}
		})
	}
}

// meet connects two identities over loopback and tells how each side fares.
func meet(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() { // waited for below
		c, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		defer c.Close()
		s := tls.Server(c, server)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err = s.HandshakeContext(ctx)
		if err == nil {
			_, err = s.Write([]byte("x"))
		}
		done <- err
	}()
	c, err := tls.Dial("tcp", l.Addr().String(), client)
	if err == nil {
		_, err = c.Read(make([]byte, 1)) // a refusal of our certificate shows here
		c.Close()
	}
	return <-done, err
}

// TestWhoMeetsWhom runs every kind of certificate against a listener, and every
// kind of listener against a client.
func TestWhoMeetsWhom(t *testing.T) {
	home := identitytest.New(t, "home")
	now := time.Now()
	us := home.NodeAt(fleet.Coordinator, "c1", now)
	revoked := home.NodeAt(fleet.Coordinator, "c7", now)
	us.SetDeny(func(id identity.ID, hash string) bool { return hash == revoked.KeyHash() && id.Name == "c7" })
	for name, test := range map[string]struct {
		them *identity.Identity
		good bool
	}{
		"coordinator":       {home.NodeAt(fleet.Coordinator, "c2", now), true},
		"agent":             {home.NodeAt(fleet.Agent, "pi-1", now), false},
		"same name, forged": {identitytest.New(t, "home").NodeAt(fleet.Coordinator, "c2", now), false},
		"other cluster":     {identitytest.New(t, "other").NodeAt(fleet.Coordinator, "c2", now), false},
		"expired":           {home.NodeAt(fleet.Coordinator, "c2", now.Add(-31*24*time.Hour)), false},
		"not yet valid":     {home.NodeAt(fleet.Coordinator, "c2", now.Add(2*time.Hour)), false},
		"clock 50 min off":  {home.NodeAt(fleet.Coordinator, "c2", now.Add(50*time.Minute)), true},
		"revoked":           {revoked, false},
	} {
		t.Run(name, func(t *testing.T) {
			// The other side takes anybody, so that it is ours that decides.
			anybody := test.them.ClientTLS()
			anybody.VerifyConnection = nil
			if err, _ := meet(t, us.ServerTLS(tls.RequireAndVerifyClientCert, fleet.Coordinator), anybody); (err == nil) != test.good {
				t.Errorf("our listener says %v", err)
			}
			open := test.them.ServerTLS(tls.NoClientCert)
			if _, err := meet(t, open, us.ClientTLS(fleet.Coordinator)); (err == nil) != test.good {
				t.Errorf("our client says %v", err)
			}
		})
	}
}

func TestListenerWithOptionalCertificate(t *testing.T) {
	home := identitytest.New(t, "home")
	server := home.Node(fleet.Coordinator, "c1").ServerTLS(tls.VerifyClientCertIfGiven)
	if err, _ := meet(t, server, &tls.Config{InsecureSkipVerify: true}); err != nil {
		t.Errorf("no certificate: %v", err)
	}
	stranger := identitytest.New(t, "other").Node(fleet.Agent, "pi-1").ClientTLS()
	stranger.VerifyConnection = nil
	if err, _ := meet(t, server, stranger); err == nil {
		t.Error("a certificate of another cluster passes as none")
	}
	old := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}
	if err, _ := meet(t, server, old); err == nil {
		t.Error("TLS 1.2 is accepted")
	}
}

func TestRenew(t *testing.T) {
	home := identitytest.New(t, "home")
	id := home.Node(fleet.Agent, "pi-1")
	before := id.KeyHash()
	next := home.Credentials(fleet.Agent, "pi-1", time.Now().Add(time.Minute))
	if err := id.Renew(next.Cert, next.Key); err != nil || id.KeyHash() == before {
		t.Errorf("Renew = %v", err)
	}
	other := home.Credentials(fleet.Agent, "pi-2", time.Now())
	if err := id.Renew(other.Cert, other.Key); err == nil {
		t.Error("a certificate of another node was taken")
	}
}

func TestPeer(t *testing.T) {
	if _, err := identity.Peer(nil); !errors.Is(err, identity.ErrNoCertificate) {
		t.Errorf("Peer of plain HTTP = %v", err)
	}
	if _, err := identity.Peer(&tls.ConnectionState{}); !errors.Is(err, identity.ErrNoCertificate) {
		t.Errorf("Peer without a certificate = %v", err)
	}
}
