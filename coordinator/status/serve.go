package status

import (
	"bytes"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"time"

	"primespark/shared/watch"
)

//go:embed static
var static embed.FS

// Policy is the Content-Security-Policy of every page: nothing inline, nothing
// from elsewhere, in no frame.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Static serves the stylesheet, the script and the icon, below /static/.
func Static() http.Handler {
	files, err := fs.Sub(static, "static")
	if err != nil {
		panic(err) // the folder is compiled in
	}
	h := http.StripPrefix("/static/", http.FileServerFS(files))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60") // short: a new version comes with new ones
		h.ServeHTTP(w, r)
	})
}

// Show answers with a page that render makes.
func Show(w http.ResponseWriter, code int, render func(io.Writer) error) error {
	var b bytes.Buffer
	if err := render(&b); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", Policy)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, err := w.Write(b.Bytes())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return nil
}

// ErrGone means that the browser went away: nothing to answer, and no fault.
var ErrGone = fmt.Errorf("the client went away")

// beat is how often a stream says that it is alive, so that proxies and phones
// keep the connection and the page knows that it is current.
const beat = 15 * time.Second

// writeTimeout is how long a browser may take to accept a piece of the stream.
const writeTimeout = 10 * time.Second

// Stream sends the changing part of the page whenever it changes, until done
// closes, the request ends, or may, which is asked before each piece, says no.
func Stream(done <-chan struct{}, w http.ResponseWriter, r *http.Request, views *watch.Value[View], operate bool, may func() bool) {
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	idle := time.NewTicker(beat)
	defer idle.Stop()
	var last []byte
	send := func(event string, data []byte) bool {
		// Not every writer can do deadlines; the server's own then holds.
		_ = out.SetWriteDeadline(time.Now().Add(writeTimeout))
		_, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, bytes.ReplaceAll(data, []byte("\n"), []byte("\ndata: ")))
		ok := err == nil && out.Flush() == nil
		_ = out.SetWriteDeadline(time.Time{}) // HTTP/2 ends a stream whose deadline passes, written to or not
		return ok
	}
	for may() {
		v, changed := views.Load()
		var b bytes.Buffer
		if err := Fragment(&b, v, operate); err != nil {
			return // the page itself fails in the same way and is logged
		}
		if !bytes.Equal(b.Bytes(), last) {
			last = b.Bytes()
			if !send("page", last) {
				return
			}
		}
		select {
		case <-changed:
		case <-idle.C:
			if !send("beat", nil) {
				return
			}
		case <-r.Context().Done():
			return
		case <-done:
			return
		}
	}
}
