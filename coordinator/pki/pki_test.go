package pki_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"primespark/coordinator/pki"
	"primespark/shared/fleet"
	"primespark/shared/identity"
)

func authority(t testing.TB) *pki.Authority {
	t.Helper()
	ca, err := pki.Create("home", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

var pi1 = identity.ID{Cluster: "home", Role: fleet.Agent, Name: "pi-1"}

// request makes a certificate request that asks for more than it gets.
func request(t testing.TB, key any) []byte {
	t.Helper()
	template := x509.CertificateRequest{DNSNames: []string{"bank.example"}, IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)}}
	template.URIs = append(template.URIs, identity.ID{Cluster: "home", Role: fleet.Coordinator, Name: "c1"}.URI())
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestIssue(t *testing.T) {
	ca := authority(t)
	now := time.Now()
	csr := request(t, ecKey(t, elliptic.P256()))
	chain, err := ca.Issue(csr, pi1, []string{"Pi-1.lan.", "192.0.2.9", "localhost", "0.0.0.0"}, now)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := identity.ParseCertificate(chain)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := identity.OfCertificate(leaf); err != nil || id != pi1 {
		t.Errorf("it names %v, %v", id, err)
	}
	if want := []string{"localhost", "pi-1.lan"}; !slices.Equal(leaf.DNSNames, want) {
		t.Errorf("names %v, want %v: nothing out of the request", leaf.DNSNames, want)
	}
	if got := len(leaf.IPAddresses); got != 3 || !leaf.IPAddresses[2].Equal(net.ParseIP("192.0.2.9")) {
		t.Errorf("addresses %v", leaf.IPAddresses)
	}
	if d := leaf.NotAfter.Sub(now); d > pki.LeafLife || d < pki.LeafLife-time.Minute || now.Sub(leaf.NotBefore) < 59*time.Minute || leaf.IsCA {
		t.Errorf("valid from %v to %v, an authority: %t", leaf.NotBefore, leaf.NotAfter, leaf.IsCA)
	}
	if hash, err := pki.KeyHash(csr); err != nil || hash != identity.KeyHash(leaf) {
		t.Errorf("KeyHash of the request %s, %v; of the certificate %s", hash, err, identity.KeyHash(leaf))
	}
	if !strings.HasSuffix(string(chain), string(ca.PEM())) {
		t.Error("the authority's certificate is not in the chain; a joiner could not check it")
	}
}

func TestIssueRefuses(t *testing.T) {
	ca := authority(t)
	good := request(t, ecKey(t, elliptic.P256()))
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	forged := slices.Clone(good)
	block, _ := pem.Decode(forged)
	block.Bytes[len(block.Bytes)-3] ^= 1
	for name, test := range map[string]struct {
		csr   []byte
		id    identity.ID
		hosts []string
	}{
		"empty":          {nil, pi1, nil},
		"garbage":        {[]byte("hello"), pi1, nil},
		"a certificate":  {ca.PEM(), pi1, nil},
		"two requests":   {append(slices.Clone(good), good...), pi1, nil},
		"huge":           {append(slices.Clone(good), make([]byte, 1<<20)...), pi1, nil},
		"not its key":    {pem.EncodeToMemory(block), pi1, nil},
		"P-384":          {request(t, ecKey(t, elliptic.P384())), pi1, nil},
		"Ed25519":        {request(t, ed), pi1, nil},
		"other cluster":  {good, identity.ID{Cluster: "other", Role: fleet.Agent, Name: "pi-1"}, nil},
		"bad name":       {good, identity.ID{Cluster: "home", Role: fleet.Agent, Name: "pi/1"}, nil},
		"wildcard":       {good, pi1, []string{"*.example"}},
		"host with path": {good, pi1, []string{"a/b"}},
		"many hosts":     {good, pi1, slices.Repeat([]string{"a"}, 17)},
	} {
		if _, err := ca.Issue(test.csr, test.id, test.hosts, time.Now()); !errors.Is(err, pki.ErrRequest) {
			t.Errorf("%s: %v, want ErrRequest", name, err)
		}
	}
}

func TestSaveAndLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "identity")
	ca := authority(t)
	if err := ca.Save(dir); err != nil {
		t.Fatal(err)
	}
	got, err := pki.Load(dir)
	if err != nil || !got.Certificate().Equal(ca.Certificate()) || got.Cluster() != "home" {
		t.Fatalf("Load = %v", err)
	}
	if _, err := got.Issue(request(t, ecKey(t, elliptic.P256())), pi1, nil, time.Now()); err != nil {
		t.Error(err)
	}
	key, err := authority(t).Key()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := pki.Load(dir); err == nil || !strings.Contains(err.Error(), "not the key of") {
		t.Errorf("the key of another authority: %v", err)
	}
	if _, err := pki.Create("Not A Name", time.Now()); err == nil {
		t.Error("a bad cluster name was taken")
	}
}

func FuzzIssue(f *testing.F) {
	ca := authority(f)
	f.Add(request(f, ecKey(f, elliptic.P256())), "pi-1", "pi-1.lan")
	f.Fuzz(func(t *testing.T, csr []byte, name, host string) {
		chain, err := ca.Issue(csr, identity.ID{Cluster: "home", Role: fleet.Agent, Name: name}, []string{host}, time.Now())
		if err != nil {
			return
		}
		leaf, err := identity.ParseCertificate(chain)
		if err != nil {
			t.Fatal(err)
		}
		if id, err := identity.OfCertificate(leaf); err != nil || id.Name != name {
			t.Errorf("issued for %q: %v, %v", name, id, err)
		}
	})
}
