package identity_test

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/identity/identitytest"
	"primespark/shared/problem"
)

// A recorder is a server that takes down every byte that a joiner sends it, in
// the clear, after whatever handshake it manages.
type recorder struct {
	net.Listener
	mu   sync.Mutex
	got  bytes.Buffer
	done sync.WaitGroup
}

func record(t *testing.T, cfg *tls.Config) *recorder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{Listener: l}
	r.done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s := tls.Server(c, cfg)
			_ = c.SetDeadline(time.Now().Add(2 * time.Second)) // a conn that is dead already reads nothing
			b, _ := io.ReadAll(s)                              // the joiner hangs up on us: that is the point
			r.mu.Lock()
			r.got.Write(b)
			r.mu.Unlock()
			c.Close()
		}
	})
	t.Cleanup(func() { l.Close(); r.done.Wait() })
	return r
}

// bytes waits until the listener has seen all there is.
func (r *recorder) bytes() []byte {
	r.Close()
	r.done.Wait()
	return r.got.Bytes()
}

// A cluster can be joined.
type cluster struct {
	*identitytest.Cluster
	t *testing.T
}

func newCluster(t *testing.T, name string) cluster { return cluster{identitytest.New(t, name), t} }

// serve is a coordinator's API that answers joins by hand.
func (c cluster) serve(answer http.HandlerFunc) string {
	c.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	srv := &http.Server{Handler: answer}
	go srv.Serve(tls.NewListener(l, c.Node(fleet.Coordinator, "c1").ServerTLS(tls.VerifyClientCertIfGiven))) // ends with the test
	c.t.Cleanup(func() { srv.Close() })
	return l.Addr().String()
}

// code is a join code of the cluster.
func (c cluster) code(role fleet.Role, addresses ...string) identity.JoinCode {
	code := sample()
	code.Cluster, code.Role, code.CA, code.Addresses = c.Name, role, identity.CAHash(c.CA), addresses
	return code
}

// admit answers as a coordinator that admits everybody.
func (c cluster) admit(w http.ResponseWriter, r *http.Request) {
	var req identity.JoinRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		c.t.Error(err)
	}
	cert := c.Sign([]byte(req.CSR), req.Role, req.Name, time.Now())
	if want := sample(); req.Secret != hex.EncodeToString(want.Secret[:]) || req.Code != want.ID || r.URL.Path != identity.JoinPath {
		c.t.Errorf("the request is %+v to %s", req, r.URL.Path)
	}
	if err := json.NewEncoder(w).Encode(identity.JoinResponse{
		Certificate: string(cert), CA: string(c.PEM()), GossipKey: make([]byte, identity.KeySize),
	}); err != nil {
		c.t.Error(err)
	}
}

func TestJoin(t *testing.T) {
	home := newCluster(t, "home")
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	code := home.code(fleet.Agent, dead.Addr().String(), home.serve(home.admit))
	c, err := identity.Join(t.Context(), &net.Dialer{}, code, identity.JoinRequest{Name: "pi-1", Version: "1.0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Save(t.TempDir()); err != nil {
		t.Errorf("the credentials cannot be saved: %v", err)
	}
	id, err := identity.New(c)
	if err != nil || id.ID() != (identity.ID{Cluster: "home", Role: fleet.Agent, Name: "pi-1"}) {
		t.Errorf("joined as %v, %v", id.ID(), err)
	}
}

// TestSecretStaysHome puts everyone but a coordinator of the cluster at the
// code's address: not one byte is sent to them, let alone the secret.
func TestSecretStaysHome(t *testing.T) {
	home := newCluster(t, "home")
	now := time.Now()
	server := func(c cluster, role fleet.Role, issued time.Time) *tls.Config {
		return c.NodeAt(role, "c1", issued).ServerTLS(tls.NoClientCert)
	}
	// A thief shows the true authority's certificate behind one of his own.
	thief := newCluster(t, "home")
	stolen := thief.Credentials(fleet.Coordinator, "c1", now)
	pair, err := tls.X509KeyPair(append(bytes.Clone(stolen.Cert), home.PEM()...), stolen.Key)
	if err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]*tls.Config{
		"another authority":         server(thief, fleet.Coordinator, now),
		"another cluster":           server(newCluster(t, "other"), fleet.Coordinator, now),
		"an agent of the cluster":   server(home, fleet.Agent, now),
		"an expired coordinator":    server(home, fleet.Coordinator, now.Add(-40*24*time.Hour)),
		"the true authority quoted": {Certificates: []tls.Certificate{pair}},
	} {
		t.Run(name, func(t *testing.T) {
			r := record(t, cfg)
			_, err := identity.Join(t.Context(), &net.Dialer{}, home.code(fleet.Agent, r.Addr().String()), identity.JoinRequest{Name: "pi-1"})
			if p := problem.Of(err); p.Code != problem.Unauthorized || p.Remedy == "" || !strings.Contains(p.Detail, "told nothing") {
				t.Errorf("Join = %+v, want unauthorized with a remedy", p)
			}
			if got := r.bytes(); len(got) != 0 {
				t.Errorf("%d bytes were sent: %q", len(got), got)
			}
		})
	}
	// The recorder does record: to the right one, the request goes.
	r := record(t, server(home, fleet.Coordinator, now))
	if _, err := identity.Join(t.Context(), &net.Dialer{}, home.code(fleet.Agent, r.Addr().String()), identity.JoinRequest{Name: "pi-1"}); err == nil {
		t.Error("a server that says nothing admitted the node")
	}
	if !bytes.Contains(r.bytes(), []byte(`"secret"`)) {
		t.Error("the recorder is deaf")
	}
}

