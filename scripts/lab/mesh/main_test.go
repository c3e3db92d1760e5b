// Package mesh_test is the lab of the mesh: hubs and edges in network namespaces,
// with the real prime-spark-mesh in each, and a flow of packets between two edges
// while hubs are cut, killed or made to forward nothing. The test itself plays the
// daemons: it makes the map and tells it.
//
//	make mesh-lab                  everything, by the program's own WireGuard, half an hour
//	make mesh-lab MESH=short       the part that CI runs
package mesh_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"primespark/scripts/lab/machine"
)

func TestMain(m *testing.M) {
	machine.Sweeper()
	flowMain()
	code := m.Run()
	if begun {
		r, err := theRun()
		if err == nil {
			err = r.End()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// labEnv says how much to run: short or full. Without it, all is skipped.
const labEnv = "PRIME_SPARK_MESH_LAB"

// programEnv names the program, where it cannot be built; backendEnv who serves
// WireGuard: user if empty.
const (
	programEnv = "PRIME_SPARK_MESH_PROGRAM"
	backendEnv = "PRIME_SPARK_MESH_WIREGUARD"
)

// either is the first in the bounded part, and the second else.
func either[T any](inShort, inFull T) T {
	if os.Getenv(labEnv) != "full" {
		return inShort
	}
	return inFull
}

var begun bool

// theRun is this process's use of the machine.
var theRun = sync.OnceValues(func() (*machine.Run, error) {
	begun = true
	return machine.Begin()
})

// program is prime-spark-mesh, built once.
var program = sync.OnceValues(func() (string, error) {
	r, err := theRun()
	if err != nil {
		return "", err
	}
	if path := os.Getenv(programEnv); path != "" {
		return path, nil
	}
	path := filepath.Join(r.Dir, "prime-spark-mesh")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", path, "./shared/meshnet/cmd/prime-spark-mesh")
	cmd.Dir = "../../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build prime-spark-mesh: %w: %s", err, out)
	}
	return path, nil
})

// begin skips the test without what it needs.
func begin(t *testing.T) {
	t.Helper()
	if os.Getenv(labEnv) == "" {
		t.Skip("the lab of the mesh is run by make mesh-lab")
	}
	var what []string
	if os.Geteuid() != 0 {
		what = append(what, "root")
	}
	for _, tool := range []string{"ip", "nft", "nsenter", "sysctl"} {
		if _, err := exec.LookPath(tool); err != nil {
			what = append(what, tool+" (apt-get install iproute2 nftables util-linux procps)")
		}
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		what = append(what, err.Error())
	}
	if len(what) > 0 {
		if os.Getenv("CI") == "true" {
			t.Fatalf("not here: %s", strings.Join(what, ", "))
		}
		t.Skipf("not here: %s", strings.Join(what, ", "))
	}
	t.Parallel() // most of a lab's time is waiting
}
