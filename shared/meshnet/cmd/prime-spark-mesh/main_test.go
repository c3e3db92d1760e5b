//go:build linux

package main

import (
	"strings"
	"testing"

	"primespark/shared/cli"
)

func TestCommands(t *testing.T) {
	for _, fault := range cli.Faults(root()) {
		t.Error(fault)
	}
	var out, err strings.Builder
	if code := cli.Main(root(), []string{"run", "--wireguard", "magic"}, &out, &err); code != cli.Misused || !strings.Contains(err.String(), "give auto, kernel or user") {
		t.Errorf("%d %s", code, err.String())
	}
}
