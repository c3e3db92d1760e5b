package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"primespark/hailo/hef/synth"
	"primespark/shared/cli/clitest"
	"primespark/shared/testphoto"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"prime-spark-agent": main})
}

func TestHelp(t *testing.T) { clitest.Help(t, root) }

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			hef := synth.Detector("yolo", 640, 80, 100).Bytes()
			for name, content := range map[string][]byte{
				"photo.jpg": testphoto.Astronaut(), "yolo.hef": hef, "cut.hef": hef[:1000],
				"board.yaml": fmt.Appendf(nil, "name: pi-1\ni2c: {bus: %[1]s/registers}\nbattery: {nut: {server: 127.0.0.1:1}, line: {chip: %[1]s/mains}}\n", env.WorkDir),
			} {
				if err := os.WriteFile(filepath.Join(env.WorkDir, name), content, 0o600); err != nil {
					return err
				}
			}
			return nil
		},
	})
}
