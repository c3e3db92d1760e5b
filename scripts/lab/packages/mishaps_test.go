package packages_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"primespark/scripts/lab/guest"
)

// TestMishaps: what befalls an agent's host, on a whole machine: an agent that crashes
// again and again, an upgrade that is killed, and one that finds a configuration of an
// earlier release.
func TestMishaps(t *testing.T) {
	r := begin(t)
	old, fresh := build(t, "0.0.1", "amd64"), build(t, "0.0.2", "amd64")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	lan := network(ctx, t, r, "bookworm")
	s := &site{t: t}
	m := s.add(lan, "m1")
	if err := m.Boot(ctx); err != nil {
		t.Fatal(err)
	}
	if err := install(ctx, m, old, "prime-spark-agent"); err != nil {
		t.Fatal(err)
	}
	s.within(m, patience, infer)
	s.crashes(m)
	s.earlierKeys(m)
	s.killedUpgrade(ctx, m, fresh)
	if got := s.sh(m, "systemctl --failed --no-legend"); got != "" {
		t.Errorf("units that failed:\n%s", got)
	}
	s.purge(ctx, m)
}

// crash has the agent's process get a signal, and waits until it is gone and a daemon is up
// again, whose unit it prints.
const crash = `crash() {
	id=$(systemctl show -p MainPID --value prime-spark-agent)
	kill -$1 $id
	while [ -e /proc/$id ]; do sleep 0.1; done
	while :; do
		for unit in prime-spark-agent prime-spark-agent-safe; do
			systemctl is-active --quiet $unit && echo $unit && return
		done
		sleep 0.1
	done
}
`

// crashes: an agent that crashes, or hangs, is started again. After five times in five
// minutes the safe mode serves, and says what to do; that brings the agent back, at once.
func (s *site) crashes(m *guest.Machine) {
	s.t.Helper()
	const agent, safe = "prime-spark-agent", "prime-spark-agent-safe"
	begun := time.Now()
	for i, c := range []struct{ signal, want string }{{"SEGV", agent}, {"STOP", agent}, {"ABRT", agent}, {"KILL", agent}, {"SEGV", safe}} {
		if got := s.sh(m, crash+"crash "+c.signal); got != c.want {
			s.t.Fatalf("after crash %d, by %s, there is %s, want %s\n%s", i+1, c.signal, got, c.want, s.sh(m, "systemctl status prime-spark-agent | tail -n 30 || true"))
		}
	}
	s.within(m, patience, infer)
	s.t.Logf("in safe mode %.1f s after the first of five crashes, one of which was a hang", time.Since(begun).Seconds())
	if got := s.sh(m, "curl -fsS --unix-socket /run/prime-spark/agent.sock http://localhost/readyz"); !strings.Contains(got, "safe_mode") || !strings.Contains(got, back) {
		s.t.Errorf("in safe mode the agent does not say so, and that %q ends it: %s", back, got)
	}
	s.sh(m, back+" || { journalctl -u 'prime-spark-agent*' -n 30 --no-pager; exit 1; }")
	s.within(m, patience, infer)
	if got := s.sh(m, "systemctl is-active prime-spark-agent prime-spark-agent-safe || true"); got != "active\ninactive" {
		s.t.Errorf("after the agent was started again, it and the safe mode are %q", got)
	}
}

// back is what the agent says ends the safe mode.
const back = "systemctl start prime-spark-agent"

// earlierKeys: a configuration of an earlier release is taken, and rewritten with a
// backup when somebody asks for that.
func (s *site) earlierKeys(m *guest.Machine) {
	s.t.Helper()
	s.sh(m, `set -e
cd /etc/prime-spark
printf 'name: shed # where the pump is\nmesh:\n  interface: wg7\n' >agent.yaml
cp -p agent.yaml /root/before
systemctl restart prime-spark-agent`)
	s.within(m, patience, infer)
	if got := s.sh(m, "prime-spark-agent check"); !strings.Contains(got, "mesh.interface is no more") || !strings.Contains(got, "check --migrate") {
		s.t.Errorf("check does not tell of a key of an earlier release: %s", got)
	}
	s.sh(m, `set -e
cd /etc/prime-spark
prime-spark-agent check --migrate
cmp agent.yaml.*.bak /root/before
grep -q '^name: shed # where the pump is$' agent.yaml
[ "$(stat -c '%U %a' agent.yaml)" = "$(stat -c '%U %a' /root/before)" ]
! prime-spark-agent check | grep -q 'is no more'
systemctl restart prime-spark-agent`)
	s.within(m, patience, infer)
}

// killedUpgrade: dpkg is killed in the middle of an upgrade. The old agent serves on, and
// what the manual says mends it; the operator's configuration stays.
func (s *site) killedUpgrade(ctx context.Context, m *guest.Machine, fresh string) {
	s.t.Helper()
	file, err := only(fresh, "prime-spark-agent")
	if err == nil {
		err = m.Put(file, "fresh.deb")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	var upgrade sync.WaitGroup
	upgrade.Go(func() { _, _ = m.Sh(ctx, "exec dpkg -i /lab/fresh.deb") }) // it does not come to its end
	s.sh(m, `for i in $(seq 3000); do [ -e /usr/bin/prime-spark-agent.dpkg-new ] && break; sleep 0.01; done
kill -KILL $(pidof dpkg)`)
	upgrade.Wait()
	how := s.sh(m, "dpkg-query -W -f '${db:Status-Abbrev}${Version}' prime-spark-agent")
	s.t.Logf("after dpkg was killed in an upgrade it says %q", how)
	if strings.HasPrefix(how, "ii ") {
		s.t.Errorf("the upgrade was over before dpkg was killed: %q", how)
	}
	s.within(m, patience, infer)
	s.sh(m, "dpkg --configure -a; dpkg -i --force-confold /lab/fresh.deb")
	s.within(m, patience, infer)
	const is = "dpkg-query -W -f '${db:Status-Abbrev}${Version}' prime-spark-agent; dpkg --audit"
	if got := s.sh(m, is); got != "ii 0.0.2" {
		s.t.Errorf("mended, dpkg says %q", got)
	}
	if got := s.sh(m, "prime-spark-agent version"); !strings.Contains(got, "0.0.2") {
		s.t.Errorf("mended, the agent is %q", got)
	}
	s.sh(m, "grep -q '^name: shed' /etc/prime-spark/agent.yaml")
}
