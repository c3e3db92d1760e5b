package systest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"primespark/coordinator/pki"
)

// brokerPort is that of the embedded broker.
const brokerPort = ":7883"

// A Pass is a certificate that somebody shows.
type Pass struct {
	Name string
	cert *tls.Certificate
}

// PassOf is a node's own certificate, out of its files.
func (f *Fleet) PassOf(name string) Pass {
	f.t.Helper()
	cert, err := f.Identity(name).ClientTLS().GetClientCertificate(nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return Pass{name, cert}
}

// Forge makes a certificate as it would have been issued at a time, of 30 days and
// an hour before, with any cluster and role; by the fleet's own authority, or by
// one of its own if that is named.
func (f *Fleet) Forge(authority, cluster, role, name string, issued time.Time) Pass {
	f.t.Helper()
	dir := filepath.Join(f.nodes["c1"].dir, "identity")
	if authority != "" {
		made, err := pki.Create("test", time.Now())
		if err != nil {
			f.t.Fatal(err)
		}
		dir = f.t.TempDir()
		if err := made.Save(dir); err != nil {
			f.t.Fatal(err)
		}
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key"))
	if err != nil {
		f.t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: issued.Add(-time.Hour), NotAfter: issued.Add(30 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		URIs: []*url.URL{{Scheme: "spiffe", Host: cluster, Path: "/" + role + "/" + name}},
	}, pair.Leaf, key.Public(), pair.PrivateKey)
	if err != nil {
		f.t.Fatal(err)
	}
	return Pass{name, &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}}
}

// shows are the settings of a client that takes any server and shows a pass even
// where that was not asked for.
func (p Pass) shows(protocols ...string) *tls.Config {
	c := insecure()
	c.NextProtos = protocols
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return p.cert, nil }
	return c
}

// StartBroker starts a coordinator anew, with the embedded broker.
func (f *Fleet) StartBroker(name string) {
	f.t.Helper()
	f.Kill(name)
	f.nodes[name].broker = true
	f.Revive(name)
}

// AskAPI asks a node for something that only members may have.
func (f *Fleet) AskAPI(name string) func(Pass) error {
	return func(p Pass) error {
		t := &http.Transport{DialContext: f.stranger().DialContext, TLSClientConfig: p.shows()}
		defer t.CloseIdleConnections()
		return (&Caller{f, &http.Client{Transport: t}}).Get(f.t.Context(), name)
	}
}

// AskRaft connects to a coordinator's raft port. One who is let in hears nothing.
func (f *Fleet) AskRaft(name string) func(Pass) error {
	return func(p Pass) error {
		return f.knock(f.nodes[name].addresses().Raft, p.shows("ps-raft"), func(c *tls.Conn) error {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				return fmt.Errorf("closed: %w", err)
			}
			return nil
		})
	}
}

// AskBroker connects to a coordinator's broker as the agent pi-1.
func (f *Fleet) AskBroker(name string) func(Pass) error {
	return func(p Pass) error {
		client := "test." + p.Name
		// CONNECT of MQTT 3.1.1 (3.1): protocol, level 4, clean session, 60 s.
		packet := append([]byte{0x10, byte(12 + len(client)), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, byte(len(client))}, client...)
		return f.knock(f.nodes[name].host.Name()+brokerPort, p.shows(), func(c *tls.Conn) error {
			if _, err := c.Write(packet); err != nil {
				return err
			}
			answer := make([]byte, 4)
			if _, err := io.ReadFull(c, answer); err != nil {
				return err
			}
			if answer[0] != 0x20 || answer[3] != 0 {
				return fmt.Errorf("refused: % x", answer)
			}
			return nil
		})
	}
}

// knock makes a TLS connection from a host of its own and has talk judge it.
func (f *Fleet) knock(address string, settings *tls.Config, talk func(*tls.Conn) error) error {
	ctx, cancel := context.WithTimeout(f.t.Context(), 5*time.Second)
	defer cancel()
	raw, err := f.stranger().DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	c := tls.Client(raw, settings)
	defer closeQuietly(c)
	if err := c.HandshakeContext(ctx); err != nil {
		return err
	}
	if err := c.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	return talk(c)
}

// closeQuietly ends a connection that the other side may have ended.
func closeQuietly(c net.Conn) { _ = c.Close() }

// stranger is the host that knocks.
func (f *Fleet) stranger() dialer { return dialer{f.net.Host("10.77.2.2")} }
