package dispatch

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"primespark/shared/problem"
)

func TestAtAsksOneAgentAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, answers, says(problem.NotFound), breaks, func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s %s", r.Method, r.URL, b)
		}, hangs)
		ask := func(node string) (string, error) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			in, err := http.NewRequestWithContext(ctx, "POST", "/v2/repository/index", nil)
			if err != nil {
				t.Fatal(err)
			}
			b, err := l.d.At(in, node, []byte("body"))
			return string(b), err
		}
		if got, err := ask("pi-4"); err != nil || got != "POST /v2/repository/index body" {
			t.Errorf("%q, %v", got, err)
		}
		for node, want := range map[string]problem.Code{"pi-2": problem.NotFound, "pi-3": problem.Unreachable, "pi-5": problem.Unreachable, "pi-9": problem.NotFound} {
			if _, err := ask(node); !problem.Is(err, want) {
				t.Errorf("%s: %v, want %s", node, err, want)
			}
		}
		if got := strings.Join(l.asked(), " "); strings.Contains(got, "pi-1") {
			t.Errorf("asked were %s", got)
		}
		if s := l.d.flights.suspects(l.views.Get(), time.Now()); len(s) != 0 {
			t.Errorf("suspects are %v for what is no inference", s)
		}
	})
}
