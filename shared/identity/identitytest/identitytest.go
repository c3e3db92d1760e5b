// Package identitytest makes clusters and their members out of nothing, for
// tests of whatever speaks TLS between nodes.
package identitytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/identity"
)

// A Cluster is an authority that signs whatever a test asks for.
type Cluster struct {
	Name string
	CA   *x509.Certificate

	t   testing.TB
	key *ecdsa.PrivateKey
}

// New makes the authority of a cluster. In a bubble it lives by the bubble's
// clock, so make it there.
func New(t testing.TB, name string) *Cluster {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-100 * 24 * time.Hour), NotAfter: time.Now().Add(1000 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &Cluster{name, ca, t, key}
}

// Signer is the authority's key.
func (c *Cluster) Signer() crypto.Signer { return c.key }

// Node makes a member whose certificate was issued now.
func (c *Cluster) Node(role fleet.Role, name string) *identity.Identity {
	c.t.Helper()
	return c.NodeAt(role, name, time.Now())
}

// NodeAt makes a member whose certificate was issued at another time; it lives
// for 30 days, and an hour before.
func (c *Cluster) NodeAt(role fleet.Role, name string, issued time.Time) *identity.Identity {
	c.t.Helper()
	id, err := identity.New(c.Credentials(role, name, issued))
	if err != nil {
		c.t.Fatal(err)
	}
	return id
}

// Credentials are those of NodeAt. All clusters have the same gossip key.
func (c *Cluster) Credentials(role fleet.Role, name string, issued time.Time) identity.Credentials {
	c.t.Helper()
	key, csr, err := identity.NewKey(name)
	if err != nil {
		c.t.Fatal(err)
	}
	caKey, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		c.t.Fatal(err)
	}
	secret := make([]byte, identity.KeySize)
	return identity.Credentials{
		CA: c.PEM(), Cert: c.Sign(csr, role, name, issued), Key: key, Gossip: secret, Session: secret,
		CAKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: caKey}),
	}
}

// Sign signs a request (PEM) and returns the chain, PEM.
func (c *Cluster) Sign(csr []byte, role fleet.Role, name string, issued time.Time) []byte {
	c.t.Helper()
	block, _ := pem.Decode(csr)
	if block == nil {
		c.t.Fatal("the request is not in PEM form")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		c.t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		c.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: issued.Add(-time.Hour), NotAfter: issued.Add(30 * 24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:        []*url.URL{identity.ID{Cluster: c.Name, Role: role, Name: name}.URI()},
		DNSNames:    []string{name, "localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}, c.CA, request.PublicKey, c.key)
	if err != nil {
		c.t.Fatal(err)
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), c.PEM()...)
}

// PEM is the authority's certificate as text.
func (c *Cluster) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.CA.Raw})
}
