package mesh_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"primespark/scripts/lab/machine"
	"primespark/shared/fleet"
	"primespark/shared/mesh"
	"primespark/shared/meshnet"
	"primespark/shared/rig"
	"primespark/shared/run"
	"primespark/shared/wire"
)

// TestDaemons has real coordinators and agents tell the map, from the first join on; one
// agent is on the host of a coordinator. Nobody plays a part here: this test only watches.
func TestDaemons(t *testing.T) {
	begin(t)
	if os.Getenv(labEnv) != "full" {
		t.Skip("builds the daemons; make mesh-lab")
	}
	use, err := theRun()
	must(t, err)
	bin := filepath.Join(use.Dir, "bin")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", bin+"/", "./coordinator/cmd/prime-spark-coordinator", "./agent/cmd/prime-spark-agent")
	cmd.Dir = "../../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	l := &lab{hosts: map[string]*host{}}
	l.net, err = use.Net()
	must(t, err)
	number := int(labs.Add(1))
	dir := filepath.Join(use.Dir, "daemons")
	must(t, os.Mkdir(dir, 0o700))
	r, err := rig.New(rig.Options{Bin: bin, Coordinators: 3, Agents: 3, Dir: dir, Place: func(name string, _ fleet.Role) (rig.Place, error) {
		if c1 := l.hosts["c1"]; name == "pi-3" {
			return rig.Place{Host: c1.Address, Under: c1.Under(), Mesh: c1.socket}, nil
		}
		h := &host{name: name, dir: filepath.Join(use.Dir, "daemons-mesh-"+name)}
		h.stem = l.stem(use, number, len(l.names))
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

	client := r.Client(r.Coordinators...)
	for { // pi-3 tells what it sees with its beats
		view, err := client.MeshView(ctx)
		if err == nil && slices.ContainsFunc(view.Nodes, func(n wire.MeshNodeBody) bool {
			return n.Name == "pi-3" && n.Host == "c1" && n.Report != nil && n.Report.Hub == "c1"
		}) {
			break
		}
		if !run.Sleep(ctx, 500*time.Millisecond) {
			t.Fatalf("pi-3 does not share the tunnels of c1: %v, %+v\n%s", err, view, l.hosts["c1"].words())
		}
	}
	t.Logf("pi-3, on the host of c1, by its tunnels after %v", time.Since(begun).Round(100*time.Millisecond))

	hub := l.hosts["pi-1"].facts(t, func(meshnet.Facts) bool { return true }).Report.Hub
	must(t, l.hosts[hub].Cut(l.others(hub)...))
	begun = time.Now()
	l.hosts["pi-1"].within(t, 10*time.Second, func(f meshnet.Facts) bool { return f.Report.Hub != hub })
	t.Logf("hub cut: another one after %v", time.Since(begun).Round(100*time.Millisecond))
	must(t, l.net.Heal())

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
	return "m" + strings.TrimPrefix(filepath.Base(run.Dir), machine.Prefix) + string(rune('a'+number-1)) + strconv.FormatInt(int64(host), 36)
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
