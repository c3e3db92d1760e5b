package packages_test

import (
	"path/filepath"
	"testing"

	"primespark/agent/onnxruntime/orttest"
)

// worker is the process of ONNX Runtime's worker in its unit, in a script for a machine.
const worker = `worker() { systemctl show -p MainPID --value 'prime-spark-ort-worker@*.service' | grep -v '^0*$' | tail -n 1; }
look() { prime-spark-agent infer /lab/photo.jpg | grep onnxruntime; }
node() { curl -fsS --unix-socket /run/prime-spark/agent.sock http://localhost/v1/node; }
`

// TestWorkerUnits: inference by ONNX Runtime on a machine whose systemd starts the worker
// in a unit of its own, with nothing of the host in it; what hangs in it systemd ends.
func TestWorkerUnits(t *testing.T) {
	r := begin(t)
	kit, _ := orttest.Real(t)
	packages := build(t, "0.0.1", "amd64")
	lan := network(t.Context(), t, r, "bookworm")
	s := &site{t: t}
	m := s.add(lan, "m1")
	for name, file := range map[string]string{"photo.jpg": filepath.Join("..", "..", "..", "shared", "testphoto", "astronaut.jpg"), "libonnxruntime.so.1": kit.Library} {
		if err := m.Put(file, name); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := install(t.Context(), m, packages, "prime-spark-agent"); err != nil {
		t.Fatal(err)
	}
	s.sh(m, `install -m 0644 /lab/libonnxruntime.so.1 /usr/local/lib/
sed -i 's/^  engines: \[\]/  engines: [onnxruntime, builtin]/' /etc/prime-spark/agent.yaml
grep -q 'engines: \[onnxruntime' /etc/prime-spark/agent.yaml && systemctl restart prime-spark-agent`)
	s.within(m, patience, worker+"look && node | grep -q '\"unit\": *\"prime-spark-ort-worker\"'")

	// It is another user, without network, devices and the agent's files; only the agent
	// and root may ask for one.
	s.sh(m, worker+`set -e
no() { echo "$*"; exit 1; }
pid=$(worker)
[ "$(stat -c %U /proc/$pid)" = prime-spark-worker ] || no "the user is $(stat -c %U /proc/$pid)"
[ "$(readlink /proc/$pid/ns/net)" != "$(readlink /proc/1/ns/net)" ] || no 'it has the network of the host'
[ -e /proc/$pid/root/dev/null ] || no 'it has no devices at all'
[ ! -e /proc/$pid/root/dev/ubda ] || no 'it has the disk'
ls /var/lib/prime-spark/agent
if nsenter -t $pid -m -S "$(id -u prime-spark-agent)" -G "$(id -g prime-spark-agent)" ls /var/lib/prime-spark/agent; then no 'it has the files of the agent'; fi
grep -q '^CapBnd:[[:space:]]*0*$' /proc/$pid/status || no 'it has capabilities'
[ "$(stat -c '%U %G %a' /run/prime-spark-worker/prime-spark-ort-worker.socket)" = 'root prime-spark-agent 660' ] || no 'others may ask for one'`)

	// One that is killed, and one that hangs as a whole, are replaced; systemd's watchdog
	// ends the latter.
	for _, signal := range []string{"KILL", "STOP"} {
		before := s.sh(m, worker+"worker")
		s.sh(m, "kill -"+signal+" "+before)
		s.within(m, patience, worker+"look && ! [ -e /proc/"+before+" ] && [ -n \"$(worker)\" ] && [ \"$(worker)\" != "+before+" ]")
	}

	// Without the socket it is a child of the agent's.
	s.sh(m, worker+"systemctl stop prime-spark-ort-worker.socket && kill -KILL $(worker)")
	s.within(m, patience, worker+"look && ! node | grep -q '\"unit\":' && [ -z \"$(worker)\" ]")
	// A start of the agent brings it back; its stop ends the worker.
	s.sh(m, "systemctl restart prime-spark-agent")
	s.within(m, patience, worker+"look && [ -n \"$(worker)\" ]")
	s.sh(m, "systemctl stop prime-spark-agent")
	s.within(m, patience, worker+"[ -z \"$(worker)\" ]")
	if got := s.sh(m, "systemctl --failed --no-legend"); got != "" {
		t.Errorf("units that failed:\n%s", got)
	}
	s.purge(t.Context(), m)
}
