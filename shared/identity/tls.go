package identity

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"

	"primespark/shared/fleet"
)

// An Accept decides on a peer whose certificate is genuine and of this cluster.
// A refusal ends the handshake, and its text is for the log of this side.
type Accept func(ID) error

// Roles accepts peers of any of the roles; with no roles, all.
func Roles(roles ...fleet.Role) Accept {
	return func(id ID) error {
		if len(roles) == 0 || slices.Contains(roles, id.Role) {
			return nil
		}
		return fmt.Errorf("%s %s may not speak here; want %v", id.Role, id.Name, roles)
	}
}

// Node accepts one node only.
func Node(name string, role fleet.Role) Accept {
	return func(id ID) error {
		if id.Name == name && id.Role == role {
			return nil
		}
		return fmt.Errorf("expected %s %s, met %s %s", role, name, id.Role, id.Name)
	}
}

// ServerTLS returns the settings of a listener: TLS 1.3 with the node's newest
// certificate. clientCert says whether others must show one; one that is shown
// must be of this cluster and of one of the roles, whatever clientCert is. With
// no roles, any will do.
func (i *Identity) ServerTLS(clientCert tls.ClientAuthType, roles ...fleet.Role) *tls.Config {
	return i.ServerTLSFor(clientCert, Roles(roles...))
}

// ServerTLSFor is ServerTLS with a rule of the caller's own.
func (i *Identity) ServerTLSFor(clientCert tls.ClientAuthType, accept Accept) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		ClientAuth:     clientCert,
		ClientCAs:      i.pool,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return i.cert.Load(), nil },
		VerifyConnection: func(cs tls.ConnectionState) error {
			if len(cs.PeerCertificates) == 0 {
				return nil // ClientAuth has refused it already where one is needed
			}
			return i.verify(cs, x509.ExtKeyUsageClientAuth, accept)
		},
	}
}

// ClientTLS returns the settings for a call to a node of one of the roles (any,
// if none is named) of this cluster: TLS 1.3, this node's certificate, and the
// other's checked by its URI, so that addresses may change and lie.
func (i *Identity) ClientTLS(roles ...fleet.Role) *tls.Config { return i.ClientTLSFor(Roles(roles...)) }

// ClientTLSFor is ClientTLS with a rule of the caller's own.
func (i *Identity) ClientTLSFor(accept Accept) *tls.Config {
	return &tls.Config{
		MinVersion:           tls.VersionTLS13,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return i.cert.Load(), nil },
		// Host names are not what a node is known by; VerifyConnection checks the
		// chain, the cluster and the role, and runs on resumed sessions too.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			return i.verify(cs, x509.ExtKeyUsageServerAuth, accept)
		},
	}
}

// verify is the one place that decides whether the other end of a connection is
// a node of this cluster that may speak here.
func (i *Identity) verify(cs tls.ConnectionState, usage x509.ExtKeyUsage, accept Accept) error {
	id, err := verifyChain(cs.PeerCertificates, i.pool, usage)
	if err != nil {
		return err
	}
	if id.Cluster != i.id.Cluster {
		return fmt.Errorf("%s is of another cluster than %s", id, i.id.Cluster)
	}
	if i.denied(id, cs.PeerCertificates[0]) {
		return fmt.Errorf("%s is revoked", id)
	}
	return accept(id)
}

// verifyChain checks the peer's chain against the authorities in pool, now.
func verifyChain(chain []*x509.Certificate, pool *x509.CertPool, usage x509.ExtKeyUsage) (ID, error) {
	if len(chain) == 0 {
		return ID{}, ErrNoCertificate
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
		return ID{}, err
	}
	return OfCertificate(chain[0])
}

// Admitted is Peer for a connection that may be older than what was decided about
// its other end: a node that has been revoked since is refused.
func (i *Identity) Admitted(cs *tls.ConnectionState) (ID, error) {
	id, err := Peer(cs)
	if err != nil {
		return ID{}, err
	}
	if i.denied(id, cs.PeerCertificates[0]) {
		return ID{}, fmt.Errorf("%s is revoked", id)
	}
	return id, nil
}

func (i *Identity) denied(id ID, cert *x509.Certificate) bool {
	deny := i.deny.Load()
	return deny != nil && (*deny)(id, KeyHash(cert))
}

// Peer tells who is at the other end of a connection that was made with the
// settings above, or ErrNoCertificate. The zero ID goes with every error.
func Peer(cs *tls.ConnectionState) (ID, error) {
	if cs == nil || len(cs.PeerCertificates) == 0 {
		return ID{}, ErrNoCertificate
	}
	return OfCertificate(cs.PeerCertificates[0])
}
