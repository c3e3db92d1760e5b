package settings_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"primespark/coordinator/cmd/prime-spark/internal/settings"
)

func TestSaveAndLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	servers := []string{"https://10.0.0.1:7480", "https://[fd00::1]:7480"}
	if err := settings.Save(dir, servers, "s3cret", []byte("CA")); err != nil {
		t.Fatal(err)
	}
	got, err := settings.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := settings.Settings{Servers: servers, TokenFile: filepath.Join(dir, "token"), CAFile: filepath.Join(dir, "ca.crt")}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 3 {
		t.Errorf("%v, %v; want three files and nothing half-written", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", f.Name(), info.Mode(), err)
		}
	}
}

func TestLoadNothing(t *testing.T) {
	if got, err := settings.Load(t.TempDir()); err != nil || len(got.Servers) > 0 {
		t.Errorf("got %+v, %v; want empty settings", got, err)
	}
}

func TestLoadTellsAllFaults(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte("servers: [http://10.0.0.1, x]\ntokenfile: y\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := settings.Load(dir)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"servers[0]", "in the clear", "servers[1]", "no address", `did you mean "token_file"?`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %q", err, want)
		}
	}
}

func TestCheckServer(t *testing.T) {
	for server, want := range map[string]string{
		"https://10.0.0.1:7480":    "",
		"https://c1.example":       "",
		"https://c1.example/":      "",
		"http://127.0.0.1:7479":    "",
		"http://[::1]:7479":        "",
		"http://localhost:7479":    "",
		"http://10.0.0.1:7480":     "in the clear",
		"http://127.0.0.1.evil.io": "in the clear",
		"10.0.0.1:7480":            "no address",
		"ftp://10.0.0.1":           "no address",
		"https://":                 "no address",
		"":                         "no address",
		"https://a@10.0.0.1":       "more in it",
		"https://10.0.0.1/v1":      "more in it",
	} {
		err := settings.CheckServer(server)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", server, err, want)
		}
	}
}
