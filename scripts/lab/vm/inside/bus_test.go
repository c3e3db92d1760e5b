// Package inside is what runs in the guest, besides the agent: tests that need a bus of
// the kernel.
package inside

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"periph.io/x/host/v3/sysfs"

	"primespark/agent/battery/i2cdev"
)

// busEnv names the bus, as in /dev/i2c-0, on which the chip below answers.
const busEnv = "PRIME_SPARK_TEST_I2C"

// What is read of which chip: the voltage of a MAX17048, 4.1 V.
const (
	chip     = 0x36
	register = 0x02
)

var want = []byte{0xcd, 0x00}

// reads is how many are under way at a time.
const reads = 400

// TestParallelReads: of 400 parallel reads of a real bus none is wrong. periph's own bus
// hands the kernel addresses of stacks that may have moved; how many that loses is printed,
// and proves nothing when it is none.
func TestParallelReads(t *testing.T) {
	path := os.Getenv(busEnv)
	if path == "" {
		t.Skip("this runs in the guest: make vm")
	}
	number, err := strconv.Atoi(strings.TrimPrefix(path, "/dev/i2c-"))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := sysfs.NewI2C(number)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	ours := i2cdev.New(path)
	defer ours.Close()
	t.Logf("periph's bus: %s", wrong(theirs.Tx))
	// On an emulated processor the last of them waits for seconds.
	patient := func(addr uint16, w, r []byte) error { return ours.TxContext(t.Context(), addr, w, r) }
	if n := wrong(patient); n.errors+n.values > 0 {
		t.Errorf("our bus: %s", n)
	} else {
		t.Logf("our bus: %s", n)
	}
}

// A count is of reads that went wrong.
type count struct {
	errors, values int // values: without an error
	first          string
}

func (c count) String() string {
	return fmt.Sprintf("of %d parallel reads %d failed and %d were wrong without an error; the first: %q", reads, c.errors, c.values, c.first)
}

func wrong(tx func(addr uint16, w, r []byte) error) (n count) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range reads {
		wg.Go(func() {
			deep(i%60, func() {
				r := make([]byte, len(want))
				err := tx(chip, []byte{register}, r)
				if err == nil && bytes.Equal(r, want) {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if n.first == "" {
					n.first = fmt.Sprintf("%x %v", r, err)
				}
				if err != nil {
					n.errors++
				} else {
					n.values++
				}
			})
		})
	}
	wg.Wait()
	return n
}

// deep calls f with a stack that had to grow, and so to move, before.
//
//go:noinline
func deep(n int, f func()) byte {
	var pad [64]byte
	pad[n%64] = byte(n)
	if n == 0 {
		f()
		return pad[3]
	}
	return deep(n-1, f) + pad[n%64]
}
