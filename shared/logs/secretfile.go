package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const secretMost = 4096 // bytes

// Credential begins the name of a secret that systemd hands to a unit, in place of a
// path: credential:mqtt-password (systemd.exec(5), LoadCredential).
const Credential = "credential:"

// SecretPath is the file that a secret's path in a configuration means.
func SecretPath(path string) (string, error) {
	name, handed := strings.CutPrefix(path, Credential)
	if !handed {
		return path, nil
	}
	if name == "" || name != filepath.Base(name) || name == ".." || name == "." {
		return "", fmt.Errorf("secret %q: give a name after %q, as in %smqtt-password", path, Credential, Credential)
	}
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	file := filepath.Join(dir, name)
	if _, err := os.Stat(file); dir == "" || errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("secret %q: systemd has handed none of that name over: put it into /etc/credstore, as systemctl cat of the unit says (LoadCredential=%s:), or name a file", path, name)
	}
	return file, nil
}

// ReadSecret reads the file that holds a secret alone, a line end aside, or a
// credential. An empty path is no secret.
func ReadSecret(path string) (Secret, error) {
	if path == "" {
		return "", nil
	}
	path, err := SecretPath(path)
	if err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read a secret: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, secretMost+1))
	if err != nil {
		return "", fmt.Errorf("read a secret: %w", err)
	}
	if len(b) > secretMost {
		return "", fmt.Errorf("read a secret: %s is larger than %d bytes; it should hold the secret alone", path, secretMost)
	}
	return Secret(bytes.TrimRight(b, "\r\n")), nil
}
