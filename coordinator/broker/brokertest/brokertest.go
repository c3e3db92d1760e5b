// Package brokertest runs the embedded broker for tests.
package brokertest

import (
	"context"
	"log/slog"
	"net"
	"testing"

	"primespark/coordinator/broker"
)

// Loopback runs a broker of the cluster home, in the clear, until the test ends.
func Loopback(t *testing.T) *broker.Broker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(l, broker.Config{Prefix: "primespark", Cluster: "home"}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return b
}
