package load_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"primespark/shared/load"
)

// A line sends the same request on one connection, and tells what is no good answer.
func TestLine(t *testing.T) {
	var from []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		from = append(from, r.RemoteAddr)
		if err != nil || r.Method != "POST" || r.URL.Path != "/x" || r.Header.Get("A") != "b" || string(body) != "question" {
			t.Errorf("%s %s %v %q, %v", r.Method, r.URL, r.Header, body, err)
		}
		if len(from) > 2 {
			http.Error(w, "enough", http.StatusTeapot)
			return
		}
		_, _ = io.WriteString(w, "answer") // Ask says what is missing
	}))
	defer s.Close()
	l, err := load.Dial(t.Context(), s.Listener.Addr().String(), "POST", "/x", http.Header{"A": {"b"}}, []byte("question"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 2 {
		if h, b, err := l.Ask(); err != nil || string(b) != "answer" || h.Get("Content-Length") != "6" {
			t.Errorf("%v %q, %v", h, b, err)
		}
	}
	if _, _, err := l.Ask(); err == nil || !strings.Contains(err.Error(), "418 I'm a teapot: enough") {
		t.Errorf("%v, want the answer's words", err)
	}
	if len(from) != 3 || from[0] != from[2] {
		t.Errorf("the requests came from %v, want one connection", from)
	}
}
