package consensus

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// Payloads of different shapes: within a sector, over several blocks, full of
// zeros, empty, and as long as a sector's body.
func payloads() [][]byte {
	return [][]byte{
		[]byte("one"), bytes.Repeat([]byte("two."), 1200), make([]byte, 3000),
		{},
		bytes.Repeat([]byte{startMark}, bodySize-batchHead), append(make([]byte, 1500), "end"...),
	}
}

// writtenJournal is a journal of a generation with batches and room left.
func writtenJournal(generation uint64, all [][]byte) []byte {
	var file []byte
	for i, p := range all {
		file = append(file, encodeBatch(generation, uint64(i), p)...)
	}
	return append(file, make([]byte, 5*blockSize)...)
}

func TestJournalIsReadAsWritten(t *testing.T) {
	file := writtenJournal(7, payloads())
	got, err := readJournal(file, 7)
	if err != nil || !slices.EqualFunc(got, payloads(), bytes.Equal) {
		t.Errorf("%d batches, %v; want %d as written", len(got), err, len(payloads()))
	}
	if got, err := readJournal(file, 8); len(got) != 0 || err != nil {
		t.Errorf("of the next generation there are %d batches, %v; want none", len(got), err)
	}
	if _, err := readJournal(file, 6); err == nil {
		t.Error("batches of a later generation are passed over")
	}
}

// TestPowerCutWhileAppending cuts each batch at each byte, and loses any of its
// sectors: what was acknowledged before it is read, and nothing besides save the
// batch itself where all of it is there.
func TestPowerCutWhileAppending(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for last := range payloads() {
		all := payloads()[:last+1]
		file := writtenJournal(7, all)
		batch := len(encodeBatch(7, 0, all[last]))
		at := len(file) - 5*blockSize - batch
		check := func(file []byte, what string) {
			got, err := readJournal(file, 7)
			if err != nil {
				t.Fatalf("batch %d, %s: %v", last, what, err)
			}
			if n := len(got); n != last && n != last+1 || !slices.EqualFunc(got, all[:n], bytes.Equal) {
				t.Fatalf("batch %d, %s: %d batches are read, or not as they were written", last, what, n)
			}
		}
		torn := slices.Clone(file)
		for cut := batch - 1; cut >= 0; cut-- {
			torn[at+cut] = 0
			check(torn, fmt.Sprintf("cut at byte %d", cut))
		}
		for range 200 {
			torn := slices.Clone(file)
			for sector := at; sector < at+batch; sector += sectorSize {
				if r.IntN(2) == 0 {
					clear(torn[sector : sector+sectorSize])
				}
			}
			check(torn, "sectors lost")
		}
	}
}

// TestPowerCutWhileWiping cuts the wiping of an older generation: nothing of it is
// taken for one of the new.
func TestPowerCutWhileWiping(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	check := func(file []byte, what string) {
		if got, err := readJournal(file, 8); len(got) != 0 || err != nil {
			t.Fatalf("%s: %d batches, %v; want none", what, len(got), err)
		}
	}
	file := writtenJournal(7, payloads())
	for range 500 {
		some := slices.Clone(file)
		for at := 0; at < len(file); at += sectorSize {
			if r.IntN(2) == 0 {
				clear(some[at : at+sectorSize])
			}
		}
		check(some, "sectors wiped")
	}
	for at := range file {
		file[at] = 0
		check(file, fmt.Sprintf("wiped up to byte %d", at))
	}
}

// TestFlipsInTheJournalAreNoticed flips a bit of each byte of a journal, the last
// batch included: it is refused, or its content is as it was.
func TestFlipsInTheJournalAreNoticed(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := 1; n <= len(payloads()); n++ {
		all := payloads()[:n]
		file := writtenJournal(7, all)
		noticed := 0
		for at := range file[:len(file)-5*blockSize] {
			was := file[at]
			file[at] ^= 1 << r.IntN(8)
			got, err := readJournal(file, 7)
			switch {
			case err != nil:
				noticed++
			case !slices.EqualFunc(got, all, bytes.Equal):
				t.Fatalf("%d batches, byte %d: the content changed and nobody noticed", n, at)
			}
			file[at] = was
		}
		least := 0
		for _, p := range all {
			least += batchHead + len(p)
		}
		if noticed < least {
			t.Errorf("%d batches: %d flips noticed, want at least %d, all in heads and payloads", n, noticed, least)
		}
	}
}

// TestLostBatch wipes one batch after another in the middle: none is taken for the
// end of the journal.
func TestLostBatch(t *testing.T) {
	all := payloads()
	file := writtenJournal(7, all)
	at := 0
	for i, p := range all[:len(all)-1] {
		size := batchSize(len(p))
		lost := slices.Clone(file)
		clear(lost[at : at+size])
		if _, err := readJournal(lost, 7); err == nil {
			t.Errorf("batch %d is wiped, and nobody noticed", i)
		}
		copy(lost[at:], encodeBatch(6, uint64(i), p))
		if got, err := readJournal(lost, 7); err == nil && i > 0 {
			t.Errorf("batch %d is of another generation, and %d batches are read", i, len(got))
		}
		copy(lost[at:], encodeBatch(7, uint64(i)+1, p))
		if _, err := readJournal(lost, 7); err == nil {
			t.Errorf("batch %d has another number, and nobody noticed", i)
		}
		at += size
	}
}

func FuzzReadJournal(f *testing.F) {
	f.Add(writtenJournal(7, payloads()[:2]), uint32(600), []byte{1, 2, 3})
	f.Add(encodeBatch(7, 0, appendChange(nil, change{key: []byte("k"), record: []byte("12345")})), uint32(0), []byte{})
	f.Fuzz(func(t *testing.T, b []byte, at uint32, patch []byte) {
		if len(b) > 0 {
			copy(b[int(at)%len(b):], patch)
		}
		all, err := readJournal(b, 7)
		if err != nil {
			return
		}
		total := 0
		for _, p := range all {
			total += batchSize(len(p))
			for len(p) > 0 { // shrinks, or is refused
				c, rest, err := readChange(p)
				if err != nil {
					break
				}
				if len(c.key)+len(c.record) >= len(p) || len(rest) >= len(p) {
					t.Fatal("a change is longer than what it was read from")
				}
				p = rest
			}
		}
		if total > len(b) {
			t.Fatalf("batches of %d bytes are read from %d", total, len(b))
		}
	})
}
