// Package identity is who a node is: its name and role in its cluster, the
// files that prove it, the TLS settings made of them, and how a new node comes
// by them with a join code.
//
// A node is known by the URI in its certificate and by nothing else: not by its
// host name, not by its address. Every connection that these settings open or
// accept has a certificate of this cluster's authority on the other end, or
// none where the listener allows that; a certificate of another cluster never
// gets through a handshake.
package identity

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"primespark/shared/fleet"
)

// An ID names one node of one cluster.
type ID struct {
	Cluster string     // a valid name in the sense of fleet.ValidName
	Role    fleet.Role // what its certificate allows it to be
	Name    string     // unique within the cluster, whatever the role
}

// maxURI is more than the longest URI of two 32-byte names.
const maxURI = 128

// Valid reports whether every part of id has the form it must have.
func (id ID) Valid() bool {
	return fleet.ValidName(id.Cluster) && fleet.ValidName(id.Name) && id.Role.Valid()
}

// String is the URI of id: spiffe://<cluster>/<role>/<name>.
func (id ID) String() string {
	return "spiffe://" + id.Cluster + "/" + string(id.Role) + "/" + id.Name
}

// URI is String as a certificate wants it.
func (id ID) URI() *url.URL {
	return &url.URL{Scheme: "spiffe", Host: id.Cluster, Path: "/" + string(id.Role) + "/" + id.Name}
}

// ParseID reads what String wrote, and accepts no other spelling of it.
func ParseID(uri string) (ID, error) {
	rest, ok := strings.CutPrefix(uri, "spiffe://")
	if !ok || len(uri) > maxURI {
		return ID{}, fmt.Errorf("node URI %.40q: not of the form spiffe://CLUSTER/ROLE/NAME", uri)
	}
	parts := strings.Split(rest, "/")
	if len(parts) != 3 {
		return ID{}, fmt.Errorf("node URI %.128q: not of the form spiffe://CLUSTER/ROLE/NAME", uri)
	}
	id := ID{Cluster: parts[0], Role: fleet.Role(parts[1]), Name: parts[2]}
	if !id.Valid() {
		return ID{}, fmt.Errorf("node URI %.128q: a part of it is no valid cluster, role or name", uri)
	}
	return id, nil
}

// OfCertificate returns the ID in the URI of a certificate, which has exactly
// one. It says nothing about who signed it.
func OfCertificate(c *x509.Certificate) (ID, error) {
	if len(c.URIs) != 1 {
		return ID{}, fmt.Errorf("certificate %.64q: has %d URIs, a node's has one", c.Subject.CommonName, len(c.URIs))
	}
	return ParseID(c.URIs[0].String())
}

// KeyHash is the SHA-256 of a certificate's public key in hexadecimal. It
// outlives renewals that keep the key, and is what a deny list holds.
func KeyHash(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// ErrNoCertificate is what Peer returns for a connection whose other end showed
// no certificate: a browser, or an operator with a token.
var ErrNoCertificate = errors.New("the other end showed no certificate")
