package identity_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/identity"
	"primespark/shared/identity/identitytest"
)

const day = 24 * time.Hour

// A renewing is an agent whose certificate is renewed, and what it asks.
type renewing struct {
	t          *testing.T
	cluster    *identitytest.Cluster
	dir        string
	id         *identity.Identity
	conditions *health.Registry
	mu         sync.Mutex
	requests   []identity.RenewRequest
	failure    error // what asking gives
	stop       func()
}

// renew runs the renewal of an agent that has just joined, in a bubble.
func renew(t *testing.T, story func(*renewing)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := &renewing{t: t, cluster: identitytest.New(t, "home"), dir: dir, conditions: health.New(nil)}
		if err := r.cluster.Credentials(fleet.Agent, "pi-1", time.Now()).Save(dir); err != nil {
			t.Fatal(err)
		}
		r.start()
		story(r)
		r.stop()
	})
}

// start runs the renewal as a process that has just begun.
func (r *renewing) start() {
	r.t.Helper()
	id, err := identity.Load(r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	r.id = id
	part := &identity.Renewal{
		Identity: id, Dir: r.dir, Conditions: r.conditions, Log: slog.New(slog.DiscardHandler),
		Ask: func(_ context.Context, q identity.RenewRequest) (identity.RenewResponse, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.requests = append(r.requests, q)
			if r.failure != nil {
				return identity.RenewResponse{}, r.failure
			}
			return identity.RenewResponse{Certificate: string(r.cluster.Sign([]byte(q.CSR), fleet.Agent, "pi-1", time.Now()))}, nil
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- part.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("Run: %v", err)
		}
	}
}

func (r *renewing) asked() []identity.RenewRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

// fail has asking fail from now on; nil: work.
func (r *renewing) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failure = err
}

func (r *renewing) condition() string {
	for _, c := range r.conditions.All() {
		if c.Code == identity.Expiring {
			if c.Severity == health.Unready || c.Remedy == "" {
				r.t.Errorf("condition %+v, want a warning with a remedy", c)
			}
			return c.Detail
		}
	}
	return ""
}

func TestRenewalAtTwoThirds(t *testing.T) {
	renew(t, func(r *renewing) {
		first := r.id.KeyHash()
		time.Sleep(19*day + 12*time.Hour)
		if len(r.asked()) != 0 {
			t.Errorf("asked before two thirds of the life")
		}
		time.Sleep(2*day + 6*time.Hour)
		if len(r.asked()) != 1 || r.id.KeyHash() == first || time.Until(r.id.Expires()) < 28*day {
			t.Errorf("after 21.75 days: asked %d times, the same key: %t, expires in %v", len(r.asked()), r.id.KeyHash() == first, time.Until(r.id.Expires()))
		}
		time.Sleep(365 * day)
		if n := len(r.asked()); n < 17 || n > 20 {
			t.Errorf("renewed %d times in a year", n)
		}
		again, err := identity.Load(r.dir)
		if err != nil || again.KeyHash() != r.id.KeyHash() || !again.Expires().Equal(r.id.Expires()) {
			t.Errorf("on the disk is another certificate, %v", err)
		}
		if _, err := os.Stat(filepath.Join(r.dir, "next.key")); err == nil {
			t.Error("the next key is left over")
		}
	})
}

// TestRenewalFails: it is tried again with the same key, also by the next
// process, the condition shows in the last sixth, and it all ends well.
func TestRenewalFails(t *testing.T) {
	renew(t, func(r *renewing) {
		r.fail(errors.New("nobody there"))
		time.Sleep(24 * day)
		tries := len(r.asked())
		if tries < 24 || tries > 24*7 {
			t.Errorf("%d tries in about 3 days", tries)
		}
		if c := r.condition(); c != "" {
			t.Errorf("a condition with 6 days left: %s", c)
		}
		r.stop()
		r.start()
		time.Sleep(day + 12*time.Hour)
		if c := r.condition(); !strings.Contains(c, "could not be renewed: nobody there") {
			t.Errorf("with 4.5 days left: %q", c)
		}
		if publicKey(t, r.asked()[0].CSR) != publicKey(t, r.asked()[len(r.asked())-1].CSR) {
			t.Error("another try, another key")
		}
		time.Sleep(10 * day)
		if c := r.condition(); !strings.Contains(c, "ended at") {
			t.Errorf("after the end: %q", c)
		}
		r.fail(nil)
		time.Sleep(2 * time.Hour)
		if c := r.condition(); c != "" || time.Until(r.id.Expires()) < 29*day {
			t.Errorf("renewed after all: %q, expires in %v", c, time.Until(r.id.Expires()))
		}
	})
}

