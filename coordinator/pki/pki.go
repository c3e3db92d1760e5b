// Package pki is the cluster's authority: the key that makes certificates.
//
// It decides nothing. Who may have a certificate is the agreed state's matter
// (packages fsm and enroll); this package signs what it is told, for 30 days,
// and takes nothing from a certificate request but the public key.
package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/identity"
)

// How long what is signed here lives.
const (
	AuthorityLife = 10 * 365 * 24 * time.Hour
	LeafLife      = 30 * 24 * time.Hour
	// Skew is how far a node's clock may be behind and still accept a new
	// certificate: a Pi has no clock that runs while it is off.
	Skew = time.Hour
)

// maxHosts bounds the names and addresses in one certificate.
const maxHosts = 16

// The authority's files, in the directory of the coordinator's identity.
const (
	certFile = "ca.crt"
	keyFile  = "ca.key"
)

// An Authority signs certificates of one cluster. It is safe to share.
type Authority struct {
	// Life is how long what it signs lives, if not LeafLife. Set it before use.
	Life time.Duration

	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// life returns how long a certificate lives, and how far before its making it
// begins, which never is much of that.
func (a *Authority) life() (life, skew time.Duration) {
	if a.Life == 0 {
		return LeafLife, Skew
	}
	return a.Life, min(Skew, a.Life/20)
}

// Create makes the authority of a new cluster.
func Create(cluster string, now time.Time) (*Authority, error) {
	if !fleet.ValidName(cluster) {
		return nil, fmt.Errorf("create authority: %q is no cluster name; use 1 to 32 of a-z, 0-9 and hyphen", cluster)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("create authority: %w", err)
	}
	serial, err := serialNumber()
	if err != nil {
		return nil, fmt.Errorf("create authority: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: cluster, Organization: []string{"Prime Spark"}},
		NotBefore:             now.Add(-Skew),
		NotAfter:              now.Add(AuthorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true, // it signs nodes, no further authorities
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("create authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("create authority: %w", err)
	}
	return &Authority{cert: cert, key: key}, nil
}

// Load reads the authority from the directory of a coordinator's identity.
func Load(dir string) (*Authority, error) {
	cert, err := identity.ReadFile(dir, certFile)
	if err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	key, err := identity.ReadFile(dir, keyFile)
	if err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	return Parse(cert, key)
}

// Parse makes an authority of its certificate and key, both PEM.
func Parse(cert, key []byte) (*Authority, error) {
	c, err := identity.ParseCertificate(cert)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certFile, err)
	}
	block, _ := pem.Decode(key)
	if block == nil {
		return nil, fmt.Errorf("%s: no key in PEM form", keyFile)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyFile, err)
	}
	k, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !k.PublicKey.Equal(c.PublicKey) {
		return nil, fmt.Errorf("%s is not the key of %s; restore both from the same backup", keyFile, certFile)
	}
	return &Authority{cert: c, key: k}, nil
}

// Save writes the authority into dir, which it makes if need be.
func (a *Authority) Save(dir string) error {
	key, err := a.Key()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("save authority: %w", err)
	}
	if err := identity.WriteFile(dir, certFile, a.PEM()); err != nil {
		return err
	}
	return identity.WriteFile(dir, keyFile, key)
}

// Certificate is the authority's own.
func (a *Authority) Certificate() *x509.Certificate { return a.cert }

// Cluster is the name of the cluster that the authority is of.
func (a *Authority) Cluster() string { return a.cert.Subject.CommonName }

// PEM is the authority's certificate as text.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// Key is the authority's private key as text: the cluster's greatest secret.
func (a *Authority) Key() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, fmt.Errorf("encode authority's key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Public is the authority's public key.
func (a *Authority) Public() crypto.PublicKey { return a.key.Public() }

// Sign signs a digest as crypto.Signer wants it. Whoever calls it says in what is
// signed what it is, so that it cannot be taken for a certificate.
func (a *Authority) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return a.key.Sign(rand, digest, opts)
}

