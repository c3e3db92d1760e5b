package status

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"primespark/shared/watch"
)

// Policy is the Content-Security-Policy of every page: nothing inline, nothing
// from elsewhere, in no frame.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Show answers r with a page that render makes, packed for a browser that can unpack
// it. That is safe, since no page holds a secret that a length could tell of.
func Show(w http.ResponseWriter, r *http.Request, code int, render func(io.Writer) error) error {
	page := papers.Get().(*bytes.Buffer)
	defer papers.Put(page)
	page.Reset()
	if err := render(page); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Vary", "Accept-Encoding")
	if page.Len() > packFrom && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		packed := papers.Get().(*bytes.Buffer)
		defer papers.Put(packed)
		packed.Reset()
		if err := pack(packed, page.Bytes()); err != nil {
			return err
		}
		page = packed
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", Policy)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, err := w.Write(page.Bytes())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return nil
}

// papers are buffers for pages that are not in use: the page of a large fleet has a MiB,
// and to have one grow to that takes as long as all the rest.
var papers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// packFrom is the size in bytes from which a page is packed: less fits into a few
// packets as it is.
const packFrom = 4 << 10

// packLevel is one above the quickest: that packs a thousand agents a seventh larger
// and takes as long.
const packLevel = 2

// packers are those that are not in use; each holds a good part of a MiB.
var packers = sync.Pool{New: func() any {
	z, err := gzip.NewWriterLevel(io.Discard, packLevel)
	if err != nil {
		panic(err) // the level is one of gzip's
	}
	return z
}}

func pack(to io.Writer, page []byte) error {
	z := packers.Get().(*gzip.Writer)
	defer packers.Put(z)
	z.Reset(to)
	_, err := z.Write(page)
	if err = errors.Join(err, z.Close()); err != nil {
		return fmt.Errorf("pack a page: %w", err)
	}
	return nil
}

// ErrGone means that the browser went away: nothing to answer, and no fault.
var ErrGone = fmt.Errorf("the client went away")

// beat is how often a stream says that it is alive, so that proxies and phones
// keep the connection and the page knows that it is current.
const beat = 15 * time.Second

// lines makes the lines of a text those of one event. A carriage return, which a node
// may have put into a text, ends a line, too.
var lines = strings.NewReplacer("\r\n", "\ndata: ", "\n", "\ndata: ", "\r", "\ndata: ")

// writeTimeout is how long a browser may take to accept a piece of the stream.
const writeTimeout = 10 * time.Second

// Stream sends what changes of the page whenever it does, until done closes, the
// request ends, or may, which is asked before each piece, says no. Each element that
// it sends takes the place of the one with its id. First come those that differ from
// shown, the sheet that the reader has before him: all, if that is nil.
func Stream(done <-chan struct{}, w http.ResponseWriter, r *http.Request, sheets *watch.Value[*Sheet], shown *Sheet, operate bool, may func() bool) {
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	idle := time.NewTicker(beat)
	defer idle.Stop()
	send := func(event, data string) bool {
		// Not every writer can do deadlines; the server's own then holds.
		_ = out.SetWriteDeadline(time.Now().Add(writeTimeout))
		_, err := io.WriteString(w, "event: "+event+"\ndata: "+lines.Replace(data)+"\n\n")
		ok := err == nil && out.Flush() == nil
		_ = out.SetWriteDeadline(time.Time{}) // HTTP/2 ends a stream whose deadline passes, written to or not
		return ok
	}
	var last *pieces
	if shown != nil {
		var err error
		if last, err = shown.pieces(operate); err != nil || !send("beat", "") { // so that it knows that it is connected
			return
		}
	}
	for may() {
		sheet, changed := sheets.Load()
		if shown == nil || sheet.View.At.After(shown.View.At) {
			now, err := sheet.pieces(operate)
			if err != nil {
				return // the page itself fails in the same way and is logged
			}
			if news := now.since(last); len(news) > 0 {
				event := "change"
				if last == nil {
					event = "page"
				}
				if !send(event, strings.Join(news, "")) {
					return
				}
			}
			last = now
		}
		select {
		case <-changed:
		case <-idle.C:
			if !send("beat", "") {
				return
			}
		case <-r.Context().Done():
			return
		case <-done:
			return
		}
	}
}
