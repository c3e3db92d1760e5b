package pipenet_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"primespark/shared/pipenet"
)

// serve answers "hello" on h until the test ends.
func serve(t *testing.T, l net.Listener) {
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "hello ", r.TLS != nil)
	})}
	go s.Serve(l) // Close ends it
	t.Cleanup(func() { s.Close() })
}

func get(t *testing.T, client *http.Client, url string) (string, error) {
	t.Helper()
	answer, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}

func Example() {
	var n pipenet.Net
	l, err := n.Host("c1").Listen(context.Background(), "tcp", ":7480")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	go http.Serve(l, http.NotFoundHandler())

	client := &http.Client{Transport: &http.Transport{DialContext: n.Host("pi-1").Dial}, Timeout: time.Second}
	answer, err := client.Get("http://c1:7480/")
	if err != nil {
		panic(err)
	}
	fmt.Println(answer.Status)
	// Output: 404 Not Found
}

func ExampleNet_Cut() {
	var n pipenet.Net
	n.Cut("pi-1", "c1")
	fmt.Println(n.Reachable("pi-1", "c1"), n.Reachable("pi-1", "c2"))
	n.Heal("pi-1")
	fmt.Println(n.Reachable("pi-1", "c1"))
	// Output:
	// false true
	// true
}

func TestHTTPThroughACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n pipenet.Net
		serve(t, listen(t, n.Host("c1"), ":7480"))
		transport := &http.Transport{DialContext: n.Host("pi-1").Dial}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
		if got, err := get(t, client, "http://c1:7480/"); got != "hello false" || err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
		n.Cut("pi-1", "c1")
		start := time.Now()
		if _, err := get(t, client, "http://c1:7480/"); err == nil || time.Since(start) != 10*time.Second {
			t.Errorf("through the cut: %v after %v, want the client's timeout", err, time.Since(start))
		}
		n.Heal()
		if got, err := get(t, client, "http://c1:7480/"); got != "hello false" || err != nil {
			t.Errorf("healed: got %q, %v", got, err)
		}
	})
}

func TestTLS(t *testing.T) {
	cert, pool := selfSigned(t, "c1")
	synctest.Test(t, func(t *testing.T) {
		var n pipenet.Net
		serve(t, tls.NewListener(listen(t, n.Host("c1"), ":7480"), &tls.Config{Certificates: []tls.Certificate{cert}}))
		transport := &http.Transport{
			DialContext:     n.Host("pi-1").Dial,
			TLSClientConfig: &tls.Config{RootCAs: pool, Time: func() time.Time { return cert.Leaf.NotBefore }},
		}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
		if got, err := get(t, client, "https://c1:7480/"); got != "hello true" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func selfSigned(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name},
		NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// layer lets raft's own transport speak over the network.
type layer struct {
	net.Listener
	host *pipenet.Host
}

func (l layer) Dial(to raft.ServerAddress, d time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return l.host.Dial(ctx, "tcp", string(to))
}

func TestRaftElectsAnotherLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n pipenet.Net
		nodes := map[string]*raft.Raft{}
		var servers []raft.Server
		for i := range 3 {
			name := fmt.Sprintf("c%d", i+1)
			servers = append(servers, raft.Server{ID: raft.ServerID(name), Address: raft.ServerAddress(name + ":7481")})
		}
		for _, s := range servers {
			h := n.Host(string(s.ID))
			trans := raft.NewNetworkTransport(layer{listen(t, h, ":7481"), h}, 2, time.Second, io.Discard)
			c := raft.DefaultConfig()
			c.LocalID, c.LogOutput = s.ID, io.Discard
			store := raft.NewInmemStore()
			node, err := raft.NewRaft(c, &raft.MockFSM{}, store, store, raft.NewInmemSnapshotStore(), trans)
			if err != nil {
				t.Fatal(err)
			}
			if err := node.BootstrapCluster(raft.Configuration{Servers: servers}).Error(); err != nil {
				t.Fatal(err)
			}
			nodes[h.Name()] = node
			defer func() {
				if err := node.Shutdown().Error(); err != nil {
					t.Error(err)
				}
				trans.Close()
				n.Kill(h.Name()) // the transport leaves the connections it answers open
			}()
		}
		first := leader(t, nodes)
		if err := nodes[first].Apply([]byte("x"), time.Second).Error(); err != nil {
			t.Fatal(err)
		}
		n.Isolate(first)
		old := nodes[first]
		delete(nodes, first)
		second := leader(t, nodes)
		if err := nodes[second].Apply([]byte("y"), time.Second).Error(); err != nil {
			t.Fatal(err)
		}
		n.Heal()
		time.Sleep(time.Minute)
		if got := old.AppliedIndex(); got != nodes[second].AppliedIndex() {
			t.Errorf("the old leader is at %d after a minute, the new one at %d", got, nodes[second].AppliedIndex())
		}
	})
}

// leader waits for one of the nodes to lead.
func leader(t *testing.T, nodes map[string]*raft.Raft) string {
	t.Helper()
	for range 600 {
		time.Sleep(100 * time.Millisecond)
		for name, node := range nodes {
			if node.State() == raft.Leader {
				return name
			}
		}
	}
	t.Fatal("no leader in a minute")
	return ""
}
