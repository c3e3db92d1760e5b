package nativetest_test

import (
	"testing"

	"primespark/worker/nativetest"
)

// What gcc's analyzer finds in what the workers have in common is a fault.
func TestAnalyzer(t *testing.T) { nativetest.Analyze(t, "worker/native") }