func publicKey(t *testing.T, csr string) string {
	t.Helper()
	block, _ := pem.Decode([]byte(csr))
	if block == nil {
		t.Fatalf("no PEM in %q", csr)
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return string(request.RawSubjectPublicKeyInfo)
}

// TestRenewalWithoutADisk: a certificate that cannot be kept is not used, and
// nothing is asked for that could not be kept.
func TestRenewalWithoutADisk(t *testing.T) {
	renew(t, func(r *renewing) {
		first := r.id.KeyHash()
		if err := os.Mkdir(filepath.Join(r.dir, "next.key"), 0o700); err != nil { // cannot be read or replaced
			t.Fatal(err)
		}
		time.Sleep(26 * day)
		if len(r.asked()) != 0 || r.id.KeyHash() != first || r.condition() == "" {
			t.Errorf("asked %d times, condition %q", len(r.asked()), r.condition())
		}
	})
}

// TestRenewalRefuses a certificate that is not this node's, or of another cluster.
func TestRenewalRefuses(t *testing.T) {
	cluster, other := identitytest.New(t, "home"), identitytest.New(t, "home")
	id := cluster.Node(fleet.Agent, "pi-1")
	before := id.KeyHash()
	key, csr, err := identity.NewKey("pi-1")
	if err != nil {
		t.Fatal(err)
	}
	for name, cert := range map[string][]byte{
		"of another node":      cluster.Sign(csr, fleet.Agent, "pi-2", time.Now()),
		"of another role":      cluster.Sign(csr, fleet.Coordinator, "pi-1", time.Now()),
		"of another authority": other.Sign(csr, fleet.Agent, "pi-1", time.Now()),
		"nothing":              nil,
	} {
		if err := id.Renew(cert, key); err == nil || id.KeyHash() != before {
			t.Errorf("a certificate %s is taken", name)
		}
	}
}

func TestLoadAfterRenewal(t *testing.T) {
	renew(t, func(r *renewing) {
		time.Sleep(22 * day)
		for name, test := range map[string]struct {
			content string
			want    string
		}{
			"empty":      {"", "does not begin with a key"},
			"cut off":    {"-----BEGIN PRIVATE KEY-----\n", "does not begin with a key"},
			"not a pair": {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "join again"},
		} {
			if err := os.WriteFile(filepath.Join(r.dir, "renewed.pem"), []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := identity.Load(r.dir); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %v, want %q", name, err, test.want)
			}
		}
		// Joining anew puts it away.
		if err := r.cluster.Credentials(fleet.Agent, "pi-1", time.Now()).Save(r.dir); err != nil {
			t.Fatal(err)
		}
		if _, err := identity.Load(r.dir); err != nil {
			t.Error(err)
		}
	})
}

func TestDeny(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	d := identity.Deny{"a": now.Add(time.Hour), "b": now}.With(identity.Deny{"c": now.Add(time.Minute), "d": now.Add(-time.Minute)}, now)
	for key, want := range map[string]bool{"a": true, "b": false, "c": true, "d": false, "e": false} {
		if d.Denies(identity.ID{}, key) != want {
			t.Errorf("%s: denied %t", key, !want)
		}
	}
}

// TestAdmitted: a connection outlives the handshake, not a revocation.
func TestAdmitted(t *testing.T) {
	cluster := identitytest.New(t, "home")
	server := cluster.Node(fleet.Agent, "pi-1")
	leaf, err := identity.ParseCertificate(cluster.Credentials(fleet.Agent, "pi-2", time.Now()).Cert)
	if err != nil {
		t.Fatal(err)
	}
	state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
	if id, err := server.Admitted(&state); err != nil || id.Name != "pi-2" {
		t.Errorf("Admitted = %v, %v", id, err)
	}
	server.SetDeny(identity.Deny{identity.KeyHash(leaf): time.Now()}.Denies)
	if _, err := server.Admitted(&state); err == nil {
		t.Error("admitted although revoked")
	}
	if _, err := server.Admitted(nil); err == nil {
		t.Error("nobody is admitted")
	}
}
