package mesh_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"primespark/scripts/lab/guest"
)

// mostIdle is what an agent may have in memory that is in the mesh by its kernel's
// WireGuard and has nothing to do, in KiB.
const mostIdle = 35 << 10

// TestIdle has a coordinator on one machine and an agent on another one, with their
// real daemons, join the mesh by the kernels' WireGuard, and looks at the memory of the
// agent when it has been idle for a while. Then its mesh is switched off, and nothing
// of it is left.
func TestIdle(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	run, lan := lanOf(t, ctx)
	bin := filepath.Join(run.Dir, "idle-bin")
	must(t, os.Mkdir(bin, 0o755))
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", bin+"/",
		"./coordinator/cmd/prime-spark-coordinator", "./coordinator/cmd/prime-spark", "./agent/cmd/prime-spark-agent", "./shared/meshnet/cmd/prime-spark-mesh")
	cmd.Dir = "../../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	boot := func(name string, programs ...string) *guest.Machine {
		m, err := lan.Machine(name)
		must(t, err)
		for _, p := range programs {
			must(t, m.Put(filepath.Join(bin, p), p))
		}
		must(t, m.Boot(ctx))
		return m
	}
	sh := func(m *guest.Machine, script string) string {
		t.Helper()
		out, err := m.Sh(ctx, script)
		if err != nil {
			log, _ := os.ReadFile(m.Shared("log")) // says more, if it is there
			t.Fatalf("%v\n%s", err, log)
		}
		return out
	}
	const begin = " setsid %s >>/lab/log 2>&1 &\nexit 0"
	start := func(m *guest.Machine, line string) {
		t.Helper()
		sh(m, strings.Replace(begin, "%s", line, 1))
	}
	const helper = "/lab/prime-spark-mesh run --state /var/lib/mesh --socket " + helperAt + " --wireguard kernel"
	const common = "\nstate_dir: /var/lib/ps\nmesh: {enabled: true, socket: " + helperAt + "}\n"

	c, a := boot("c1", "prime-spark-coordinator", "prime-spark", "prime-spark-mesh"), boot("pi-1", "prime-spark-agent", "prime-spark-mesh")
	sh(a, marks+" >/tmp/before")
	for _, m := range []*guest.Machine{c, a} {
		start(m, helper)
	}
	sh(c, "mkdir -p /var/lib/ps && cat >/etc/ps.yaml <<'END'\nname: c1"+common+"http: {loopback: \"127.0.0.1:7479\", loopback_role: operator}\nEND\n/lab/prime-spark-coordinator init --cluster home --json --config /etc/ps.yaml | sed -n 's/.*\"token\": *\"\\([^\"]*\\)\".*/\\1/p' >/etc/ps.token && [ -s /etc/ps.token ]")
	start(c, "/lab/prime-spark-coordinator run --config /etc/ps.yaml")
	sh(c, "for i in $(seq 300); do curl -sf http://127.0.0.1:7479/readyz >/dev/null && exit 0; sleep 0.2; done; exit 1")
	var made struct {
		Code string `json:"code"`
	}
	must(t, json.Unmarshal([]byte(sh(c, "/lab/prime-spark join-code create --role agent --server http://127.0.0.1:7479 --token-file /etc/ps.token --json")), &made))
	sh(a, "mkdir -p /var/lib/ps && cat >/etc/ps.yaml <<'END'\nname: pi-1"+common+"http: {socket: /run/agent.sock}\nEND\n/lab/prime-spark-agent join "+made.Code+" --config /etc/ps.yaml")
	start(a, "/lab/prime-spark-agent run --config /etc/ps.yaml")
	sh(a, `for i in $(seq 300); do curl -s --unix-socket /run/agent.sock http://agent/v1/node | grep -q '"hub": *"c1"' && exit 0; sleep 0.2; done; curl -s --unix-socket /run/agent.sock http://agent/v1/node; exit 1`)
	if out := sh(a, "ip -d link show psm0"); !strings.Contains(out, "wireguard") {
		t.Errorf("not the kernel's: %s", out)
	}
	time.Sleep(time.Minute) // of nothing to do
	resident := regexp.MustCompile(`VmRSS:\s+(\d+) kB`)
	for _, program := range []string{"prime-spark-agent", "prime-spark-mesh"} {
		text := sh(a, "grep VmRSS /proc/$(pgrep -of 'lab/"+program+" run')/status")
		found := resident.FindStringSubmatch(text)
		if found == nil {
			t.Fatalf("%s: %q", program, text)
		}
		kib, err := strconv.Atoi(found[1])
		must(t, err)
		t.Logf("%s, idle in the mesh by the kernel's WireGuard: %.1f MiB", program, float64(kib)/1024)
		if program == "prime-spark-agent" && kib > mostIdle {
			t.Errorf("%d KiB are more than %d", kib, mostIdle)
		}
	}

	sh(a, "pkill -f 'prime-spark-agent run'; for i in $(seq 100); do pgrep -f 'prime-spark-agent run' >/dev/null || break; sleep 0.1; done; sed -i 's/enabled: true/enabled: false/' /etc/ps.yaml")
	start(a, "/lab/prime-spark-agent run --config /etc/ps.yaml")
	sh(a, marks+" >/tmp/after; for i in $(seq 300); do "+marks+" >/tmp/after; diff /tmp/before /tmp/after >/dev/null && [ ! -e /var/lib/ps/identity/mesh.keys ] && exit 0; sleep 0.2; done; ls /var/lib/ps /var/lib/ps/identity; diff /tmp/before /tmp/after")
	var view struct {
		Nodes []struct {
			Name string `json:"name"`
		} `json:"nodes"`
	}
	must(t, json.Unmarshal([]byte(sh(c, "/lab/prime-spark mesh --server http://127.0.0.1:7479 --token-file /etc/ps.token --json")), &view))
	if len(view.Nodes) != 1 || view.Nodes[0].Name != "c1" {
		t.Errorf("pi-1's mesh is switched off, and in the map are %+v", view.Nodes)
	}
}
