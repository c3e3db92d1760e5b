package hostmetrics

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMemoryLeft(t *testing.T) {
	for name, test := range map[string]struct {
		file string
		want int64
		ok   bool
	}{
		"told":     {"MemTotal: 8000 kB\nMemFree: 1000 kB\nMemAvailable: 6000 kB\n", 6000 << 10, true},
		"not told": {"MemTotal: 8000 kB\nMemFree: 1000 kB\n", 0, false},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "meminfo"), []byte(test.file), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := MemoryLeft(dir); got != test.want || (err == nil) != test.ok {
			t.Errorf("%s: %d, %v, want %d", name, got, err, test.want)
		}
	}
	if got, err := MemoryLeft(""); err != nil || got <= 0 {
		t.Errorf("of this host: %d, %v", got, err)
	}
}
