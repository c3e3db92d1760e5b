package status

import (
	"io"
	"net/http/httptest"
	"slices"
	"testing"
	"time"
)

// BenchmarkPage is what a look at the page of a thousand agents costs the server: all
// of it is made anew. "x-static" is how many times as
// long that is as to pack and send the same bytes from memory.
func BenchmarkPage(b *testing.B) {
	v := crowd(1000, time.Now())
	var text []byte
	show := func(render func(io.Writer) error) time.Duration {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept-Encoding", "gzip")
		begun := time.Now()
		if err := Show(httptest.NewRecorder(), r, 200, render); err != nil {
			b.Fatal(err)
		}
		return time.Since(begun)
	}
	var moving, static []time.Duration
	for b.Loop() {
		moving = append(moving, show(func(w io.Writer) error {
			keep := &keeper{to: w}
			err := Render(keep, NewSheet(v), ada)
			text = keep.text
			return err
		}))
		static = append(static, show(func(w io.Writer) error { _, err := w.Write(text); return err }))
	}
	b.ReportMetric(float64(slot(moving, 50))/1e6, "p50-ms")
	b.ReportMetric(float64(slot(moving, 99))/1e6, "p99-ms")
	b.ReportMetric(float64(slot(moving, 50))/float64(slot(static, 50)), "x-static")
}

// slot is a percentile.
func slot(all []time.Duration, percent int) time.Duration {
	slices.Sort(all)
	return all[(len(all)-1)*percent/100]
}

// A keeper remembers what it passes on.
type keeper struct {
	to   io.Writer
	text []byte
}

func (k *keeper) Write(p []byte) (int, error) {
	k.text = append(k.text, p...)
	return k.to.Write(p)
}
