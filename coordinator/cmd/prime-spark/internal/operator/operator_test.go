package operator

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"primespark/shared/cli"
	"primespark/shared/fleet"
	"primespark/shared/testphoto"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"prime-spark": func() { os.Exit(cli.Main(Root(), os.Args[1:], os.Stdout, os.Stderr)) },
	})
}

// TestScripts types every command, the good way and then the slips.
func TestScripts(t *testing.T) {
	ca, serve := authority(t, "spark")
	other, _ := authority(t, "other")
	pets := petsTar(t)
	env := map[string]string{
		"SERVER":   serve(fleet.Coordinator, coordinator()),
		"AGENT":    serve(fleet.Agent, coordinator()),
		"NOQUORUM": serve(fleet.Coordinator, http.HandlerFunc(noQuorum)),
		"NOBODY":   "https://127.0.0.1:1",
		"TZ":       "UTC",
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			for k, v := range env {
				e.Setenv(k, v)
			}
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("XDG_CONFIG_HOME", filepath.Join(e.WorkDir, ".config"))
			for name, data := range map[string][]byte{
				"ca.crt": ca, "other.crt": other, "token": []byte("good\n"), "wrong": []byte("bad\n"), "photo.jpg": testphoto.Astronaut(), "pets.tar": pets, "half.tar": pets[:len(pets)/2],
			} {
				if err := os.WriteFile(filepath.Join(e.WorkDir, name), data, 0o600); err != nil {
					return err
				}
			}
			return settle(e.WorkDir, env["SERVER"])
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"mode": mode},
	})
}

// settle writes the settings that most scripts begin with.
func settle(home, server string) error {
	dir := filepath.Join(home, ".config", "prime-spark")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	text := "servers: [" + server + "]\ntoken_file: " + home + "/token\nca_file: ../../ca.crt\n"
	return os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(text), 0o600)
}

// mode checks the permissions of a file: mode 0600 FILE.
func mode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode MODE FILE")
	}
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := info.Mode().String(); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}
