package mesh_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"primespark/scripts/lab/machine"
	"primespark/shared/fleet"
	"primespark/shared/mesh"
	"primespark/shared/meshnet"
	"primespark/shared/rig"
)

// TestDaemons has real coordinators and agents tell the map, from the first join on.
// Nobody plays a part here: this test only watches.
func TestDaemons(t *testing.T) {
	begin(t)
	if os.Getenv(labEnv) != "full" {
		t.Skip("builds the daemons; make mesh-lab")
	}
	run, err := theRun()
	must(t, err)
	bin := filepath.Join(run.Dir, "bin")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", bin+"/", "./coordinator/cmd/prime-spark-coordinator", "./agent/cmd/prime-spark-agent")
	cmd.Dir = "../../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	l := &lab{hosts: map[string]*host{}}
	l.net, err = run.Net()
	must(t, err)
	number := int(labs.Add(1))
	dir := filepath.Join(run.Dir, "daemons")
	must(t, os.Mkdir(dir, 0o700))
	r, err := rig.New(rig.Options{Bin: bin, Coordinators: 3, Agents: 2, Dir: dir, Place: func(name string, _ fleet.Role) (rig.Place, error) {
		h := &host{name: name, dir: filepath.Join(run.Dir, "daemons-mesh-"+name)}
		h.stem = l.stem(run, number, len(l.names))
		h.socket = filepath.Join(h.dir, "sock")
		var err error
		if h.Host, err = l.net.Host(); err != nil {
			return rig.Place{}, err
		}
		l.names = append(l.names, name)
		l.hosts[name] = h
		return rig.Place{Host: h.Address, Under: h.Under(), Mesh: h.socket}, os.Mkdir(h.dir, 0o700)
	}})
	must(t, err)
	t.Cleanup(func() { must(t, r.Close()) })
	for _, name := range l.names {
		h := l.hosts[name]
		h.start(t)
		h.watch(t)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	must(t, r.Start(ctx, func(string) {}))
	begun := time.Now()
	for _, name := range []string{"pi-1", "pi-2"} {
		f := l.hosts[name].within(t, 90*time.Second, func(f meshnet.Facts) bool {
			up := 0
			for _, one := range f.Report.Links {
				if one.Up {
					up++
				}
			}
			return f.Report.Hub != "" && up == 4 // three hubs, and the other agent directly
		})
		t.Logf("%s after %v: map %d, hub %s, %s, NAT %q", name, time.Since(begun).Round(100*time.Millisecond), f.Report.Version, f.Report.Hub, f.Report.Facts.Backend, f.Report.Facts.NAT)
	}

	hub := l.hosts["pi-1"].facts(t, func(meshnet.Facts) bool { return true }).Report.Hub
	must(t, l.hosts[hub].Cut(l.others(hub)...))
	begun = time.Now()
	l.hosts["pi-1"].within(t, 10*time.Second, func(f meshnet.Facts) bool { return f.Report.Hub != hub })
	t.Logf("hub cut: another one after %v", time.Since(begun).Round(100*time.Millisecond))
	must(t, l.net.Heal())

	client := r.Client(r.Coordinators...)
	for { // the cut may have taken the leader
		if _, err = client.RevokeNode(ctx, "pi-2", false); err == nil || ctx.Err() != nil {
			break
		}
		time.Sleep(500 * time.Millisecond)
	}
	must(t, err)
	begun = time.Now()
	for _, name := range []string{"c1", "c2", "c3"} {
		l.hosts[name].within(t, 20*time.Second, func(f meshnet.Facts) bool {
			return f.Report.Version > 0 && !slices.ContainsFunc(f.Report.Links, func(l mesh.Link) bool { return l.Peer == "pi-2" })
		})
	}
	t.Logf("revoked: all hubs have dropped it after %v", time.Since(begun).Round(100*time.Millisecond))
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("%v is more than 5 s", took)
	}
}

// stem is what the names of the interfaces of one host begin with: wireguard-go's
// control sockets are in one directory, whatever the namespace.
func (l *lab) stem(run *machine.Run, number, host int) string {
	return "m" + strings.TrimPrefix(filepath.Base(run.Dir), machine.Prefix) + string(rune('a'+number-1)) + string(rune('a'+host))
}

// watch follows the facts of the host's helper.
func (h *host) watch(t *testing.T) {
	t.Helper()
	h.client = meshnet.NewClient(h.socket, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.client.Run(ctx) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Cleanup(h.stop)
}
