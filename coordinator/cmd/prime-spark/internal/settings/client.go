package settings

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

// CheckServer tells what is wrong with the address of a server. Plain HTTP is
// for loopback only: a token would travel in the clear.
func CheckServer(server string) error {
	u, err := url.Parse(server)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("%q is no address of a server; write it like https://10.0.0.1:7480", server)
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil:
		return fmt.Errorf("%q has more in it than a host and a port; write it like https://10.0.0.1:7480", server)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return fmt.Errorf("%q would send the token in the clear; plain http is for loopback addresses, write https", server)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// ReadCA reads a file of certificates, and checks that it is one.
func ReadCA(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &problem.Error{
			Code: problem.Invalid, Err: err,
			Detail: fmt.Sprintf("The cluster's certificate authority at %s cannot be read.", path),
			Remedy: "Copy ca.crt from a coordinator and name it with --ca-file.",
		}
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxCA))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(raw) {
		return nil, problem.New(problem.Invalid, "Copy ca.crt from a coordinator; it begins with -----BEGIN CERTIFICATE-----.",
			"%s holds no certificate.", path)
	}
	return raw, nil
}

// Client returns a client of those servers. With ca, in PEM, a server must have a
// certificate of that authority; a coordinator's own will do at whatever address:
// nodes move. Without ca, the usual rules of the web hold.
func Client(servers []string, token string, ca []byte) *wire.Client {
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
	return &wire.Client{BaseURLs: servers, Token: token, HTTP: &http.Client{
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
