package upgrade_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"primespark/coordinator/cmd/prime-spark/internal/upgrade"
	"primespark/shared/fleet"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

// A fakeFleet is three coordinators and three agents whose daemons restart when they are
// upgraded, in a bubble.
type fakeFleet struct {
	mu    sync.Mutex
	nodes map[string]*wire.NodeBody
	back  map[string]time.Time // when one that restarts is alive again
	log   []string
	then  func(n *wire.NodeBody) // what else an upgrade does to a node
	apt   string                 // the newest version
	hang  string                 // the node whose apt fails
}

func newFleet() *fakeFleet {
	f := &fakeFleet{nodes: map[string]*wire.NodeBody{}, back: map[string]time.Time{}, apt: "1.1.0", then: func(*wire.NodeBody) {}}
	for i, name := range []string{"c1", "c2", "c3", "pi-1", "pi-2", "pi-3"} {
		role, models := fleet.Coordinator, []fleet.Serving(nil)
		if strings.HasPrefix(name, "pi") {
			role, models = fleet.Agent, []fleet.Serving{{Name: "blazeface"}}
		}
		f.nodes[name] = &wire.NodeBody{
			Name: name, Role: role, State: "approved", Liveness: fleet.Alive, Ready: true, Version: "1.0.0", Models: models,
			Addresses: map[string]string{"api": fmt.Sprintf("10.0.0.%d:7480", i+1)},
		}
	}
	return f
}

func (f *fakeFleet) settle() {
	for name, at := range f.back {
		if !time.Now().Before(at) {
			f.nodes[name].Liveness = fleet.Alive
			delete(f.back, name)
		}
	}
}

func (f *fakeFleet) Status(context.Context) (wire.StatusBody, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle()
	b := wire.StatusBody{Mode: fleet.Normal, Leader: "c2", Summary: wire.Summary{QuorumNeed: 2}}
	for _, name := range []string{"c1", "c2", "c3"} {
		n := f.nodes[name]
		alive := n.Liveness == fleet.Alive
		b.Coordinators = append(b.Coordinators, wire.Coordinator{Name: name, Role: wire.RoleFollower, Voter: true, Alive: alive, Version: n.Version})
		b.Summary.Voters++
		if alive {
			b.Summary.QuorumHave++
		}
	}
	return b, nil
}

func (f *fakeFleet) Nodes(context.Context) (all []wire.NodeBody, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle()
	for _, n := range f.nodes {
		all = append(all, *n)
	}
	return all, nil
}

func (f *fakeFleet) NodeAction(_ context.Context, name string, a wire.Action) (wire.NodeBody, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, string(a)+" "+name)
	n := f.nodes[name]
	switch a { // as an agent does
	case wire.Drain:
		n.State, n.Ready, n.Reasons = "draining", false, []string{"draining"}
	case wire.Undrain:
		n.State = "approved"
		if slices.Equal(n.Reasons, []string{"draining"}) {
			n.Ready, n.Reasons = true, nil
		}
	}
	return *n, nil
}

func (f *fakeFleet) install(_ context.Context, n upgrade.Node, version string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, "install "+n.Name)
	if n.Name == f.hang {
		return false, errors.New("no route to host")
	}
	if version = strings.TrimPrefix(version, "v"); version == "" {
		version = f.apt
	}
	node := f.nodes[n.Name]
	if node.Version == version || version > f.apt {
		return false, nil
	}
	node.Version, node.Liveness = version, fleet.Dead
	f.back[n.Name] = time.Now().Add(3 * time.Second)
	f.then(node)
	return true, nil
}

func (f *fakeFleet) run(t *testing.T, canary, to string, only ...string) (done string, err error) {
	t.Helper()
	status, _ := f.Status(t.Context()) // it never fails
	nodes, _ := f.Nodes(t.Context())
	plan, _, err := upgrade.Plan(status, nodes, canary, only)
	if err != nil {
		return "", err
	}
	all, err := upgrade.Config{
		Fleet: f, Install: f.install, To: to, Drain: 30 * time.Second, Within: time.Minute, Stays: 10 * time.Second, Canary: time.Minute, Tell: func(s string) { t.Log(s) },
	}.Run(t.Context(), plan)
	for _, n := range all {
		done += n.Name + " " + n.Version + ";"
	}
	return done, err
}

