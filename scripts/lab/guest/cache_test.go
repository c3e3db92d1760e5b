package guest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRefused: a kernel that comes as far as its disk runs here; of one that does not, the
// reason is told.
func TestRefused(t *testing.T) {
	for name, test := range map[string]struct{ kernel, want string }{
		"runs":      {"#!/bin/sh\necho 'Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(98,0)' >&2\nkill -ABRT $$\n", ""},
		"forbidden": {"#!/bin/sh\necho 'Checking that ptrace can change system call numbers...check_ptrace : expected SIGTRAP, got status = 256' >&2\nexit 1\n", "got status = 256"},
	} {
		t.Run(name, func(t *testing.T) {
			cache := t.TempDir()
			t.Setenv(DirEnv, cache)
			if err := os.Mkdir(filepath.Join(cache, "kernel"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(cache, "kernel", "linux"), []byte(test.kernel), 0o755); err != nil {
				t.Fatal(err)
			}
			got := refused(t.Context())
			if fits := got == ""; fits != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("%q, want %q in it", got, test.want)
			}
		})
	}
}
