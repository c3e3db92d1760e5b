package power

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestAside: what hangs is waited for once, begun once, and done again when it is over.
func TestAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a aside
		done := make(chan struct{})
		var begun atomic.Int32
		hang := func() error { begun.Add(1); <-done; return nil }
		began := time.Now()
		for range 3 {
			if err := a.do(5*time.Second, hang); !errors.Is(err, errHangs) {
				t.Errorf("while it hangs: %v", err)
			}
		}
		if d := time.Since(began); d != 5*time.Second || begun.Load() != 1 {
			t.Errorf("waited for %v and begun %d times, want 5 s and once", d, begun.Load())
		}
		close(done)
		synctest.Wait()
		want := errors.New("read-only")
		if err := a.do(5*time.Second, func() error { return want }); !errors.Is(err, want) {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// TestABookOnADeadDisk is kept in memory, and written when the disk is back.
func TestABookOnADeadDisk(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b, err := OpenBook(dir, "a")
		if err != nil {
			t.Fatal(err)
		}
		write, back := b.write, make(chan struct{})
		b.write = func(dir, name string, data []byte) error { <-back; return write(dir, name, data) }
		began := time.Now()
		for range 4 {
			if err := b.Add(Entry{Page: Halted, Mode: ShuttingDown, By: ByBattery}, true); !errors.Is(err, errHangs) {
				t.Errorf("while it hangs: %v", err)
			}
		}
		if d := time.Since(began); d != fileTime || len(b.Entries()) != 4 {
			t.Errorf("took %v for %d entries, want %v for 4", d, len(b.Entries()), fileTime)
		}
		close(back)
		synctest.Wait()
		if err := b.Save(); err != nil {
			t.Fatal(err)
		}
		again, err := OpenBook(dir, "b")
		if err != nil || len(again.Entries()) != 4 {
			t.Errorf("the next boot finds %d entries, %v", len(again.Entries()), err)
		}
	})
}
