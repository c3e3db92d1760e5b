package status

import (
	"bytes"
	"compress/gzip"
	"embed"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"
)

//go:embed static
var static embed.FS

// kinds are the files in static, and their media types.
var kinds = map[string]string{
	"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8", "try.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml",
}

// Static serves the stylesheet, the scripts and the icon, below /static/, packed for a
// browser that can unpack them.
func Static() http.Handler {
	return http.StripPrefix("/static/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, ok := kinds[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Cache-Control", "max-age=60") // short: a new version comes with new ones
		h.Set("Vary", "Accept-Encoding")
		file := files()[r.URL.Path]
		text := file.plain
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
			text = file.packed
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
	}))
}

type file struct{ plain, packed []byte }

// files are those of static, packed once and as well as it goes.
var files = sync.OnceValue(func() map[string]file {
	all := map[string]file{}
	for name := range kinds {
		plain, err := static.ReadFile("static/" + name)
		var b bytes.Buffer
		z, failed := gzip.NewWriterLevel(&b, gzip.BestCompression)
		if err := errors.Join(err, failed); err != nil {
			panic(err) // the files are compiled in, and the level is one of gzip's
		}
		_, err = z.Write(plain)
		if err := errors.Join(err, z.Close()); err != nil {
			panic(err) // a buffer takes all
		}
		all[name] = file{plain, b.Bytes()}
	}
	return all
})
