// Package packages_test installs the Debian packages on whole machines and lives
// through what they live through: joining, a power cut, a partition, a reboot, an
// upgrade, a purge.
//
//	make machines
package packages_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"primespark/scripts/lab/guest"
	"primespark/scripts/lab/machine"
)

func TestMain(m *testing.M) {
	machine.Sweeper()
	os.Exit(m.Run())
}

// enabled is the variable that says to run all this; it takes minutes.
const enabled = "PRIME_SPARK_MACHINES"

// begin skips the test where it cannot run, or should not.
func begin(t *testing.T) *machine.Run {
	t.Helper()
	if os.Getenv(enabled) == "" {
		t.Skip("machines are booted by make machines")
	}
	missing := append(machine.Missing(), guest.Missing()...)
	if len(missing) > 0 {
		if os.Getenv("CI") == "true" {
			t.Fatalf("missing: %s", strings.Join(missing, "; "))
		}
		t.Skipf("missing: %s", strings.Join(missing, "; "))
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

// build makes the packages of a release and returns their folder.
func build(t *testing.T, release string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "../../../packaging/build.sh", "amd64")
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
	machines []*guest.Machine
}

// each does something on all machines at once.
func (s site) each(what func(*guest.Machine) error) {
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
func (s site) sh(m *guest.Machine, script string) string {
	s.t.Helper()
	out, err := m.Sh(s.t.Context(), script)
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// within repeats a script until it succeeds.
func (s site) within(m *guest.Machine, limit time.Duration, script string) time.Duration {
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

// install puts packages of a folder on a machine.
func install(ctx context.Context, m *guest.Machine, dir string, names ...string) error {
	var files []string
	for _, name := range names {
		found, err := filepath.Glob(filepath.Join(dir, name+"_*_amd64.deb"))
		if err != nil || len(found) != 1 {
			return fmt.Errorf("%d packages %s in %s: %v", len(found), name, dir, err)
		}
		if err := m.Put(found[0], filepath.Base(found[0])); err != nil {
			return err
		}
		files = append(files, "/lab/"+filepath.Base(found[0]))
	}
	_, err := m.Sh(ctx, "dpkg -i "+strings.Join(files, " "))
	return err
}

// leftovers finds what of ours is on a machine's disk.
const leftovers = `find / -xdev \( -name 'prime-spark*' -o -path '*/prime-spark/*' \) -not -path '/lab/*' -not -path '/proc/*'`

// TestLifeOfThePackages: three machines, from fresh to purged. The release that is
// installed first is the same source under a smaller number, so what is tested of
// the upgrade is the packages' part.
func TestLifeOfThePackages(t *testing.T) {
	r := begin(t)
	old, fresh := build(t, "0.0.1"), build(t, "0.0.2")
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	lan, err := guest.NewLAN(ctx, r, "bookworm")
	if err != nil {
		t.Fatal(err)
	}
	defer lan.Close()
	s := site{t: t}
	for _, name := range []string{"m1", "m2", "m3"} {
		m, err := lan.Machine(name)
		if err != nil {
			t.Fatal(err)
		}
		s.machines = append(s.machines, m)
	}
	m1, m2, m3 := s.machines[0], s.machines[1], s.machines[2]
	begun := time.Now()
	s.each(func(m *guest.Machine) error {
		if err := m.Boot(ctx); err != nil {
			return err
		}
		if how, err := m.Settled(ctx); err != nil || how != "running" {
			return fmt.Errorf("%s is %q: %w", m.Name, how, err)
		}
		return nil
	})
	t.Logf("three machines run after %.1f s", time.Since(begun).Seconds())

	// Fresh: quiet, safe, serving its own host, saying how to join.
	begun = time.Now()
	s.each(func(m *guest.Machine) error {
		if m == m1 {
			return install(ctx, m, old, "prime-spark-coordinator", "prime-spark-cli")
		}
		return install(ctx, m, old, "prime-spark-agent")
	})
	if got := s.sh(m1, "systemctl is-active prime-spark-coordinator || true; systemctl is-failed prime-spark-coordinator || true"); got != "inactive\ninactive" {
		t.Errorf("a coordinator without a cluster is %q, want inactive and not failed", got)
	}
	infer := "curl -fsS --unix-socket /run/prime-spark/agent.sock http://localhost/v2/models/blazeface/ready"
	s.within(m2, 20*time.Second, infer)
	t.Logf("installed and serving %.1f s after dpkg began", time.Since(begun).Seconds())
	if got := s.sh(m2, "systemctl show -p StatusText --value prime-spark-agent"); !strings.Contains(got, "prime-spark-agent join CODE") {
		t.Errorf("systemctl status does not say how to join: %q", got)
	}
	if got := s.sh(m2, "ss -Hltn; ss -Hlun | grep -v ':68 ' || true"); strings.Contains(got, "74") {
		t.Errorf("an agent that has not joined listens on the network:\n%s", got)
	}

	// A secret that only root can read reaches the daemon, and nobody else.
	s.sh(m2, `install -D -m 0600 /dev/stdin /etc/credstore/prime-spark-agent.mqtt-password <<<s3cret
systemctl restart prime-spark-agent
id=$(systemctl show -p MainPID --value prime-spark-agent)
nsenter -t "$id" -m -S "$(id -u prime-spark-agent)" -G "$(id -g prime-spark-agent)" grep -qx s3cret /run/credentials/prime-spark-agent.service/mqtt-password
! nsenter -t "$id" -m -S "$(id -u nobody)" -G "$(id -g nobody)" cat /run/credentials/prime-spark-agent.service/mqtt-password 2>/dev/null
rm /etc/credstore/prime-spark-agent.mqtt-password`)
	s.within(m2, 20*time.Second, infer)

	// Join.
	s.sh(m1, "prime-spark-coordinator init --cluster home --json >/root/founded && systemctl start prime-spark-coordinator")
	s.sh(m1, `sed -n 's/.*"token": "\(.*\)",/\1/p' /root/founded >/root/token
cp /var/lib/prime-spark/coordinator/identity/ca.crt /root/ca.crt
for i in $(seq 50); do prime-spark login --server https://`+m1.Address+`:7480 --ca-file /root/ca.crt --token-file /root/token && exit 0; sleep 0.2; done; exit 1`)
	for _, m := range []*guest.Machine{m2, m3} {
		code := s.sh(m1, "prime-spark join-code create --role agent --json | sed -n 's/.*\"code\": \"\\(.*\\)\".*/\\1/p'")
		begun = time.Now()
		s.sh(m, "echo '"+code+"' | prime-spark-agent join --code-file - && systemctl restart prime-spark-agent")
		s.within(m1, time.Minute, "prime-spark node "+m.Name+" --json | grep -q '\"liveness\": \"alive\"'")
		t.Logf("%s joined and was seen alive after %.1f s", m.Name, time.Since(begun).Seconds())
	}
	if got := s.sh(m2, "stat -c %U /var/lib/prime-spark/agent/identity/node.key"); got != "prime-spark-agent" {
		t.Errorf("the key that root's join wrote belongs to %s", got)
	}
	photo := filepath.Join("..", "..", "..", "shared", "testphoto", "astronaut.jpg")
	if err := m1.Put(photo, "photo.jpg"); err != nil {
		t.Fatal(err)
	}
	look := "prime-spark infer /lab/photo.jpg --model blazeface | grep -q face"
	s.within(m1, 20*time.Second, look)

	// Power cut of one, partition of the other, back again.
	if err := m2.CutPower(); err != nil {
		t.Fatal(err)
	}
	s.within(m1, 20*time.Second, look)
	if err := m2.Boot(ctx); err != nil {
		t.Fatal(err)
	}
	s.within(m1, time.Minute, "prime-spark node m2 --json | grep -q '\"liveness\": \"alive\"'")
	if err := m3.Unplug(); err != nil {
		t.Fatal(err)
	}
	s.within(m3, 20*time.Second, infer) // its own host is served on
	s.within(m1, 30*time.Second, "! prime-spark node m3 --json | grep -q '\"liveness\": \"alive\"'")
	if err := m3.Plug(); err != nil {
		t.Fatal(err)
	}
	s.within(m1, time.Minute, "prime-spark node m3 --json | grep -q '\"liveness\": \"alive\"'")

	// Upgrade, reboot: state and membership stay. Downgrade: refused.
	s.each(func(m *guest.Machine) error {
		if m == m1 {
			return install(ctx, m, fresh, "prime-spark-coordinator", "prime-spark-cli")
		}
		return install(ctx, m, fresh, "prime-spark-agent")
	})
	s.within(m1, 30*time.Second, look)
	if err := install(ctx, m2, old, "prime-spark-agent"); err == nil || !strings.Contains(err.Error(), "Nothing has been changed") {
		t.Errorf("a downgrade: %v, want it refused with words", err)
	}
	s.sh(m2, "systemctl is-active prime-spark-agent && dpkg -s prime-spark-agent | grep -q 'Version: 0.0.2'")
	if _, err := m1.Sh(ctx, "(sleep 0.3; systemctl poweroff) >/dev/null 2>&1 &"); err != nil {
		t.Fatal(err)
	}
	if err := m1.Off(ctx); err != nil {
		t.Fatal(err)
	}
	if err := m1.Boot(ctx); err != nil {
		t.Fatal(err)
	}
	s.within(m1, time.Minute, look)

	// Remove keeps the state, installing again goes on with it, purge leaves nothing.
	s.sh(m2, "dpkg -r prime-spark-agent && test -e /var/lib/prime-spark/agent/identity/node.key")
	if err := install(ctx, m2, fresh, "prime-spark-agent"); err != nil {
		t.Fatal(err)
	}
	s.within(m1, time.Minute, "prime-spark node m2 --json | grep -q '\"liveness\": \"alive\"'")
	s.each(func(m *guest.Machine) error {
		out, err := m.Sh(ctx, "rm -rf /root/.config; dpkg -P $(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\\n' 'prime-spark*' | awk '/^[ir]/ { print $2 }') >/dev/null && "+leftovers+"; systemctl --failed --no-legend")
		if err == nil && strings.TrimSpace(out) != "" {
			err = fmt.Errorf("%s: after purge there is still:\n%s", m.Name, out)
		}
		return err
	})
}
