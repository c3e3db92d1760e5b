// Package settings is where the operator's command line keeps whom it talks to:
// the addresses of the coordinators, the token, and the certificate authority of
// the cluster, which alone it trusts.
package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"primespark/shared/conf"
	"primespark/shared/problem"
)

// maxCA bounds a file of certificates, in bytes.
const maxCA = 256 << 10

// Settings are what config.yaml holds. Paths that are not absolute are taken
// from the file's directory.
type Settings struct {
	Servers   []string `yaml:"servers"`    // https://10.0.0.1:7480; any of them will do
	TokenFile string   `yaml:"token_file"` // holds the token alone
	CAFile    string   `yaml:"ca_file"`    // PEM; without it the system's authorities are trusted
}

// Dir is the directory of the settings: ~/.config/prime-spark, or below
// XDG_CONFIG_HOME.
func Dir() (string, error) {
	base, err := os.UserConfigDir()
	if err != nil {
		return "", problem.New(problem.Invalid, "Set HOME, or give --server, --token-file and --ca-file.",
			"There is no place for settings: neither HOME nor XDG_CONFIG_HOME is set.")
	}
	return filepath.Join(base, "prime-spark"), nil
}

// Load reads dir/config.yaml. Without that file, the settings are empty.
func Load(dir string) (Settings, error) {
	var s Settings
	path := filepath.Join(dir, "config.yaml")
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("read the settings: %w", err)
	}
	file := conf.Decode(raw, &s)
	for i, server := range s.Servers {
		if err := CheckServer(server); err != nil {
			file.Bad(fmt.Sprintf("servers[%d]", i), "%v", err)
		}
	}
	if err := file.Err(); err != nil {
		return Settings{}, &problem.Error{
			Code: problem.Invalid, Err: err,
			Detail: fmt.Sprintf("The settings in %s are wrong.", path),
			Remedy: "Correct them, or write them anew with prime-spark login.",
		}
	}
	s.TokenFile, s.CAFile = from(dir, s.TokenFile), from(dir, s.CAFile)
	return s, nil
}

func from(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// Save writes servers, token and authority below dir, for this user's eyes only.
// An empty ca means that the system's authorities are trusted.
func Save(dir string, servers []string, token string, ca []byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of the settings: %w", err)
	}
	var b strings.Builder
	b.WriteString("# Written by prime-spark login.\nservers:\n")
	for _, s := range servers {
		b.WriteString("  - " + strconv.Quote(s) + "\n") // a quoted Go string of a URL is one of YAML, too
	}
	b.WriteString("token_file: token\n")
	if len(ca) > 0 {
		b.WriteString("ca_file: ca.crt\n")
		if err := write(dir, "ca.crt", ca); err != nil {
			return err
		}
	}
	if err := write(dir, "token", []byte(token+"\n")); err != nil {
		return err
	}
	return write(dir, "config.yaml", []byte(b.String()))
}

// write replaces a file whole, with mode 0600 from the start.
func write(dir, name string, data []byte) error {
	f, err := os.CreateTemp(dir, "."+name+"-*") // CreateTemp gives 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Join(dir, name), err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", filepath.Join(dir, name), err), os.Remove(f.Name()))
	}
	return nil
}
