package logs

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

const secretMost = 4096 // bytes

// ReadSecret reads the file that holds a secret alone, a line end aside. An empty
// path is no secret.
func ReadSecret(path string) (Secret, error) {
	if path == "" {
		return "", nil
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
