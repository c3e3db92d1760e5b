package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"primespark/coordinator/fsm"
	"primespark/coordinator/history"
	"primespark/shared/fleet"
	"primespark/shared/telemetry"
)

// An archive is a history on a disk that takes samples without asking others.
type archive struct {
	*history.Store
}

func (archive) Take(context.Context, string, []telemetry.Sample) ([]telemetry.Ack, error) {
	return nil, nil
}

func (archive) Log(context.Context, string, string, uint64, time.Duration) (history.Page, error) {
	return history.Page{}, nil
}

// remember gives a lab a history with samples of pi-1: its temperature each ten
// seconds of the last half hour, save for five minutes of it, and one of ten days ago.
func (l *lab) remember() {
	l.t.Helper()
	s, err := history.Open(history.Config{Dir: l.t.TempDir(), MaxSize: 1 << 30, Raw: 24 * time.Hour, Minutes: 30 * 24 * time.Hour, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	l.t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, s.Close()); err != nil {
			l.t.Error(err)
		}
	})
	now := time.Now()
	all := []telemetry.Sample{{Boot: 1, Stream: telemetry.Temperature, Seq: 1, At: now.Add(-10 * 24 * time.Hour), Value: telemetry.Number(20, "°C")}}
	for at := now.Add(-30 * time.Minute); at.Before(now); at = at.Add(10 * time.Second) {
		if at.After(now.Add(-20*time.Minute)) && at.Before(now.Add(-15*time.Minute)) {
			continue
		}
		all = append(all, telemetry.Sample{Boot: 1, Stream: telemetry.Temperature, Seq: uint64(len(all) + 1), At: at, Value: telemetry.Number(51.5, "°C")})
	}
	if _, err := s.Append(ctx, "pi-1", all); err != nil {
		l.t.Fatal(err)
	}
	l.api.cfg.History = archive{s}
}

// browse asks for a page as a browser does.
func (l *lab) browse(target string) *httptest.ResponseRecorder {
	r := l.as("viewer", "GET", target, "")
	r.Header.Set("Accept", "text/html,*/*")
	return l.do(r)
}

func TestNodePage(t *testing.T) {
	l := newLab(t)
	l.remember()
	for name, test := range map[string]struct {
		target string
		status int
		has    []string
		not    string
	}{
		"an hour":       {"/nodes/pi-1", 200, []string{"<h1>pi-1</h1>", "The last hour", "<title id=\"title0\">Temperature", "samples are missing once", "newest 51.5 °C"}, "title1"},
		"a day":         {"/nodes/pi-1?range=24h", 200, []string{"The last 24 hours", "51.5 to 51.5 °C"}, ""},
		"a month":       {"/nodes/pi-1?range=30d", 200, []string{"The last 30 days", "20 to 51.5 °C"}, ""},
		"one's own":     {"/nodes/pi-2", 200, []string{"waits for approval", "Nothing that pi-2 measured"}, "<svg"},
		"coordinator":   {"/nodes/c3", 200, []string{"<h1>c3</h1>", "A coordinator has no history of its own"}, "<svg"},
		"unknown":       {"/nodes/pi-9", 404, []string{"<h1>Not Found</h1>", "There is no node &#34;pi-9&#34;.", "prime-spark nodes"}, ""},
		"hostile":       {"/nodes/%3Cscript%3E", 404, []string{"<h1>Not Found</h1>"}, "<script>"},
		"another range": {"/nodes/pi-1?range=1y", 400, []string{"Give 1h, 24h or 30d."}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := l.browse(test.target)
			if w.Code != test.status || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") || w.Header().Get("Content-Security-Policy") == "" {
				t.Errorf("%d %v", w.Code, w.Header())
			}
			for _, text := range test.has {
				if !strings.Contains(w.Body.String(), text) {
					t.Errorf("%q is not in %s", text, w.Body)
				}
			}
			if test.not != "" && strings.Contains(w.Body.String(), test.not) {
				t.Errorf("%q is in %s", test.not, w.Body)
			}
		})
	}
	l.must(fsm.NodeRevoke{Name: "pi-2"})
	if w := l.browse("/nodes/pi-2"); w.Code != 200 || !strings.Contains(w.Body.String(), "revoked") {
		t.Errorf("a revoked node: %d", w.Code)
	}
}

