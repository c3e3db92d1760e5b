package statedir

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"primespark/shared/problem"
)

const nobody = 65534 // Debian's user of that name

func TestGive(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI runs as root")
		}
		t.Skip("only root can give files away")
	}
	top := t.TempDir()
	dir, outside := filepath.Join(top, "state"), filepath.Join(top, "outside")
	for _, d := range []string{dir, filepath.Join(dir, "identity"), outside} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{filepath.Join(dir, "identity", "key"), filepath.Join(outside, "shadow")} {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "identity", "key")
	if err := Give(dir); err != nil {
		t.Fatal(err)
	}
	if uid, _, _ := owner(key); uid != 0 {
		t.Errorf("root's own directory: the key went to %d", uid)
	}
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if err := Give(dir); err != nil {
		t.Fatal(err)
	}
	if uid, gid, _ := owner(key); uid != nobody || gid != nobody {
		t.Errorf("the key belongs to %d:%d, want %d", uid, gid, nobody)
	}
	if uid, _, _ := owner(filepath.Join(outside, "shadow")); uid != 0 {
		t.Error("a link was followed out of the directory")
	}
	if err := Give(filepath.Join(top, "none")); err != nil {
		t.Errorf("a directory that is not there yet: %v", err)
	}
}

func TestRefuse(t *testing.T) {
	for _, test := range []struct {
		me, uid int
		refused bool
	}{{0, nobody, true}, {0, 0, false}, {nobody, nobody, false}, {nobody, 0, false}} {
		err := refuse("/var/lib/x", "prime-spark-agent", test.me, test.uid)
		if (err != nil) != test.refused {
			t.Errorf("%+v: %v", test, err)
		}
		if err != nil && (!problem.Is(err, problem.Conflict) || !strings.Contains(err.Error(), "nobody")) {
			t.Errorf("%+v: %v, want the user's name", test, err)
		}
	}
	if err := Refuse(filepath.Join(t.TempDir(), "none"), "x"); err != nil {
		t.Errorf("a directory that is not there yet: %v", err)
	}
}
