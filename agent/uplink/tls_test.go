package uplink_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"primespark/agent/record"
	"primespark/agent/uplink"
	"primespark/coordinator/broker"
	"primespark/shared/fleet"
	"primespark/shared/identity/identitytest"
	"primespark/shared/logs"
	"primespark/shared/pipenet"
	"primespark/shared/telemetry"
)

func TestTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pipe pipenet.Net
		home, away := identitytest.New(t, "home"), identitytest.New(t, "home")
		listener, err := pipe.Host("c1").Listen(t.Context(), "tcp", ":7883")
		if err != nil {
			t.Fatal(err)
		}
		b, err := broker.New(listener, broker.Config{
			Prefix: "primespark", Cluster: "home",
			TLS: home.Node(fleet.Coordinator, "c1").ServerTLS(tls.RequireAnyClientCert),
		}, slog.New(slog.DiscardHandler), nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 3)
		go func() { done <- b.Run(ctx) }()

		rec := record.New(time.Now(), nil)
		if err := rec.Record(telemetry.CPU, telemetry.Number(1, "")); err != nil {
			t.Fatal(err)
		}
		var member, stranger strings.Builder
		for log, cluster := range map[*strings.Builder]*identitytest.Cluster{&member: home, &stranger: away} {
			up, err := uplink.New(uplink.Config{
				Broker: "ssl://c1:7883", Topics: topics, Dial: pipe.Host("pi-1").Dial,
				TLS: cluster.Node(fleet.Agent, "pi-1").ClientTLS(fleet.Coordinator),
			}, rec, logs.New(log, logs.Options{}), nil)
			if err != nil {
				t.Fatal(err)
			}
			go func() { done <- up.Run(ctx) }()
		}
		pass(10 * time.Second)
		cancel()
		for range 3 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if got := member.String(); !strings.Contains(got, "connected to broker") || strings.Contains(got, "WARN") {
			t.Errorf("a member's log:\n%s", got)
		}
		if got := stranger.String(); strings.Contains(got, "connected to broker") || !strings.Contains(got, "no broker") {
			t.Errorf("a stranger's log:\n%s", got)
		}
		pass(time.Minute)
	})
}