var _ crypto.Signer = (*Authority)(nil)

// ErrRequest is the kind of an error that lies in the certificate request or in
// the hosts, not here.
var ErrRequest = errors.New("certificate request refused")

// Issue signs the public key of a request (PEM) for node id, and returns the
// certificate and then the authority's, PEM. hosts are the names and addresses
// by which browsers and tools reach the node; loopback is always among them.
// Nodes know each other by the URI of id alone.
func (a *Authority) Issue(csr []byte, id identity.ID, hosts []string, now time.Time) ([]byte, error) {
	key, err := publicKey(csr)
	if err != nil {
		return nil, err
	}
	if !id.Valid() || id.Cluster != a.Cluster() {
		return nil, fmt.Errorf("%w: %s is no node of cluster %s", ErrRequest, id, a.Cluster())
	}
	names, addresses, err := split(hosts)
	if err != nil {
		return nil, err
	}
	serial, err := serialNumber()
	if err != nil {
		return nil, err
	}
	life, skew := a.life()
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: id.Name, Organization: []string{"Prime Spark"}},
		NotBefore:    now.Add(-skew),
		NotAfter:     now.Add(life),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:         []*url.URL{id.URI()},
		DNSNames:     names,
		IPAddresses:  addresses,
	}
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate of %s: %w", id.Name, err)
	}
	leaf := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return append(leaf, a.PEM()...), nil
}

// KeyHash is identity.KeyHash of the certificate that a request (PEM) will give.
func KeyHash(csr []byte) (string, error) {
	request, err := parseRequest(csr)
	if err != nil {
		return "", err
	}
	return identity.KeyHash(&x509.Certificate{RawSubjectPublicKeyInfo: request.RawSubjectPublicKeyInfo}), nil
}

func publicKey(csr []byte) (*ecdsa.PublicKey, error) {
	request, err := parseRequest(csr)
	if err != nil {
		return nil, err
	}
	key, ok := request.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: the key is not ECDSA on P-256", ErrRequest)
	}
	return key, nil
}

// maxRequest is many times what a request of ours has.
const maxRequest = 16 << 10

func parseRequest(csr []byte) (*x509.CertificateRequest, error) {
	if len(csr) > maxRequest {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrRequest, len(csr), maxRequest)
	}
	block, rest := pem.Decode(csr)
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%w: not one request in PEM form", ErrRequest)
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if err := request.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%w: not signed by its own key: %w", ErrRequest, err)
	}
	return request, nil
}

// split sorts hosts into names and addresses, with loopback added and doubles
// dropped.
func split(hosts []string) (names []string, addresses []net.IP, err error) {
	if len(hosts) > maxHosts {
		return nil, nil, fmt.Errorf("%w: %d host names, at most %d", ErrRequest, len(hosts), maxHosts)
	}
	seen := map[string]bool{}
	for _, h := range slices.Concat([]string{"localhost", "127.0.0.1", "::1"}, hosts) {
		h = strings.ToLower(strings.TrimSuffix(h, "."))
		if ip := net.ParseIP(h); ip != nil {
			if !ip.IsUnspecified() && !seen[ip.String()] {
				seen[ip.String()] = true
				addresses = append(addresses, ip)
			}
			continue
		}
		if !validHost(h) {
			return nil, nil, fmt.Errorf("%w: %.64q is neither a host name nor an address", ErrRequest, h)
		}
		if !seen[h] {
			seen[h] = true
			names = append(names, h)
		}
	}
	return names, addresses, nil
}

// validHost reports whether h is a DNS name as RFC 1123 has it. A wildcard is
// none: a node does not speak for others.
func validHost(h string) bool {
	if h == "" || len(h) > 253 {
		return false
	}
	for label := range strings.SplitSeq(h, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.ContainsFunc(label, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
		}) {
			return false
		}
	}
	return true
}

func serialNumber() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
}