// unreadable is a history on a broken disk.
type unreadable struct{ archive }

func (unreadable) Minutes(context.Context, history.Query, time.Duration) ([]history.Minute, bool, error) {
	return nil, false, errBroken
}

// TestNodePageInTrouble: facts are shown whatever there is of a history and a quorum.
func TestNodePageInTrouble(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*lab)
		want   string
	}{
		"no history":        {func(l *lab) { l.api.cfg.History = nil }, "c1 keeps no history."},
		"unreadable":        {func(l *lab) { l.api.cfg.History = unreadable{} }, "The history on the disk of c1 cannot be read"},
		"without a quorum":  {func(l *lab) { l.group.down = errNoQuorum; l.leader(""); l.change("c2", dead) }, "Most coordinators cannot be reached from c1"},
		"the node is gone":  {func(l *lab) { l.change("pi-1", dead) }, "As it was last seen"},
		"with what it says": {func(l *lab) { l.change("pi-1", func(n *fleet.Node) { n.Vital.Reasons = []string{"no_models"} }) }, "No model can answer on it."},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.remember()
			test.change(l)
			w := l.browse("/nodes/pi-1")
			if w.Code != 200 || !strings.Contains(w.Body.String(), test.want) || !strings.Contains(w.Body.String(), "blazeface") || strings.Contains(w.Body.String(), "broken") {
				t.Errorf("%d, want %q in %s", w.Code, test.want, w.Body)
			}
		})
	}
}

// TestNodePagesWaitInLine: a reader who leaves the line is not answered, and the
// line goes on.
func TestNodePagesWaitInLine(t *testing.T) {
	l := newLab(t)
	l.remember()
	for range drawing {
		l.api.drawing <- struct{}{}
	}
	ctx, leave := context.WithCancel(t.Context())
	leave()
	r := l.as("viewer", "GET", "/nodes/pi-1", "").WithContext(ctx)
	if w := l.do(r); w.Body.Len() > 0 {
		t.Errorf("a reader who left got %d %s", w.Code, w.Body)
	}
	<-l.api.drawing
	if w := l.browse("/nodes/pi-1"); w.Code != http.StatusOK {
		t.Errorf("the next one got %d", w.Code)
	}
}

// TestStreamGoesOnFromThePage: who has just been given the page is not sent all of it
// again, but once; whoever comes later is.
func TestStreamGoesOnFromThePage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		_, sheet, ok := strings.Cut(l.browse("/").Body.String(), `data-sheet="`)
		if !ok {
			t.Fatal("the page has no name")
		}
		sheet, _, _ = strings.Cut(sheet, `"`)
		time.Sleep(time.Second)
		l.change("pi-1", dead)
		l.api.page.Store(l.api.sheet(time.Now()))
		listen := func() string {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return l.do(l.as("viewer", "GET", "/page/stream?after="+sheet, "").WithContext(ctx)).Body.String()
		}
		if got := listen(); !strings.HasPrefix(got, "event: beat\n") || !strings.Contains(got, "event: change\n") || !strings.Contains(got, `id="node-pi-1"`) || strings.Contains(got, `id="coordinators"`) {
			t.Errorf("the first stream: %s", got)
		}
		if got := listen(); !strings.HasPrefix(got, "event: page\n") || !strings.Contains(got, `id="coordinators"`) {
			t.Errorf("the second stream: %s", got)
		}
		l.browse("/")
		l.api.looks.forget(time.Now().Add(lookKept + time.Second))
		if n := len(l.api.looks.pages); n != 0 {
			t.Errorf("%d pages are kept for ever", n)
		}
		for range looksMost + 2 {
			l.browse("/")
		}
		if n := len(l.api.looks.pages); n != looksMost {
			t.Errorf("%d pages are kept, want %d", n, looksMost)
		}
	})
}
