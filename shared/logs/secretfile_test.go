package logs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"primespark/shared/logs"
)

func TestReadSecret(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"password": "hunter2\n", "mqtt-password": "s3cret\r\n", "long": strings.Repeat("x", 5000)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		path, handed string // CREDENTIALS_DIRECTORY
		want, fault  string
	}{
		"none":                  {},
		"a file":                {path: dir + "/password", want: "hunter2"},
		"too long":              {path: dir + "/long", fault: "larger than 4096 bytes"},
		"no file":               {path: dir + "/none", fault: "no such file"},
		"a credential":          {path: "credential:mqtt-password", handed: dir, want: "s3cret"},
		"one that is not there": {path: "credential:kafka-password", handed: dir, fault: "LoadCredential=kafka-password:"},
		"not under systemd":     {path: "credential:mqtt-password", fault: "systemd has handed none"},
		"without a name":        {path: "credential:", handed: dir, fault: "give a name"},
		"up and away":           {path: "credential:../password", handed: dir, fault: "give a name"},
		"the directory":         {path: "credential:.", handed: dir, fault: "give a name"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("CREDENTIALS_DIRECTORY", test.handed)
			got, err := logs.ReadSecret(test.path)
			if got.Reveal() != test.want || (err == nil) != (test.fault == "") || err != nil && !strings.Contains(err.Error(), test.fault) {
				t.Errorf("%q, %v", got.Reveal(), err)
			}
		})
	}
}
