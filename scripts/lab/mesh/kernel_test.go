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
)

// TestKernel runs this lab, and the test that a teardown leaves nothing, in a machine
// whose kernel has WireGuard, with the namespaces inside of it.
func TestKernel(t *testing.T) {
	if os.Getenv("PRIME_SPARK_MACHINES") == "" {
		t.Skip("machines are booted by make mesh-kernel")
	}
	if missing := append(machine.Missing(), guest.Missing()...); len(missing) > 0 {
		t.Skipf("not here: %s", strings.Join(missing, "; "))
	}
	run, err := theRun()
	if err != nil {
		t.Fatal(err)
	}
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Minute)
	defer cancel()
	lan, err := guest.NewLAN(ctx, run, "bookworm")
	if err != nil {
		t.Fatal(err)
	}
	defer lan.Close()
	m, err := lan.Machine("m1")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Boot(ctx); err != nil {
		t.Fatal(err)
	}
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
		"cd /tmp && CI=true " + labEnv + "=short " + programEnv + "=/lab/prime-spark-mesh " + backendEnv + "=kernel /lab/mesh.test -test.v -test.run '" + cmp.Or(os.Getenv("KERNEL_TESTS"), ".") + "' -test.parallel 1 -test.timeout 20m 2>&1",
	} {
		out, err := m.Sh(ctx, script)
		t.Log(out)
		if err != nil {
			t.Error(err)
		}
	}
}
