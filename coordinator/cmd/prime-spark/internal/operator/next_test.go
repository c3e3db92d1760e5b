package operator

import (
	"errors"
	"strings"
	"testing"

	"primespark/shared/problem"
)

// TestAdvised: whatever a coordinator refuses, the user is told a command to try, once.
func TestAdvised(t *testing.T) {
	for _, code := range problem.Codes() {
		e, ok := errors.AsType[*problem.Error](advised(problem.New(code, "Do this.", "It is so.")))
		if !ok || e.Code != code || e.Detail != "It is so." || !strings.HasPrefix(e.Remedy, "Do this. ") || !strings.HasSuffix(e.Remedy, ".") ||
			!strings.Contains(e.Remedy, "prime-spark ") && !strings.Contains(e.Remedy, "--") {
			t.Errorf("%s: %+v", code, e)
		}
	}
	for _, remedy := range []string{"List them: prime-spark nodes.", "Give it with --server."} {
		if e := advised(problem.New(problem.NotFound, remedy, "It is so.")); !strings.Contains(e.(*problem.Error).Remedy, remedy) || len(e.(*problem.Error).Remedy) != len(remedy) {
			t.Errorf("%q became %v", remedy, e)
		}
	}
	if broken := errors.New("broken"); !errors.Is(advised(broken), broken) {
		t.Error("another error is changed")
	}
}
