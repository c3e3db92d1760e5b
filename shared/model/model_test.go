package model_test

import (
	"strings"
	"testing"

	"primespark/shared/model"
)

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"blazeface": true, "mobilenet-v2-1.0_224": true, "0": true, strings.Repeat("a", 64): true,
		"": false, ".": false, "..": false, "../etc": false, "a/b": false, "A": false, "-a": false,
		strings.Repeat("a", 65): false, "a\x00": false, "a%2e": false,
	} {
		if got := model.ValidName(name); got != want {
			t.Errorf("ValidName(%q) = %v, want %v", name, got, want)
		}
	}
}
