package helper_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"primespark/shared/meshnet"
	"primespark/shared/meshnet/helper"
)

// TestNoKeysOnDisk: the helper's own directory never has a private key, not even one
// that an earlier release left there.
func TestNoKeysOnDisk(t *testing.T) {
	wanted, _ := fleetOf(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "wanted.json")
	secret, err := json.Marshal(wanted.Ring.Newest().Private)
	if err != nil {
		t.Fatal(err)
	}
	has := func() bool {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(b, secret)
	}
	b, err := json.Marshal(wanted)
	if err != nil {
		t.Fatal(err)
	}
	old := append(fmt.Appendf(nil, "%08x\n", crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))), b...)
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	if !has() {
		t.Fatal("the older file has no key, so this shows nothing")
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		h, end := begin(t, dir, w)
		defer end()
		time.Sleep(2 * time.Second)
		if has() || w.by() != "psm0" {
			t.Errorf("an older release's file: the key is still there: %t; packets go by %q", has(), w.by())
		}
		wanted.Map.Version++
		h.Want(t.Context(), wanted)
		time.Sleep(2 * time.Second)
		if has() {
			t.Error("a map was kept with the key")
		}
	})
}

// TestRange has the map get IPv4 addresses: they are there before any route that sends
// from them.
func TestRange(t *testing.T) {
	wanted, _ := fleetOf(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		h, end := begin(t, t.TempDir(), w)
		defer end()
		h.Want(t.Context(), wanted)
		time.Sleep(2 * time.Second)
		wanted.Map.Version++
		wanted.Map.IPv4 = netip.MustParsePrefix("10.77.0.0/16")
		wanted.Map.Nodes = slices.Clone(wanted.Map.Nodes)
		a := wanted.Map.IPv4.Addr()
		for i := range wanted.Map.Nodes {
			a = a.Next()
			wanted.Map.Nodes[i].IPv4 = a
		}
		h.Want(t.Context(), wanted)
		time.Sleep(2 * time.Second)
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.links) == 0 || len(w.links[0].Addresses) != 2 || w.misled > 0 {
			t.Errorf("%d routes were set that the kernel refuses; the links are %+v", w.misled, w.links)
		}
	})
}

// TestLeave has a daemon whose mesh was switched off take it off the host, and the
// daemon of another place try to.
func TestLeave(t *testing.T) {
	wanted, _ := fleetOf(t)
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		h, end := begin(t, dir, w)
		defer end()
		h.Want(t.Context(), wanted)
		time.Sleep(2 * time.Second)
		h.Want(t.Context(), meshnet.Wanted{Self: "c9", Leave: true})
		time.Sleep(2 * time.Second)
		if len(w.state().Links) == 0 || h.Facts().Get().Self != "pi-1" {
			t.Error("another daemon took the mesh down")
		}
		h.Want(t.Context(), meshnet.Wanted{Self: "pi-1", Leave: true})
		time.Sleep(2 * time.Second)
		if s, f := w.state(), h.Facts().Get(); len(s.Links)+len(s.Routes)+len(s.Prefixes) > 0 || f.Self != "" || f.Report.Version != 0 {
			t.Errorf("left, and there are %+v, %+v", s, f)
		}
		if _, err := os.Stat(filepath.Join(dir, "wanted.json")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("left, and the map is kept: %v", err)
		}
		wanted.Map.Version-- // of a fleet that was made anew, for all the helper knows
		h.Want(t.Context(), wanted)
		time.Sleep(2 * time.Second)
		if len(w.state().Links) == 0 {
			t.Error("not back after it was switched on again")
		}
	})
}

func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	l, err := helper.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := helper.Listen(path); err == nil || !strings.Contains(err.Error(), "another") {
		t.Errorf("two at one socket: %v", err)
	}
	wanted, _ := fleetOf(t)
	w := newWorld()
	h, end := begin(t, t.TempDir(), w)
	defer end()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- h.Serve(ctx, l) }()
	client := meshnet.NewClient(path, slog.New(slog.DiscardHandler))
	called := make(chan error, 1)
	go func() { called <- client.Run(ctx) }()
	client.Want(wanted)
	for {
		f, changed := client.Facts()
		if f.Report.Version == wanted.Map.Version {
			break
		}
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			t.Fatalf("the facts are %+v, fault %v", f, client.Fault())
		}
	}
	call := func(change func(*meshnet.Wanted)) net.Conn {
		other := wanted
		change(&other)
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if err := meshnet.Write(conn, meshnet.Frame{Wanted: &other}); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	refused := func(change func(*meshnet.Wanted)) {
		conn := call(change)
		defer conn.Close()
		if _, err := io.Copy(io.Discard, conn); err != nil { // ends, as the call is turned away
			t.Error(err)
		}
	}
	refused(func(w *meshnet.Wanted) { w.Self, w.Map.Cluster, w.Map.Nodes = "pi-2", "barn", nil })
	conn := call(func(w *meshnet.Wanted) { w.Self = "pi-2" }) // which is a guest from now on
	defer conn.Close()
	for in, f := meshnet.NewReader(conn), (meshnet.Frame{}); f.Facts == nil || f.Facts.Self != "pi-2"; {
		if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if f, err = in.Read(); err != nil {
			t.Fatalf("the guest hears nothing of itself: %v", err)
		}
	}
	refused(func(w *meshnet.Wanted) { w.Self = "c9" })
	if err := meshnet.Leave(t.Context(), path, "pi-2"); err != nil || h.Facts().Get().Self != "pi-1" || len(h.Facts().Get().Guests) > 0 {
		t.Errorf("a guest leaves: %v, %+v", err, h.Facts().Get())
	}
	if err := meshnet.Leave(t.Context(), path, "pi-1"); err != nil || h.Facts().Get().Self != "" {
		t.Errorf("leaving: %v, %+v", err, h.Facts().Get())
	}
	if err := meshnet.Leave(t.Context(), path+"x", "pi-1"); err != nil {
		t.Errorf("without a helper: %v", err)
	}
	cancel()
	if err := errors.Join(<-served, <-called); err != nil {
		t.Error(err)
	}
}
