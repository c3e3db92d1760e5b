package machine_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"primespark/scripts/lab/machine"
)

func TestMain(m *testing.M) {
	machine.Sweeper()
	os.Exit(m.Run())
}

// begin starts a run that the test ends.
func begin(t *testing.T) *machine.Run {
	t.Helper()
	if what := machine.Missing(); len(what) > 0 {
		if os.Getenv("CI") == "true" {
			t.Fatalf("not here: %s", strings.Join(what, ", "))
		}
		t.Skipf("not here: %s", strings.Join(what, ", "))
	}
	r, err := machine.Begin()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.End(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(r.Dir); !os.IsNotExist(err) {
			t.Errorf("the run's directory is still there: %v", err)
		}
	})
	return r
}

func TestCutsAreOneWayOrBoth(t *testing.T) {
	r := begin(t)
	n, err := r.Net()
	if err != nil {
		t.Fatal(err)
	}
	var hosts [2]*machine.Host
	for i := range hosts {
		if hosts[i], err = n.Host(); err != nil {
			t.Fatal(err)
		}
	}
	a, b := hosts[0], hosts[1]
	got := received(t, a, b, b, a)
	if got != "11" {
		t.Fatalf("before any cut: %s, want all received", got)
	}
	if err := b.Deafen(a); err != nil {
		t.Fatal(err)
	}
	if got := received(t, a, b, b, a); got != "01" {
		t.Errorf("b deaf to a: %s, want 01", got)
	}
	if err := n.Heal(); err != nil {
		t.Fatal(err)
	}
	if err := a.Cut(b); err != nil {
		t.Fatal(err)
	}
	if got := received(t, a, b, b, a); got != "00" {
		t.Errorf("cut: %s, want 00", got)
	}
	if err := n.Heal(); err != nil {
		t.Fatal(err)
	}
	if got := received(t, a, b, b, a); got != "11" {
		t.Errorf("healed: %s, want 11", got)
	}
}

// received sends a datagram from the first to the second host, and from the third
// to the fourth, and writes a 1 for each that arrived.
func received(t *testing.T, pairs ...*machine.Host) (digits string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		from, to := pairs[i], pairs[i+1]
		before := datagrams(t, to)
		send := from.Under("bash", "-c", "echo x > /dev/udp/"+to.Address+"/9")
		if out, err := exec.Command(send[0], send[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("send: %v: %s", err, out)
		}
		digits += map[bool]string{true: "1", false: "0"}[datagrams(t, to) != before]
	}
	return digits
}

// datagrams is what the host's kernel counts of UDP to ports where nobody listens.
func datagrams(t *testing.T, h *machine.Host) string {
	t.Helper()
	time.Sleep(20 * time.Millisecond)
	line := h.Under("grep", "Udp:", "/proc/net/snmp")
	out, err := exec.Command(line[0], line[1:]...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(bytes.Split(out, []byte("\n"))[1]))[2] // NoPorts
}

func TestPowerCutLosesWhatWasNotFlushed(t *testing.T) {
	d, err := begin(t).Disk("d")
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, flush bool) {
		t.Helper()
		f, err := os.Create(filepath.Join(d.Dir, name))
		if err == nil {
			_, err = f.WriteString(name)
		}
		if err == nil && flush {
			err = f.Sync()
		}
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	write("flushed", true)
	write("not", false)
	if err := d.Cut(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.Dir, "late"), nil, 0o600); err == nil {
		t.Error("a disk without power takes a file")
	}
	if err := d.Restore(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(d.Dir, "flushed")); err != nil || string(got) != "flushed" {
		t.Errorf("flushed: %q, %v", got, err)
	}
	if got, err := os.ReadFile(filepath.Join(d.Dir, "not")); err == nil && string(got) == "not" {
		t.Error("what was not flushed survived the power cut")
	}
}

func TestFullAndFrozenDisks(t *testing.T) {
	d, err := begin(t).Disk("d")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(d.Dir, "file")
	if err := d.Fill(0); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk: %v", err)
	}
	if err := d.Empty(); err != nil {
		t.Fatal(err)
	}
	if err := d.Freeze(); err != nil {
		t.Fatal(err)
	}
	wrote := make(chan error, 1)
	go func() { wrote <- os.WriteFile(file, []byte("x"), 0o600) }()
	select {
	case err := <-wrote:
		t.Errorf("a frozen disk took a file: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	if err := d.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := <-wrote; err != nil {
		t.Errorf("a thawed disk: %v", err)
	}
	d.Slow(200*time.Millisecond, 5*time.Millisecond)
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	// How many writes fit between two freezes is the host's affair; sooner or later one
	// meets a freeze, and waits for it to end.
	for start, waited := time.Now(), false; !waited; {
		begun := time.Now()
		if _, err := fmt.Fprintln(f, begun); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		waited = time.Since(begun) >= 150*time.Millisecond
		if time.Since(start) > 30*time.Second {
			t.Fatal("no flushed write to a slow disk waited")
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Quick(); err != nil {
		t.Fatal(err)
	}
}

// TestSweepAfterAKill kills a run that has one of everything, its disk frozen, and
// sees it removed.
func TestSweepAfterAKill(t *testing.T) {
	begin(t) // for what is missing
	victim := exec.Command(os.Args[0], "-test.run=^TestVictim$", "-test.v")
	victim.Env = append(os.Environ(), victimMark+"=1")
	out, err := victim.StdoutPipe()
	if err == nil {
		err = victim.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var dir string
	for dir == "" && lines.Scan() {
		if at, ok := strings.CutPrefix(lines.Text(), "dir: "); ok {
			dir = at
		}
	}
	if err := victim.Process.Kill(); err != nil || dir == "" {
		t.Fatalf("the victim has not begun: %v", err)
	}
	_ = victim.Wait() // its error is that it was killed
	id := filepath.Base(dir)
	left := func() (all []string) {
		for _, pattern := range []string{dir, "/run/netns/" + id + ".*", "/sys/class/net/" + id + ".*"} {
			some, err := filepath.Glob(pattern)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, some...)
		}
		return all
	}
	for end := time.Now().Add(10 * time.Second); len(left()) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("left behind: %q", left())
		}
	}
}

const victimMark = "PRIME_SPARK_LAB_VICTIM"

// TestVictim is the run that TestSweepAfterAKill kills.
func TestVictim(t *testing.T) {
	if os.Getenv(victimMark) == "" {
		t.Skip("it is for another test to kill")
	}
	r, err := machine.Begin()
	if err != nil {
		t.Fatal(err)
	}
	d, err := r.Disk("d")
	if err == nil {
		err = d.Freeze()
	}
	if err != nil {
		t.Fatal(err)
	}
	n, err := r.Net()
	if err == nil {
		_, err = n.Host()
	}
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("dir:", r.Dir)
	select {}
}
