package nativetest_test

import (
	"testing"

	"primespark/shared/worker/nativetest"
)

// What gcc's analyzer finds in what the workers have in common is a fault.
func TestAnalyzer(t *testing.T) { nativetest.Analyze(t, "shared/worker/native") }
