package meshnet_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/identity/identitytest"
	"primespark/shared/mesh"
	"primespark/shared/meshnet"
	"primespark/shared/overlay"
	"primespark/shared/wire"
)

// nobody is a source that has no map.
type nobody struct{}

func (nobody) Mesh(ctx context.Context, _ uint64, _ string, _ time.Duration) (wire.MeshBody, error) {
	<-ctx.Done()
	return wire.MeshBody{}, ctx.Err()
}

func (nobody) AnnounceMesh(context.Context, mesh.Announcement) error { return nil }

// A journal is a log that is read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// TestTunnels has a member talk to a helper that is there later, and then gone.
func TestTunnels(t *testing.T) {
	cluster := identitytest.New(t, "home")
	dir := t.TempDir()
	m, err := overlay.New(overlay.Config{
		Self: identity.ID{Cluster: "home", Role: fleet.Agent, Name: "pi-1"}, Authority: cluster.CA, Dir: dir, KeyDir: dir,
		Source: nobody{}, Endpoints: func() []mesh.Endpoint { return nil }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "sock")
	var log journal
	tunnels := meshnet.NewTunnels(m, "pi-1", overlay.Settings{Socket: path, Port: 51820}, meshnet.Ports{API: meshnet.PortOf("[::]:7490")}, slog.New(slog.NewTextHandler(&log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- tunnels.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	report := func(ok func(mesh.Report) bool) {
		t.Helper()
		for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) { // a real socket has no bubble
			r := m.Report()
			if ok(r) {
				return
			}
			if time.Since(begun) > 20*time.Second {
				t.Fatalf("the report is %+v", r)
			}
		}
	}
	report(func(r mesh.Report) bool { return strings.Contains(r.Facts.Fault, "no such file") })
	if tunnels.Settled(1) {
		t.Error("settled without a helper")
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	f, err := meshnet.NewReader(c).Read()
	if err != nil || f.Wanted == nil || f.Wanted.Self != "pi-1" || f.Wanted.Ports.API != 7490 || f.Wanted.Listen != 51820 || !f.Wanted.Quiet || len(f.Wanted.Ring.Keys) != 1 {
		t.Errorf("wanted %+v, %v", f.Wanted, err)
	}
	if err := meshnet.Write(c, meshnet.Frame{Facts: &meshnet.Facts{Generation: 2, At: time.Now(), Report: mesh.Report{Hub: "c1", Facts: mesh.Facts{Clash: "It overlaps the network 10.7.0.0/16 of eth0."}}}}); err != nil {
		t.Fatal(err)
	}
	report(func(r mesh.Report) bool { return r.Hub == "c1" && r.Facts.Fault == "" })
	for begun := time.Now(); !strings.Contains(log.String(), "refused on this host") || !strings.Contains(log.String(), "10.7.0.0/16 of eth0"); time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > 20*time.Second {
			t.Fatalf("a clash, and the log has\n%s", log.String())
		}
	}
	if !tunnels.Settled(2) || tunnels.Settled(3) {
		t.Error("settled at the wrong generation")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	report(func(r mesh.Report) bool { return r.Facts.Fault != "" })
}
