package packages_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"primespark/scripts/lab/guest"
	"primespark/scripts/lab/machine"
)

// begin skips the test where it cannot run, or should not; more is what else is
// missing. A host that forbids user-mode Linux, or has no archive of Debian to make a disk
// from (network), is no fault of ours: there it skips in CI, too, and says why.
func begin(t *testing.T, more ...string) *machine.Run {
	t.Helper()
	if os.Getenv(enabled) == "" {
		t.Skip("machines are booted by make machines")
	}
	missing := slices.Concat(machine.Missing(), guest.Missing(), more)
	if len(missing) > 0 {
		if os.Getenv("CI") == "true" {
			t.Fatalf("missing: %s", strings.Join(missing, "; "))
		}
		t.Skipf("missing: %s", strings.Join(missing, "; "))
	}
	if why := guest.Unfit(t.Context()); why != "" {
		t.Skip(why)
	}
	r, err := machine.Begin()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.End(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// network is one for machines of a release of Debian with more packages; they are off
// when the test ends.
func network(ctx context.Context, t *testing.T, r *machine.Run, suite string, packages ...string) *guest.LAN {
	t.Helper()
	lan, err := guest.NewLAN(ctx, r, suite, packages...)
	if errors.Is(err, guest.ErrImage) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lan.Close)
	return lan
}

// build makes the packages of a release for an architecture and returns their folder.
func build(t *testing.T, release, arch string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "../../../packaging/build.sh", arch)
	out := t.TempDir()
	cmd.Env = append(os.Environ(), "VERSION="+release, "OUT="+out)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the packages: %v\n%s", err, text)
	}
	return out
}

// A site is the machines of a test, with what to do to them.
type site struct {
	t        *testing.T
	machines []guest.Box
}

// add adds a machine, which is off.
func (s *site) add(lan *guest.LAN, name string) *guest.Machine {
	s.t.Helper()
	m, err := lan.Machine(name)
	if err != nil {
		s.t.Fatal(err)
	}
	s.machines = append(s.machines, m)
	return m
}

// each does something on all machines at once.
func (s *site) each(what func(guest.Box) error) {
	s.t.Helper()
	var all sync.WaitGroup
	for _, m := range s.machines {
		all.Go(func() {
			if err := what(m); err != nil {
				s.t.Error(err)
			}
		})
	}
	all.Wait()
	if s.t.Failed() {
		s.t.FailNow()
	}
}

// sh runs a script that has to succeed, and returns what it printed.
func (s *site) sh(m guest.Box, script string) string {
	s.t.Helper()
	out, err := m.Sh(s.t.Context(), script)
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// within repeats a script until it succeeds.
func (s *site) within(m guest.Box, limit time.Duration, script string) time.Duration {
	s.t.Helper()
	begin := time.Now()
	for {
		out, err := m.Sh(s.t.Context(), script)
		if err == nil {
			return time.Since(begin)
		}
		if time.Since(begin) > limit {
			s.t.Fatalf("not within %v: %v\n%s", limit, err, out)
		}
		time.Sleep(200 * time.Millisecond) // real machines, real time
	}
}

// only is the package of a name in a folder.
func only(dir, name string) (string, error) {
	found, err := filepath.Glob(filepath.Join(dir, name+"_*.deb"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("%d packages %s in %s: %v", len(found), name, dir, err)
	}
	return found[0], nil
}

// here runs a script on this host.
func (s *site) here(script string) string {
	s.t.Helper()
	out, err := exec.CommandContext(s.t.Context(), "bash", "-c", script).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// install puts packages of a folder on a machine.
func install(ctx context.Context, m guest.Box, dir string, names ...string) error {
	var files []string
	for _, name := range names {
		file, err := only(dir, name)
		if err != nil {
			return err
		}
		if err := m.Put(file, filepath.Base(file)); err != nil {
			return err
		}
		files = append(files, "/lab/"+filepath.Base(file))
	}
	_, err := m.Sh(ctx, "dpkg -i "+strings.Join(files, " "))
	return err
}

// settled waits until systemd has started everything on a machine.
func settled(ctx context.Context, m guest.Box) error {
	how, err := m.Sh(ctx, "systemctl is-system-running --wait || true")
	if how = strings.TrimSpace(how); err == nil && how != "running" {
		failed, _ := m.Sh(ctx, "systemctl --failed --no-legend") // says why, if it says anything
		err = fmt.Errorf("%v is %q: %s", m, how, failed)
	}
	return err
}

// leftovers finds what of ours is on a machine's disk.
const leftovers = `find / -xdev \( -name 'prime-spark*' -o -path '*/prime-spark/*' \) -not -path '/lab/*' -not -path '/proc/*'`

// infer asks the agent of a machine's own host.
const infer = "curl -fsS --unix-socket /run/prime-spark/agent.sock http://localhost/v2/models/blazeface/ready"

// found makes m the first coordinator of a cluster, and root there its operator.
func (s *site) found(m *guest.Machine) {
	s.t.Helper()
	s.sh(m, "prime-spark-coordinator init --cluster home --json >/root/founded && systemctl start prime-spark-coordinator")
	s.sh(m, `sed -n 's/.*"token": "\(.*\)",/\1/p' /root/founded >/root/token
cp /var/lib/prime-spark/coordinator/identity/ca.crt /root/ca.crt
for i in $(seq 150); do prime-spark login --server https://`+m.Address+`:7480 --ca-file /root/ca.crt --token-file /root/token && exit 0; sleep 0.2; done; exit 1`)
}

// code is a code to join by, from the coordinator c.
func (s *site) code(c *guest.Machine, role string) string {
	s.t.Helper()
	return s.sh(c, "prime-spark join-code create --role "+role+" --json | sed -n 's/.*\"code\": \"\\(.*\\)\".*/\\1/p'")
}

// alive waits until the coordinator c sees a node alive.
func (s *site) alive(c *guest.Machine, limit time.Duration, node string) {
	s.t.Helper()
	s.within(c, limit, "prime-spark node "+node+" --json | grep -q '\"liveness\": \"alive\"'")
}

// purge takes our packages from a machine, and sees that nothing is left.
func (s *site) purge(ctx context.Context, m guest.Box) {
	s.t.Helper()
	if err := purge(ctx, m); err != nil {
		s.t.Error(err)
	}
}

func purge(ctx context.Context, m guest.Box) error {
	out, err := m.Sh(ctx, "rm -rf /root/.config; dpkg -P $(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\\n' 'prime-spark*' | awk '/^[ir]/ { print $2 }') >/dev/null 2>&1 && "+leftovers+"; systemctl --failed --no-legend")
	if err == nil && strings.TrimSpace(out) != "" {
		err = fmt.Errorf("%v: after purge there is still:\n%s", m, out)
	}
	return err
}
