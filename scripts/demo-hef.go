//go:build ignore

// Command demo-hef writes HEF files without a real network into a folder, for the
// demo on the double of HailoRT's library.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"primespark/hailo/hef/synth"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: demo-hef FOLDER")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "demo-hef:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "yolov8s_h8.hef"), synth.Detector("yolov8s", 640, 80, 100).Bytes(), 0o644)
}
