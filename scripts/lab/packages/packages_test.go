// Package packages_test installs the Debian packages on whole machines and lives
// through what they live through: joining, a power cut, a partition, a reboot, an
// upgrade, a purge.
//
//	make machines
package packages_test

import (
	"context"
	"os"
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

// TestLifeOfThePackages: three machines, from fresh to purged. The release that is
// installed first is the same source under a smaller number, so what is tested of
// the upgrade is the packages' part.
func TestLifeOfThePackages(t *testing.T) {
	r := begin(t)
	old, fresh := build(t, "0.0.1", "amd64"), build(t, "0.0.2", "amd64")
	ctx, cancel := context.WithTimeout(t.Context(), 35*time.Minute)
	defer cancel()
	lan := network(ctx, t, r, "bookworm")
	s := &site{t: t}
	m1, m2, m3 := s.add(lan, "m1"), s.add(lan, "m2"), s.add(lan, "m3")
	begun := time.Now()
	s.each(func(m guest.Box) error {
		if err := m.Boot(ctx); err != nil {
			return err
		}
		return settled(ctx, m)
	})
	t.Logf("three machines run after %.1f s", time.Since(begun).Seconds())

	// Fresh: quiet, safe, serving its own host, saying how to join.
	begun = time.Now()
	s.each(func(m guest.Box) error {
		if m == m1 {
			return install(ctx, m, old, "prime-spark-coordinator", "prime-spark-cli")
		}
		return install(ctx, m, old, "prime-spark-agent")
	})
	if got := s.sh(m1, "systemctl is-active prime-spark-coordinator || true; systemctl is-failed prime-spark-coordinator || true"); got != "inactive\ninactive" {
		t.Errorf("a coordinator without a cluster is %q, want inactive and not failed", got)
	}
	s.within(m2, patience, infer)
	t.Logf("installed and serving %.1f s after dpkg began", time.Since(begun).Seconds())
	if got := s.sh(m2, "systemctl show -p StatusText --value prime-spark-agent"); !strings.Contains(got, "prime-spark-agent join CODE") {
		t.Errorf("systemctl status does not say how to join: %q", got)
	}
	if got := s.sh(m2, "ss -Hltn; ss -Hlun | grep -v ':68 ' || true"); strings.Contains(got, "74") {
		t.Errorf("an agent that has not joined listens on the network:\n%s", got)
	}

	// A secret that only root can read reaches the daemon, and nobody else.
	s.sh(m2, `set -e
install -D -m 0600 /dev/stdin /etc/credstore/prime-spark-agent.mqtt-password <<<s3cret
systemctl restart prime-spark-agent
id=$(systemctl show -p MainPID --value prime-spark-agent)
nsenter -t "$id" -m -S "$(id -u prime-spark-agent)" -G "$(id -g prime-spark-agent)" grep -qx s3cret /run/credentials/prime-spark-agent.service/mqtt-password
if nsenter -t "$id" -m -S "$(id -u nobody)" -G "$(id -g nobody)" cat /run/credentials/prime-spark-agent.service/mqtt-password; then exit 1; fi
rm /etc/credstore/prime-spark-agent.mqtt-password`)
	s.within(m2, patience, infer)

	// Join.
	s.found(m1)
	for _, m := range []*guest.Machine{m2, m3} {
		code := s.code(m1, "agent")
		begun = time.Now()
		s.sh(m, "echo '"+code+"' | prime-spark-agent join --code-file - && systemctl restart prime-spark-agent")
		s.alive(m1, patience, m.Name)
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
	s.within(m1, patience, look)

	// What doctor tells for an issue has nothing in it of the node's key.
	s.sh(m2, `set -e
prime-spark-agent doctor --json >/root/doctor.json || true # it may find something
grep -q '"node": "m2"' /root/doctor.json
grep -v -e ----- /var/lib/prime-spark/agent/identity/node.key >/root/secrets
grep -q .................... /root/secrets
if grep -Ff /root/secrets /root/doctor.json; then exit 1; fi
rm /root/doctor.json /root/secrets`)

	// A coordinator that crashes is started again.
	s.sh(m1, "kill -SEGV $(systemctl show -p MainPID --value prime-spark-coordinator)")
	s.within(m1, patience, look)

	// Power cut of one, partition of the other, back again.
	if err := m2.CutPower(); err != nil {
		t.Fatal(err)
	}
	s.within(m1, patience, look)
	if err := m2.Boot(ctx); err != nil {
		t.Fatal(err)
	}
	s.alive(m1, patience, "m2")
	if err := m3.Unplug(); err != nil {
		t.Fatal(err)
	}
	s.within(m3, patience, infer) // its own host is served on
	s.within(m1, patience, "! prime-spark node m3 --json | grep -q '\"liveness\": \"alive\"'")
	if err := m3.Plug(); err != nil {
		t.Fatal(err)
	}
	s.alive(m1, patience, "m3")

	// A power cut in the middle of an upgrade: it boots and serves as it is, and the
	// upgrade below, done once more, mends what is half done.
	file, err := only(fresh, "prime-spark-agent")
	if err == nil {
		err = m3.Put(file, "fresh.deb")
	}
	if err != nil {
		t.Fatal(err)
	}
	var upgrade sync.WaitGroup
	upgrade.Go(func() { _, _ = m3.Sh(ctx, "dpkg -i /lab/fresh.deb") }) // it does not come to its end
	s.sh(m3, "for i in $(seq 3000); do [ -e /usr/bin/prime-spark-agent.dpkg-new ] && break; sleep 0.01; done")
	if err := m3.CutPower(); err != nil {
		t.Fatal(err)
	}
	upgrade.Wait()
	if err := m3.Boot(ctx); err != nil {
		t.Fatal(err)
	}
	s.within(m3, patience, infer)
	t.Logf("after a power cut in the upgrade dpkg says %q", s.sh(m3, "dpkg-query -W -f '${db:Status-Abbrev}${Version}' prime-spark-agent"))
	s.alive(m1, patience, "m3")

	// Upgrade, also from a release that had no units of inference workers; reboot: state
	// and membership stay. Downgrade: refused.
	s.sh(m2, `set -e
systemctl stop prime-spark-hailo-worker.socket prime-spark-ort-worker.socket
rm /usr/lib/systemd/system/prime-spark-*-worker*
systemctl daemon-reload && systemctl restart prime-spark-agent`)
	s.each(func(m guest.Box) error {
		if m == m1 {
			return install(ctx, m, fresh, "prime-spark-coordinator", "prime-spark-cli")
		}
		return install(ctx, m, fresh, "prime-spark-agent")
	})
	s.within(m1, patience, look)
	s.sh(m2, "systemctl is-active prime-spark-hailo-worker.socket prime-spark-ort-worker.socket")
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
	s.within(m1, patience, look)

	// Remove keeps the state, installing again goes on with it, purge leaves nothing.
	s.sh(m2, "dpkg -r prime-spark-agent && test -e /var/lib/prime-spark/agent/identity/node.key")
	if err := install(ctx, m2, fresh, "prime-spark-agent"); err != nil {
		t.Fatal(err)
	}
	s.alive(m1, patience, "m2")
	s.each(func(m guest.Box) error { return purge(ctx, m) })
}
