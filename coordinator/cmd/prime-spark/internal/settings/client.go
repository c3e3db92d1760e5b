package settings

import (
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"

	"primespark/shared/problem"
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