func TestUpgrade(t *testing.T) {
	const everything = "pi-2 1.1.0;pi-1 1.1.0;pi-3 1.1.0;c1 1.1.0;c3 1.1.0;c2 1.1.0;"
	for name, test := range map[string]struct {
		change func(f *fakeFleet)
		to     string
		only   []string
		done   string
		fault  string // part of the error
	}{
		"all of them, the leader last": {done: everything},
		"to a version":                 {to: "v1.1.0", done: everything},
		"some are there already": {
			change: func(f *fakeFleet) { f.nodes["pi-3"].Version, f.nodes["c1"].Version = "1.1.0", "1.1.0" },
			done:   everything,
		},
		"only some":        {only: []string{"c3"}, done: "pi-2 1.1.0;c3 1.1.0;"},
		"nothing is newer": {change: func(f *fakeFleet) { f.apt = "1.0.0" }, fault: "stopped at pi-2: Its apt knows no newer version than 1.0.0. Not touched: pi-1, pi-3, c1, c3, c2."},
		"no such version":  {to: "2.0.0", fault: "Its apt knows no newer version"},
		"a dead one is away": {
			change: func(f *fakeFleet) { f.nodes["pi-1"].Liveness = fleet.Dead },
			done:   "pi-2 1.1.0;pi-3 1.1.0;c1 1.1.0;c3 1.1.0;c2 1.1.0;",
		},
		"the canary is not ready":   {change: becomes("pi-2", func(n *wire.NodeBody) { n.Ready, n.Reasons = false, []string{"model_failed"} }), fault: "stopped at pi-2: It is not healthy within 1m0s: it is not ready (model_failed). Not touched: pi-1"},
		"the canary lost its model": {change: becomes("pi-2", func(n *wire.NodeBody) { n.Models = nil }), fault: "it does not serve blazeface as before"},
		"the second never comes back": {
			change: func(f *fakeFleet) {
				f.then = func(n *wire.NodeBody) {
					if n.Name == "pi-1" {
						f.back[n.Name] = time.Now().Add(time.Hour)
					}
				}
			},
			done: "pi-2 1.1.0;", fault: "stopped at pi-1: It is not healthy within 1m0s: it does not answer. Not touched: pi-3, c1, c3, c2.",
		},
		"apt cannot be reached": {change: func(f *fakeFleet) { f.hang = "pi-3" }, done: "pi-2 1.1.0;pi-1 1.1.0;", fault: "stopped at pi-3: no route to host. Not touched: c1"},
		"a coordinator is away": {
			change: func(f *fakeFleet) { f.nodes["c3"].Liveness = fleet.Dead },
			done:   "pi-2 1.1.0;pi-1 1.1.0;pi-3 1.1.0;", fault: "stopped at c1: Without it 1 of 3 coordinators would be left, and it takes 2 to decide.",
		},
		"no such node": {only: []string{"pi-9"}, fault: "There is no node"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				if test.change != nil {
					test.change(f)
				}
				done, err := f.run(t, "pi-2", test.to, test.only...)
				if done != test.done || (err == nil) != (test.fault == "") || err != nil && !strings.Contains(err.Error(), test.fault) {
					t.Errorf("done %s with %v, want %s with %q", done, err, test.done, test.fault)
				}
				if err != nil && problem.Of(err).Remedy == "" {
					t.Errorf("%v has no remedy", err)
				}
				for name, n := range f.nodes {
					drained, undrained := slices.Index(f.log, "drain "+name), slices.Index(f.log, "undrain "+name)
					installed := slices.Index(f.log, "install "+name)
					if n.Role == fleet.Agent && installed >= 0 && (drained > installed || undrained < installed || drained < 0) {
						t.Errorf("%s: %v", name, f.log)
					}
				}
			})
		})
	}
}

func becomes(name string, what func(*wire.NodeBody)) func(*fakeFleet) {
	return func(f *fakeFleet) {
		f.then = func(n *wire.NodeBody) {
			if n.Name == name {
				what(n)
			}
		}
	}
}

