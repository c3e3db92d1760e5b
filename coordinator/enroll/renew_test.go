package enroll

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/identity"
	"primespark/shared/pipenet"
	"primespark/shared/problem"
)

// member joins a node and returns its identity, as it is on its disk.
func member(t *testing.T, e *Enroller, role fleet.Role, name string) (*identity.Identity, string) {
	t.Helper()
	text, _, err := e.NewCode(t.Context(), "token:ada", CodeSpec{Role: role})
	if err != nil {
		t.Fatal(err)
	}
	key, csr, err := identity.NewKey(name)
	if err != nil {
		t.Fatal(err)
	}
	req := join(t, text, name)
	req.CSR = string(csr)
	got, err := e.Join(t.Context(), "192.0.2.50", req)
	if err != nil {
		t.Fatal(err)
	}
	c := identity.Credentials{CA: []byte(got.CA), Cert: []byte(got.Certificate), Key: key, Gossip: got.GossipKey, Peers: got.Peers, Session: got.SessionKey}
	if role == fleet.Coordinator {
		c.CAKey = []byte(got.CAKey)
	}
	dir := filepath.Join(t.TempDir(), "identity")
	if err := c.Save(dir); err != nil {
		t.Fatal(err)
	}
	return load(t, dir), dir
}

func TestRenewRefuses(t *testing.T) {
	e, _, _, _ := founded(t)
	pi, _ := member(t, e, fleet.Agent, "pi-1")
	_, csr, err := identity.NewKey("pi-1")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		id   identity.ID
		from string
		csr  string
		want problem.Code
	}{
		"another role":    {identity.ID{Cluster: "home", Role: fleet.Coordinator, Name: "pi-1"}, pi.KeyHash(), string(csr), problem.Forbidden},
		"another cluster": {identity.ID{Cluster: "away", Role: fleet.Agent, Name: "pi-1"}, pi.KeyHash(), string(csr), problem.Forbidden},
		"nobody":          {identity.ID{Cluster: "home", Role: fleet.Agent, Name: "pi-7"}, pi.KeyHash(), string(csr), problem.Forbidden},
		"no key":          {pi.ID(), "", string(csr), problem.Forbidden},
		"garbage":         {pi.ID(), pi.KeyHash(), "x", problem.Invalid},
	} {
		if _, err := e.Renew(t.Context(), test.id, test.from, identity.RenewRequest{CSR: test.csr}); !problem.Is(err, test.want) {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
	for range 2 { // the second as if the answer to the first had been lost
		got, err := e.Renew(t.Context(), pi.ID(), pi.KeyHash(), identity.RenewRequest{CSR: string(csr)})
		if err != nil || got.Certificate == "" {
			t.Fatal(err)
		}
	}
}

// TestFortyFiveDays: a coordinator and two agents look at a photo each hour, on new
// connections and on kept ones, for 45 days: everybody renews twice,
// and no request fails.
func TestFortyFiveDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _, _, dir := founded(t)
		ids := map[string]*identity.Identity{"c1": load(t, dir)}
		dirs := map[string]string{"c1": dir}
		for _, name := range []string{"pi-1", "pi-2"} {
			ids[name], dirs[name] = member(t, e, fleet.Agent, name)
		}
		var network pipenet.Net
		first, ends := map[string]string{}, []func(){}
		for name, id := range ids {
			first[name] = id.KeyHash()
			ends = append(ends, renewing(t, e, id, dirs[name]), serving(t, network.Host(name), id))
		}
		var kept, fresh []*http.Client
		for _, name := range []string{"c1", "pi-1"} {
			host := network.Host(name)
			dial := func(ctx context.Context, network, address string) (net.Conn, error) {
				return host.Dial(ctx, network, address)
			}
			keeper := &http.Transport{DialContext: dial, TLSClientConfig: ids[name].ClientTLS()}
			ends = append(ends, keeper.CloseIdleConnections)
			kept = append(kept, &http.Client{Transport: keeper})
			fresh = append(fresh, &http.Client{Transport: &http.Transport{DialContext: dial, TLSClientConfig: ids[name].ClientTLS(), DisableKeepAlives: true}})
		}
		requests := 0
		for hour := range 45 * 24 {
			clients := kept
			if hour%12 == 0 { // a handshake costs more than all the rest
				clients = append(fresh, kept...)
			}
			for _, c := range clients {
				requests++
				res, err := c.Get("https://pi-2/photo")
				if err != nil {
					t.Fatalf("hour %d: %v", hour, err)
				}
				if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
					t.Fatalf("hour %d: %s, %v", hour, res.Status, err)
				}
				res.Body.Close()
			}
			time.Sleep(time.Hour)
		}
		for name, id := range ids {
			if left := time.Until(id.Expires()); id.KeyHash() == first[name] || left < 20*24*time.Hour {
				t.Errorf("%s: its certificate ends in %v", name, left)
			}
		}
		t.Logf("%d requests, 0 failed", requests)
		for _, end := range ends {
			end()
		}
	})
}

// renewing runs a node's renewal until the returned function is called.
func renewing(t *testing.T, e *Enroller, id *identity.Identity, dir string) (stop func()) {
	t.Helper()
	part := &identity.Renewal{
		Identity: id, Dir: dir, Ask: e.RenewOwn(id), Conditions: health.New(nil), Log: slog.New(slog.DiscardHandler),
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- part.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("renewal of %s: %v", id.ID().Name, err)
		}
	}
}

// serving answers the nodes of the cluster, and nobody else.
func serving(t *testing.T, host *pipenet.Host, id *identity.Identity) (stop func()) {
	t.Helper()
	l, err := host.Listen(t.Context(), "tcp", ":443")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{
		TLSConfig: id.ServerTLS(tls.RequireAndVerifyClientCert),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := id.Admitted(r.TLS); err != nil {
				w.WriteHeader(http.StatusForbidden)
			}
		}),
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() { done <- s.ServeTLS(l, "", "") }()
	return func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		<-done
	}
}
