package figures_test

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// proc reads a file of a process below /proc.
func proc(b *testing.B, pid int, name string) string {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
	if err != nil {
		b.Fatal(err)
	}
	return string(text)
}

// number reads a number that stands behind a label at the beginning of a line.
func number(b *testing.B, text, label string) int {
	b.Helper()
	m := regexp.MustCompile(`(?m)^` + label + `:\s+(\d+)`).FindStringSubmatch(text)
	if m == nil {
		b.Fatalf("there is no %s in %q", label, text)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// resident is the memory of a process, in MiB (VmRSS of proc(5)).
func resident(b *testing.B, pid int) float64 {
	b.Helper()
	return float64(number(b, proc(b, pid, "status"), "VmRSS")) / 1024
}

// written is what a process had written to disks, in bytes.
func written(b *testing.B, pid int) int {
	b.Helper()
	return number(b, proc(b, pid, "io"), "write_bytes")
}

// used is the time of the processor that a process has taken (proc(5), fields 14
// and 15 of stat, in hundredths of a second).
func used(b *testing.B, pid int) (sum time.Duration) {
	b.Helper()
	_, rest, _ := strings.Cut(proc(b, pid, "stat"), ") ")
	for _, f := range strings.Fields(rest)[11:13] {
		ticks, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(ticks) * 10 * time.Millisecond
	}
	return sum
}

// times is how often something is done: as a variable of the environment says, or
// as usual.
func times(b *testing.B, variable string, usual int) int {
	b.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		b.Fatalf("%s is %q; give a number such as %d", variable, text, usual)
	}
	return n
}
