package onnx

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// FuzzRead holds the reader to its promise: no panic, and memory bounded by a small
// multiple of the file. The models of the other tests are seeds where they are there.
func FuzzRead(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x08\x07\x42\x02\x10\x0d\x3a\x00"))
	f.Add([]byte("\x42\x02\x10\x0d\x3a\x14\x0a\x09\x0a\x01x\x12\x01y\x22\x01R\x5a\x03\x0a\x01x\x62\x02\x0a\x00"))
	seeds, err := filepath.Glob("/usr/share/libonnx-testdata/data/node/test_re*/model.onnx")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range seeds {
		if b, err := os.ReadFile(name); err == nil {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, err := Read(b)
		runtime.ReadMemStats(&after)
		// Slices grow by doubling, so what was allocated in all is a few times what is kept.
		if took := after.TotalAlloc - before.TotalAlloc; took > 500*uint64(len(b))+1<<20 {
			t.Fatalf("%d bytes of file took %d bytes of memory", len(b), took)
		}
		if err != nil {
			return
		}
		for _, c := range m.Graph.Inits {
			// Either may fail; neither may panic, or make more than the data that is there.
			if v, err := c.Float32s(); err == nil && len(v) > len(b) {
				t.Fatalf("%d elements out of %d bytes", len(v), len(b))
			}
			if v, err := c.Int64s(); err == nil && len(v) > len(b) {
				t.Fatalf("%d elements out of %d bytes", len(v), len(b))
			}
		}
	})
}
