package config

import (
	"strings"
	"testing"
)

func TestBackup(t *testing.T) {
	key := "age1" + strings.Repeat("q", 58)
	for name, test := range map[string]struct{ yaml, want string }{
		"good":            {"{dir: /nas, recipient: " + key + "}", ""},
		"a key alone":     {"{recipient: " + key + "}", ""},
		"none":            {"{}", ""},
		"no key":          {"{dir: /nas}", "backups are never written in the clear"},
		"a private key":   {"{recipient: AGE-SECRET-KEY-1XYZ}", "is a private key"},
		"not a key":       {"{recipient: age1o}", "not a public key"},
		"a relative path": {"{dir: nas, recipient: " + key + "}", "not an absolute path"},
		"too often":       {"{every: 1s}", "backup.every"},
		"none to keep":    {"{keep: 0}", "backup.keep: 0 is not between"},
	} {
		_, err := Parse([]byte("name: c1\nbackup: " + test.yaml + "\n"))
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "XYZ")):
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}
