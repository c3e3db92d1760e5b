package packages_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"primespark/scripts/lab/guest"
)

// repository puts a signed apt repository of the packages in a folder on machines, as
// packaging/apt-repo.sh makes it, which is all that their apt knows then.
func (s *site) repository(dir string) {
	s.t.Helper()
	out := filepath.Join(s.t.TempDir(), "apt")
	cmd := exec.CommandContext(s.t.Context(), "../../../packaging/apt-repo.sh")
	cmd.Env = append(os.Environ(), "DEBS="+dir, "OUT="+out, "KEYS="+s.t.TempDir())
	if text, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("make the repository: %v\n%s", err, text)
	}
	for _, m := range s.machines {
		if err := os.CopyFS(m.(*guest.Machine).Shared("apt"), os.DirFS(out)); err != nil {
			s.t.Fatal(err)
		}
		s.sh(m, `set -e
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*
install -D -m 0644 /lab/apt/prime-spark.asc /etc/apt/keyrings/prime-spark.asc
cp -r /lab/apt /srv/apt && chmod -R a+rX /srv/apt
echo 'deb [signed-by=/etc/apt/keyrings/prime-spark.asc] file:/srv/apt stable main' >/etc/apt/sources.list.d/prime-spark.list`)
	}
}

// TestUpgrade: prime-spark upgrade, from a coordinator's host, by ssh and apt, on two
// agents and the coordinator itself. It stops at a canary whose apt refuses, and goes on
// when that is mended: the canary first, the coordinator last.
func TestUpgrade(t *testing.T) {
	var missing []string
	for tool, from := range map[string]string{"apt-ftparchive": "apt-utils", "gpg": "gpg"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool+" (apt-get install "+from+")")
		}
	}
	r := begin(t, missing...)
	old, fresh := build(t, "0.0.1", "amd64"), build(t, "0.0.2", "amd64")
	ctx, cancel := context.WithTimeout(t.Context(), 35*time.Minute)
	defer cancel()
	lan := network(ctx, t, r, "bookworm", "openssh-server", "openssh-client", "sudo")
	s := &site{t: t}
	c1, a1, a2 := s.add(lan, "c1"), s.add(lan, "a1"), s.add(lan, "a2")
	s.each(func(m guest.Box) error {
		if err := m.Boot(ctx); err != nil {
			return err
		}
		if m == guest.Box(c1) {
			return install(ctx, m, old, "prime-spark-coordinator", "prime-spark-cli")
		}
		return install(ctx, m, old, "prime-spark-agent")
	})
	s.repository(fresh)

	// An operator on c1, whose key opens all three.
	key := s.sh(c1, "ssh-keygen -q -t ed25519 -N '' -f /root/id && cat /root/id.pub")
	for _, m := range s.machines {
		s.sh(m, `set -e
useradd -m pi
install -D -m 0600 -o pi /dev/stdin /home/pi/.ssh/authorized_keys <<<'`+key+`'
chown pi /home/pi/.ssh
echo 'pi ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/pi
systemctl start ssh`)
	}
	s.found(c1)
	for _, m := range []*guest.Machine{a1, a2} {
		s.sh(m, "echo '"+s.code(c1, "agent")+"' | prime-spark-agent join --code-file - && systemctl restart prime-spark-agent")
		s.alive(c1, patience, m.Name)
		s.within(c1, patience, "prime-spark node "+m.Name+" --json | grep -q '\"ready\": true'")
	}
	installed := func() (versions []string) {
		for _, m := range []guest.Box{c1, a1, a2} {
			versions = append(versions, s.sh(m, "dpkg-query -W -f '${Version}' 'prime-spark-agent' 2>/dev/null || dpkg-query -W -f '${Version}' prime-spark-coordinator"))
		}
		return versions
	}
	const upgrade = `prime-spark upgrade --canary a2 --watch 2s --watch-canary 5s --within 10m --ssh "ssh -i /root/id -l pi -o StrictHostKeyChecking=accept-new" `

	// Nobody to ask; then a canary whose apt refuses.
	if out, err := c1.Sh(ctx, upgrade+"2>&1"); err == nil || !strings.Contains(out, "nobody to ask") {
		t.Errorf("without a terminal: %v\n%s", err, out)
	}
	s.sh(a2, "apt-mark hold prime-spark-agent")
	if out, err := c1.Sh(ctx, upgrade+"--yes 2>&1"); err == nil || !strings.Contains(out, "The upgrade stopped at a2") || !strings.Contains(out, "Not touched: a1, c1.") {
		t.Errorf("with a canary that refuses: %v\n%s", err, out)
	}
	if got := installed(); !slices.Equal(got, []string{"0.0.1", "0.0.1", "0.0.1"}) {
		t.Errorf("after that there are %q on c1, a1 and a2", got)
	}

	s.sh(a2, "apt-mark unhold prime-spark-agent")
	begun := time.Now()
	out := s.sh(c1, upgrade+"--yes 2>&1")
	t.Logf("upgraded after %.1f s:\n%s", time.Since(begun).Seconds(), out)
	if got := installed(); !slices.Equal(got, []string{"0.0.2", "0.0.2", "0.0.2"}) {
		t.Errorf("after the upgrade there are %q on c1, a1 and a2", got)
	}
	last := -1
	for _, name := range []string{"a2", "a1", "c1"} {
		at := strings.Index(out, name+": runs 0.0.2 and is well")
		if at <= last {
			t.Errorf("%s is not well after those before it", name)
		}
		last = at
	}
	if got := s.sh(c1, "prime-spark status --json | grep '\"outdated\"' || true"); got != "" {
		t.Errorf("behind after the upgrade: %s", got)
	}
	for _, name := range []string{"a1", "a2"} {
		s.within(c1, patience, "prime-spark node "+name+" --json | grep -q '\"ready\": true'")
	}
}
