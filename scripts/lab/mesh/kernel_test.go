package mesh_test

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"primespark/scripts/lab/guest"
	"primespark/scripts/lab/machine"
	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/identity/identitytest"
	"primespark/shared/mesh"
	"primespark/shared/meshnet"
)

// lanOf makes a network for machines whose kernels have WireGuard.
func lanOf(t *testing.T, ctx context.Context) (*machine.Run, *guest.LAN) {
	t.Helper()
	if os.Getenv("PRIME_SPARK_MACHINES") == "" {
		t.Skip("machines are booted by make mesh-kernel")
	}
	if missing := append(machine.Missing(), guest.MissingWireGuard()...); len(missing) > 0 {
		t.Skipf("not here: %s", strings.Join(missing, "; "))
	}
	run, err := theRun()
	must(t, err)
	lan, err := guest.NewLAN(ctx, run, "bookworm")
	must(t, err)
	t.Cleanup(lan.Close)
	return run, lan
}

// machineOf boots one of them.
func machineOf(t *testing.T, ctx context.Context) (*machine.Run, *guest.Machine) {
	t.Helper()
	run, lan := lanOf(t, ctx)
	m, err := lan.Machine("m1")
	must(t, err)
	must(t, m.Boot(ctx))
	return run, m
}

// TestUnit installs the package: the unit runs with its sandbox, makes an interface
// of the kernel when it is told to, and removing the package leaves nothing of it.
func TestUnit(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	run, m := machineOf(t, ctx)
	out := filepath.Join(run.Dir, "deb")
	cmd := exec.CommandContext(ctx, "../../../packaging/build.sh", "amd64")
	cmd.Env = append(os.Environ(), "VERSION=0.0.1", "OUT="+out)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the packages: %v\n%s", err, text)
	}
	files, err := filepath.Glob(filepath.Join(out, "prime-spark-mesh_*_amd64.deb"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v: %v", files, err)
	}
	must(t, m.Put(files[0], "mesh.deb"))
	w := meshnet.Wanted{Self: "pi-1", Ring: mesh.Ring{}, Map: mesh.Map{Version: 1, Cluster: "home"}}
	cluster := identitytest.New(t, "home")
	w.Ring, err = mesh.NewRing()
	must(t, err)
	w.Map.Prefix = mesh.Prefix(identity.CAHash(cluster.CA))
	id := mesh.URI("home", fleet.Agent, "pi-1")
	w.Map.Nodes = []mesh.Node{{Name: "pi-1", ID: id, Role: fleet.Agent, Address: mesh.NodeHost(fleet.Agent, id).In(w.Map.Prefix), Keys: w.Ring.Public()}}
	f, err := os.Create(filepath.Join(run.Dir, "wanted"))
	must(t, err)
	must(t, meshnet.Write(f, meshnet.Frame{Wanted: &w}))
	must(t, f.Close())
	must(t, m.Put(f.Name(), "wanted"))
	for _, step := range []string{
		"ip -o link >/tmp/before; ip rule >>/tmp/before; ip -6 rule >>/tmp/before; nft list tables >>/tmp/before",
		"dpkg -i /lab/mesh.deb && systemctl is-active prime-spark-mesh",
		`perl -MIO::Socket::UNIX -e 'my $s = IO::Socket::UNIX->new("/run/prime-spark-mesh/mesh.sock") or die $!; open my $f, "<", "/lab/wanted"; print $s $_ while <$f>; $s->flush; for (1..8) { print scalar <$s> }'`,
		"ip -d link show psmd | grep wireguard && nft list table inet prime-spark-mesh | grep -c drop && systemctl status prime-spark-mesh | grep Status",
		"apt-get purge -y prime-spark-mesh >/dev/null 2>&1 || dpkg --purge prime-spark-mesh",
		"ip -o link >/tmp/after; ip rule >>/tmp/after; ip -6 rule >>/tmp/after; nft list tables >>/tmp/after; diff /tmp/before /tmp/after && ! ls -d /var/lib/prime-spark-mesh",
	} {
		text, err := m.Sh(ctx, step)
		t.Logf("%s\n%s", step, text)
		if err != nil {
			why, _ := m.Sh(ctx, "journalctl -u prime-spark-mesh --no-pager | tail -20") // may say why
			t.Fatalf("%v\n%s", err, why)
		}
	}
}

// TestKernel runs this lab, and the test that a teardown leaves nothing, in a machine
// whose kernel has WireGuard, with the namespaces inside of it. KERNEL_TESTS picks tests
// of the lab, as in -run; with KERNEL_MESH=full each is run as make mesh-lab does.
func TestKernel(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Minute)
	defer cancel()
	run, m := machineOf(t, ctx)
	path, err := program()
	must(t, err)
	for name, pkg := range map[string]string{"mesh.test": ".", "device.test": "../../../shared/meshnet/device"} {
		binary := filepath.Join(run.Dir, name)
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if err := m.Put(binary, name); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Put(path, "prime-spark-mesh"); err != nil {
		t.Fatal(err)
	}
	for _, script := range []string{
		"cd /tmp && CI=true PRIME_SPARK_TEST_WIREGUARD=kernel /lab/device.test -test.v 2>&1",
		"cd /tmp && CI=true " + labEnv + "=" + cmp.Or(os.Getenv("KERNEL_MESH"), "short") + " " + programEnv + "=/lab/prime-spark-mesh " + backendEnv + "=kernel /lab/mesh.test -test.v -test.run '" + cmp.Or(os.Getenv("KERNEL_TESTS"), ".") + "' -test.parallel 1 -test.timeout 20m 2>&1",
	} {
		out, err := m.Sh(ctx, script)
		t.Log(out)
		if err != nil {
			t.Error(err)
		}
	}
}
