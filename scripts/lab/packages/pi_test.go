package packages_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"primespark/scripts/lab/guest"
)

// suitesEnv names the releases of Debian that TestPi goes through.
const suitesEnv = "PRIME_SPARK_PI_SUITES"

// TestPi: the arm64 package on an emulated Raspberry Pi 5 (its processor core, with
// Debian's own kernel), from fresh to purged. Times are logged with the factor by which
// the emulated processor was slower than this one just then, and divided by it; they are
// not judged.
//
//	make pi          the newer release, as in CI
//	make vm-arm64    both
func TestPi(t *testing.T) {
	suites := os.Getenv(suitesEnv)
	if suites == "" {
		t.Skip("emulated Pis are booted by make pi and make vm-arm64")
	}
	for suite := range strings.FieldsSeq(suites) {
		t.Run(suite, func(t *testing.T) { lifeOfAPi(t, suite) })
	}
}

// patience is how long anything may take: an emulated Pi on a busy host is slow, and
// what it took is a figure, not a promise.
const patience = 15 * time.Minute

func lifeOfAPi(t *testing.T, suite string) {
	r := begin(t, guest.MissingFor("arm64")...)
	ctx, cancel := context.WithTimeout(t.Context(), 75*time.Minute)
	defer cancel()
	packages, native := build(t, "0.0.1", "arm64"), build(t, "0.0.1", "amd64")
	lan := network(ctx, t, r, "bookworm")
	s := &site{t: t}
	c1 := s.add(lan, "c1")
	pi, err := lan.Emulated(ctx, "pi-1", suite, "arm64")
	if errors.Is(err, guest.ErrImage) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.machines = append(s.machines, pi)
	s.each(func(m guest.Box) error {
		if err := m.Boot(ctx); err != nil {
			return err
		}
		return settled(ctx, m)
	})
	figure := func(what, format string, args ...any) {
		t.Helper()
		t.Logf("figure: %s, %s: %s", suite, what, fmt.Sprintf(format, args...)) // for scripts/vm-report.sh
	}
	figure("machine", "%s, kernel %s", s.sh(pi, "sed -n 's/^PRETTY_NAME=\"\\(.*\\)\"/\\1/p' /etc/os-release"), s.sh(pi, "uname -r"))
	took := func(what string, seconds float64) {
		t.Helper()
		slower := s.work(pi) / s.work(local{})
		figure(what, "%5.1f s, emulated %.0f times slower than this host: %.1f s", seconds, slower, seconds/slower)
	}
	if err := install(ctx, c1, native, "prime-spark-coordinator", "prime-spark-cli"); err != nil {
		t.Fatal(err)
	}
	s.found(c1)

	// Fresh: it serves its own host, and answers about a photo.
	photo := filepath.Join("..", "..", "..", "shared", "testphoto", "astronaut.jpg")
	for _, m := range s.machines {
		if err := m.Put(photo, "photo.jpg"); err != nil {
			t.Fatal(err)
		}
	}
	file, err := only(packages, "prime-spark-agent")
	if err == nil {
		err = pi.Put(file, "agent.deb")
	}
	if err != nil {
		t.Fatal(err)
	}
	begun := s.uptime(pi)
	s.sh(pi, "dpkg -i /lab/agent.deb")
	s.within(pi, patience, infer)
	took("install to serving", s.uptime(pi)-begun)
	look := "prime-spark-agent infer /lab/photo.jpg | grep -q face"
	s.within(pi, patience, look)

	// Join, and be asked by the fleet.
	code := s.code(c1, "agent")
	joined := time.Now()
	s.sh(pi, "echo '"+code+"' | prime-spark-agent join --code-file - && systemctl restart prime-spark-agent")
	s.alive(c1, patience, "pi-1")
	s.within(c1, patience, "prime-spark node pi-1 --json | grep -q '\"ready\": true'")
	took("join to healthy", time.Since(joined).Seconds())
	s.within(c1, patience, "prime-spark infer /lab/photo.jpg --model blazeface | grep -q face")
	figure("memory of the agent, joined and idle", "%s MiB resident", s.sh(pi, "awk '/VmRSS/ { printf \"%.1f\", $2 / 1024 }' /proc/$(systemctl show -p MainPID --value prime-spark-agent)/status"))

	// It boots where there is no network, and serves its own host.
	if _, err := pi.Sh(ctx, "(sleep 1; systemctl poweroff) >/dev/null 2>&1 &"); err != nil {
		t.Fatal(err)
	}
	if err := pi.Off(ctx); err != nil {
		t.Fatal(err)
	}
	if err := pi.Unplug(); err != nil {
		t.Fatal(err)
	}
	if err := pi.Boot(ctx); err != nil {
		t.Fatal(err)
	}
	s.within(pi, patience, infer)
	booted := s.uptime(pi)
	if err := settled(ctx, pi); err != nil {
		t.Error(err)
	}
	took("kernel's begin to serving without network", booted) // now that it has started the rest, too
	if err := pi.Plug(); err != nil {
		t.Fatal(err)
	}
	s.alive(c1, patience, "pi-1")
	if out, err := pi.Sh(ctx, "prime-spark-agent doctor --json"); !strings.Contains(out, `"node": "pi-1"`) {
		t.Errorf("doctor: %v: %s", err, out)
	}

	s.purge(ctx, pi)
}

// local is this host, as far as s.work goes.
type local struct{ guest.Box }

// work is how many seconds a shell needs to count, and to start programs: the best of
// three, as whatever else runs on the host only takes away.
func (s *site) work(m guest.Box) float64 {
	s.t.Helper()
	const count = `for round in 1 2 3; do
	begin=${EPOCHREALTIME/,/.}
	for ((i = 0; i < 10000; i++)); do :; done
	for ((i = 0; i < 10; i++)); do /bin/true; done
	echo $begin ${EPOCHREALTIME/,/.}
done`
	var out string
	if _, here := m.(local); here {
		out = s.here(count)
	} else {
		out = s.sh(m, count)
	}
	best := 0.0
	for line := range strings.Lines(out) {
		var from, to float64
		if _, err := fmt.Sscan(line, &from, &to); err != nil || to <= from {
			s.t.Fatalf("the work of a shell took %q: %v", out, err)
		}
		if best == 0 || to-from < best {
			best = to - from
		}
	}
	return best
}

// uptime is how many seconds a machine is up.
func (s *site) uptime(m guest.Box) float64 {
	s.t.Helper()
	return s.number(s.sh(m, "cut -d ' ' -f 1 /proc/uptime"))
}

func (s *site) number(text string) float64 {
	s.t.Helper()
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}
