package wire

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"primespark/shared/problem"
)

var quiet = log.New(io.Discard, "", 0)

func TestMessages(t *testing.T) {
	type message struct{ Type, ID, Data string }
	for name, test := range map[string]struct {
		in   string
		want []message
		err  error
	}{
		"one":         {"event: event\nid: 7\ndata: {}\n\n", []message{{"event", "7", "{}"}}, io.ErrUnexpectedEOF},
		"two lines":   {"data: a\ndata: b\n\n", []message{{"", "", "a\nb"}}, io.ErrUnexpectedEOF},
		"no space":    {"data:a\n\n", []message{{"", "", "a"}}, io.ErrUnexpectedEOF},
		"crlf":        {"event: x\r\ndata: a\r\n\r\n", []message{{"x", "", "a"}}, io.ErrUnexpectedEOF},
		"comment":     {": still here\n\ndata: a\n\n", []message{{"", "", "a"}}, io.ErrUnexpectedEOF},
		"no data":     {"event: x\n\nfoo\n\n", nil, io.ErrUnexpectedEOF},
		"broken off":  {"data: a\n\ndata: b\n", []message{{"", "", "a"}}, io.ErrUnexpectedEOF},
		"huge line":   {"data: " + strings.Repeat("x", MaxMessage) + "\n\n", nil, errMessage},
		"huge in all": {strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", 1100) + "\n", nil, errMessage},
	} {
		t.Run(name, func(t *testing.T) {
			var got []message
			for m, err := range messages(strings.NewReader(test.in)) {
				if err != nil {
					if !errors.Is(err, test.err) {
						t.Errorf("ended with %v, want %v", err, test.err)
					}
					break
				}
				got = append(got, message{m.Type, m.ID, string(m.Data)})
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestStream(t *testing.T) {
	url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "event: event\nid: b\ndata: {\"id\":%q}\n\nevent: fleet\ndata: {}\n\n", r.FormValue("after"))
	})
	var got []string
	var last error
	for m, err := range (&Client{BaseURLs: []string{url}}).Stream(t.Context(), "a") {
		if last = err; err == nil {
			got = append(got, m.Type+m.ID+string(m.Data))
		}
	}
	if d := cmp.Diff([]string{`eventb{"id":"a"}`, "fleet{}"}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if !problem.Is(last, problem.Unreachable) {
		t.Errorf("a stream that broke off ended with %v", last)
	}
	for range (&Client{BaseURLs: []string{url}}).Stream(t.Context(), "") {
		break // leaving the loop closes the connection; the server's Close in serve would hang otherwise
	}
}

func FuzzMessages(f *testing.F) {
	f.Add("event: event\nid: 7\ndata: {}\n\n: x\n\n")
	f.Add("data\n\ndata:\n\n\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		ended := false
		for m, err := range messages(strings.NewReader(in)) {
			if ended {
				t.Fatal("went on after its end")
			}
			ended = err != nil
			if len(m.Data) > MaxMessage {
				t.Fatal("a message over the bound")
			}
		}
		if !ended {
			t.Fatal("ended without an error")
		}
	})
}
