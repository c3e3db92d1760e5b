package health_test

import (
	"strings"
	"testing"

	"primespark/shared/health"
)

// TestExplain: each code has a sentence and a remedy, with the node's name in it where
// it stands for it.
func TestExplain(t *testing.T) {
	codes := health.Codes()
	if len(codes) < 20 {
		t.Errorf("there are %d codes: %v", len(codes), codes)
	}
	for _, code := range codes {
		detail, remedy, known := health.Explain(code, "pi-1")
		if !known || !strings.HasSuffix(detail, ".") || !strings.HasSuffix(remedy, ".") || strings.Contains(remedy, "NODE") {
			t.Errorf("%s: %q %q %v", code, detail, remedy, known)
		}
	}
	if _, remedy, _ := health.Explain(health.Draining, "pi-1"); !strings.Contains(remedy, "prime-spark undrain pi-1 ") {
		t.Errorf("the remedy of a drained node is %q", remedy)
	}
	if detail, remedy, known := health.Explain("on_fire", "pi-1"); known || detail == "" || remedy == "" {
		t.Errorf("a code that is not known: %q %q %v", detail, remedy, known)
	}
}
