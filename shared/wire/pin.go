package wire

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/identity"
)

// Pinned returns a client of those servers. With ca, in PEM, a server must have a
// certificate of that authority; a coordinator's own will do at whatever address:
// nodes move. Without ca, the usual rules of the web hold.
func Pinned(servers []string, token string, ca []byte) *Client {
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		IdleConnTimeout:     30 * time.Second,
		ForceAttemptHTTP2:   true,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS13},
	}
	if len(ca) > 0 {
		pin(t.TLSClientConfig, ca)
	}
	return &Client{BaseURLs: servers, Token: token, HTTP: &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// pin makes c trust that authority alone. A server with a node's certificate must
// be a coordinator; another one, a proxy in front of them, must have a
// certificate for its address.
func pin(c *tls.Config, ca []byte) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	c.InsecureSkipVerify = true // nodes are known by a URI, not by an address; VerifyConnection checks
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		leaf := cs.PeerCertificates[0] // a TLS server always shows one
		options := x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		if len(leaf.URIs) == 0 {
			options.DNSName = cs.ServerName
		}
		_, err := leaf.Verify(options)
		if err == nil && len(leaf.URIs) > 0 {
			err = coordinator(leaf)
		}
		if err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: cs.PeerCertificates, Err: err}
		}
		return nil
	}
}

func coordinator(leaf *x509.Certificate) error {
	id, err := identity.OfCertificate(leaf)
	if err == nil && id.Role != fleet.Coordinator {
		err = fmt.Errorf("%s %s is no coordinator", id.Role, id.Name)
	}
	return err
}
