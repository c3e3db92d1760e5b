package dispatch

import (
	"crypto/tls"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/identity/identitytest"
	"primespark/shared/problem"
)

// TestAnotherAgentGetsNothing: pi-2 is a member too, and stands where gossip
// says that pi-1 is. It must not get the request, nor a kept connection of pi-1.
func TestAnotherAgentGetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := identitytest.New(t, "home")
		us := ca.Node(fleet.Coordinator, "c1")
		l := newLab(t, answers)
		var got atomic.Int32
		serve := func(name string) {
			listener, err := l.net.Host(name).Listen(t.Context(), "tcp", ":7443")
			if err != nil {
				t.Fatal(err)
			}
			s := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				got.Add(1)
			})}
			go s.Serve(tls.NewListener(listener, ca.Node(fleet.Agent, name).ServerTLS(tls.RequireAnyClientCert)))
			t.Cleanup(func() { s.Close() })
		}
		serve("pi-1")
		serve("pi-2")
		transport := NewTransport(l.net.Host("c1").Dial, func(agent string) *tls.Config {
			return us.ClientTLSFor(identity.Node(agent, fleet.Agent))
		})
		defer transport.CloseIdleConnections()
		l.d.cfg.Transport, l.d.cfg.Scheme = transport, "https"

		at := func(api string) { l.change("pi-1", func(n *fleet.Node) { n.API = api; n.Vital.Seq++ }) }
		at("pi-1:7443")
		if _, _, err := l.infer(nil); err != nil || got.Load() != 1 {
			t.Fatalf("the right agent: %v, %d requests", err, got.Load())
		}
		transport.CloseIdleConnections()
		at("pi-2:7443")
		if _, _, err := l.infer(nil); !problem.Is(err, problem.Unreachable) || got.Load() != 1 {
			t.Errorf("another agent: %v, and it got %d requests", err, got.Load()-1)
		}
	})
}