func TestJoinErrors(t *testing.T) {
	home := newCluster(t, "home")
	refuse := func(e *problem.Error) string {
		return home.serve(func(w http.ResponseWriter, _ *http.Request) { problem.Write(w, e) })
	}
	used := problem.New(problem.Forbidden, "Have a new one made.", "The join code has been used already.")
	taken := problem.New(problem.Conflict, "Choose another with --name.", "There is a node pi-1 already.")
	leaderless := problem.New(problem.NoLeader, "Try again.", "No leader.")
	odd := newCluster(t, "home")
	for name, test := range map[string]struct {
		code identity.JoinCode
		req  identity.JoinRequest
		want problem.Code
		text string
	}{
		"used":         {home.code(fleet.Agent, refuse(used)), identity.JoinRequest{Name: "pi-1"}, problem.Forbidden, "used already"},
		"name taken":   {home.code(fleet.Agent, refuse(taken), home.serve(home.admit)), identity.JoinRequest{Name: "pi-1"}, problem.Conflict, "pi-1"},
		"nobody there": {home.code(fleet.Agent, "127.0.0.1:1"), identity.JoinRequest{Name: "pi-1"}, problem.Unreachable, "No coordinator answers"},
		"no leader":    {home.code(fleet.Agent, refuse(leaderless), "127.0.0.1:1"), identity.JoinRequest{Name: "pi-1"}, problem.NoLeader, "No leader"},
		"wrong role":   {home.code(fleet.Agent, "127.0.0.1:1"), identity.JoinRequest{Name: "c2", Role: fleet.Coordinator}, problem.Invalid, "role agent"},
		"bad name":     {home.code(fleet.Agent, "127.0.0.1:1"), identity.JoinRequest{Name: "Pi 1"}, problem.Invalid, "not valid"},
		"nonsense":     {home.code(fleet.Agent, home.serve(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") })), identity.JoinRequest{Name: "pi-1"}, problem.Unexpected, "fit together"},
		"redirect": {home.code(fleet.Agent, home.serve(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://x/", http.StatusTemporaryRedirect)
		})), identity.JoinRequest{Name: "pi-1"}, problem.Unexpected, "307"},
		"other authority": {home.code(fleet.Agent, home.serve(odd.admit)), identity.JoinRequest{Name: "pi-1"}, problem.Unexpected, "fit together"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := identity.Join(t.Context(), &net.Dialer{}, test.code, test.req)
			if p := problem.Of(err); p.Code != test.want || !strings.Contains(p.Detail, test.text) {
				t.Errorf("Join = %+v, want %s with %q", p, test.want, test.text)
			}
		})
	}
	code := home.code(fleet.Agent, refuse(leaderless), home.serve(home.admit))
	if _, err := identity.Join(t.Context(), &net.Dialer{}, code, identity.JoinRequest{Name: "pi-1"}); err != nil {
		t.Errorf("the second address was not tried: %v", err)
	}
}
