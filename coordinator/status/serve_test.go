package status

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"primespark/shared/pipenet"
	"primespark/shared/watch"
)

func TestStream(t *testing.T) {
	t.Run("HTTP/1", func(t *testing.T) { testStream(t, (*http.Protocols).SetHTTP1) })
	t.Run("HTTP/2", func(t *testing.T) { testStream(t, (*http.Protocols).SetUnencryptedHTTP2) })
}

func testStream(t *testing.T, speak func(*http.Protocols, bool)) {
	synctest.Test(t, func(t *testing.T) {
		var protocols http.Protocols
		speak(&protocols, true)
		var network pipenet.Net
		views := watch.New(NewSheet(healthy()))
		stop, stopped := context.WithCancel(t.Context())
		l, err := network.Host("c1").Listen(t.Context(), "tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		always := func() bool { return true }
		srv := &http.Server{Protocols: &protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			Stream(stop.Done(), w, r, views, nil, false, always)
		})}
		go srv.Serve(l)
		defer srv.Close()
		tr := &http.Transport{Protocols: &protocols, DialContext: func(ctx context.Context, network_, addr string) (net.Conn, error) {
			return network.Host("browser").Dial(ctx, network_, addr)
		}}
		defer tr.CloseIdleConnections()
		res, err := (&http.Client{Transport: tr}).Get("http://c1/")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var pages, changes, beats int
		var bad string
		done := make(chan struct{})
		go func() {
			defer close(done)
			sc := bufio.NewScanner(res.Body)
			for sc.Scan() {
				switch line := sc.Text(); {
				case line == "event: page":
					pages++
				case line == "event: change":
					changes++
				case line == "event: beat":
					beats++
				case line != "" && !strings.HasPrefix(line, "data: "):
					bad = line
				}
			}
		}()
		time.Sleep(31 * time.Second) // two beats
		v := trouble()
		v.Events[0].Detail = "one\r\revent: page\rdata: two\r\n\r\nid: 7"
		views.Store(NewSheet(v))
		time.Sleep(time.Second)
		views.Store(NewSheet(v)) // the same again
		time.Sleep(time.Second)
		stopped() // the server goes
		<-done
		if pages != 1 || changes != 1 || beats != 2 || bad != "" {
			t.Errorf("%d pages, %d changes and %d beats, want 1, 1 and 2; a line that is no data: %q", pages, changes, beats, bad)
		}
	})
}

func TestStatic(t *testing.T) {
	for path, want := range map[string]string{
		"/static/page.css":     "text/css",
		"/static/page.js":      "text/javascript",
		"/static/icon.svg":     "image/svg+xml",
		"/static/../page.html": "",
		"/static/nothing":      "",
	} {
		w := httptest.NewRecorder()
		Static().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if got := w.Result().Header.Get("Content-Type"); want != "" && (w.Code != 200 || !strings.HasPrefix(got, want)) || want == "" && w.Code == 200 {
			t.Errorf("%s: %d %s, want %q", path, w.Code, got, want)
		}
	}
}

func TestShowSendsNoHalfPage(t *testing.T) {
	w := httptest.NewRecorder()
	broken := errors.New("broken")
	if err := Show(w, httptest.NewRequest("GET", "/", nil), 200, func(b io.Writer) error { io.WriteString(b, "half"); return broken }); !errors.Is(err, broken) || w.Body.Len() != 0 {
		t.Errorf("got %v and %q", err, w.Body)
	}
}

// TestFirstLoad: the page of a thousand agents, its stylesheet and its scripts come to
// a browser in 100 KB.
func TestFirstLoad(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Accept-Encoding", "gzip, br")
	w := httptest.NewRecorder()
	sheet := NewSheet(crowd(1000, noon))
	if err := Show(w, r, 200, func(b io.Writer) error { return Render(b, sheet, ada) }); err != nil {
		t.Fatal(err)
	}
	size := w.Body.Len()
	var plain bytes.Buffer
	z, err := gzip.NewReader(w.Body)
	if err != nil || w.Header().Get("Content-Encoding") != "gzip" {
		t.Fatalf("not packed: %v %v", err, w.Header())
	}
	var unpacked bytes.Buffer
	if _, err := unpacked.ReadFrom(z); err != nil {
		t.Fatal(err)
	}
	if err := Render(&plain, sheet, ada); err != nil || plain.String() != unpacked.String() {
		t.Errorf("what is unpacked is another page, %v", err)
	}
	for name := range kinds {
		r.URL.Path = "/static/" + name
		w := httptest.NewRecorder()
		Static().ServeHTTP(w, r)
		size += w.Body.Len()
		z, err := gzip.NewReader(w.Body)
		if err != nil || w.Code != http.StatusOK {
			t.Fatalf("%s: %d, %v", name, w.Code, err)
		}
		if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, files()[name].plain) {
			t.Errorf("%s unpacked is another file, %v", name, err)
		}
	}
	if listed, err := static.ReadDir("static"); err != nil || len(listed) != len(kinds) {
		t.Errorf("%d files have a kind, and there are %d, %v", len(kinds), len(listed), err)
	}
	t.Logf("%d bytes, of which the page has %d unpacked", size, plain.Len())
	if size > 100_000 {
		t.Errorf("%d bytes", size)
	}
}