// One that is healthy for a moment only is not healthy.
func TestUpgradeWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.then = func(n *wire.NodeBody) {
			time.AfterFunc(30*time.Second, func() {
				f.mu.Lock()
				defer f.mu.Unlock()
				n.Ready, n.Reasons = false, []string{"draining", "model_failed"}
			})
		}
		if done, err := f.run(t, "pi-1", ""); done != "" || err == nil || !strings.Contains(err.Error(), "it is not ready") {
			t.Errorf("done %s with %v", done, err)
		}
	})
}

func TestDrainWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.nodes["pi-1"].InFlight = 1
		time.AfterFunc(7*time.Second, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.nodes["pi-1"].InFlight = 0
		})
		begin := time.Now()
		f.then = func(n *wire.NodeBody) {
			if waited := time.Since(begin); n.Name == "pi-1" && (waited < 7*time.Second || waited > 9*time.Second) {
				t.Errorf("it was upgraded after %v", waited)
			}
		}
		if _, err := f.run(t, "pi-1", "", "pi-1"); err != nil {
			t.Error(err)
		}
	})
}

// TestSSH runs what is to be run on a node here, with programs in place of ssh, sudo and
// the package manager.
func TestSSH(t *testing.T) {
	bin := t.TempDir()
	for name, text := range map[string]string{
		"ssh":        `echo "$2" >"$BIN/host"; [ "$1" = -q ] || exit 9; shift 2; exec "$@"`,
		"sudo":       `[ "$1" = -n ] && [ "$2" = sh ] || exit 9; shift 2; exec bash "$@"`, // which reads its script as it goes,
		"dpkg-query": `cat "$BIN/version"`,
		"apt-get":    `cat >/dev/null; case "$*" in *update*) ;; *broken*) echo "E: Version '0-broken' was not found" >&2; exit 100;; *) echo "$*" >>"$BIN/asked"; printf 1.1.0 >"$BIN/version";; esac`,
	} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("BIN", bin)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	if err := os.WriteFile(filepath.Join(bin, "version"), []byte("1.0.0"), 0o600); err != nil {
		t.Fatal(err)
	}
	install := upgrade.SSH([]string{"ssh", "-q"})
	n := upgrade.Node{Name: "pi-1", Role: fleet.Agent, Host: "10.0.0.11", Version: "1.0.0"}
	for i, want := range []bool{true, false} {
		if changed, err := install(t.Context(), n, "v1.1.0"); changed != want || err != nil {
			t.Errorf("%d: %v, %v", i, changed, err)
		}
	}
	asked, err := os.ReadFile(filepath.Join(bin, "asked"))
	if err != nil || !strings.Contains(string(asked), "install --only-upgrade prime-spark-agent=1.1.0") {
		t.Errorf("%s, %v", asked, err)
	}
	if host, _ := os.ReadFile(filepath.Join(bin, "host")); string(host) != "10.0.0.11\n" {
		t.Errorf("host %s", host)
	}
	_, err = install(t.Context(), n, "0-broken")
	if err == nil || !strings.Contains(err.Error(), "was not found") || !strings.Contains(problem.Of(err).Remedy, "ssh -q 10.0.0.11 sudo apt-get") {
		t.Errorf("%v", err)
	}
	if _, err := install(t.Context(), n, "1; reboot"); err == nil {
		t.Error("that is no version")
	}

	// One that leaves a process behind, for the next connection, has ended all the same.
	keeps := filepath.Join(bin, "keeps")
	text := `sleep 600 & echo $! >"$BIN/kept"; "$BIN/ssh" "$@"`
	if err := os.WriteFile(keeps, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err = upgrade.SSH([]string{keeps, "-q"})(t.Context(), n, "1.1.0")
	kept, _ := os.ReadFile(filepath.Join(bin, "kept")) // empty is no number
	pid, missing := strconv.Atoi(strings.TrimSpace(string(kept)))
	if missing == nil {
		missing = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil || missing != nil {
		t.Errorf("with a process that stays: %v; that was gone: %v", err, missing)
	}
}
