package image_test

import (
	"bytes"
	stdimage "image"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/image/draw"

	"primespark/shared/model"
)

// photo1080p is a photo of 1920 × 1080 pixels, from outside of the repository
// if it is there, else one that is made up.
func photo1080p(b *testing.B) []byte {
	b.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "shared", "testdata", "images", "cat_1080p.jpg"))
	if err == nil {
		return data
	}
	return jpegOf(b, smooth(1920, 1080))
}

func BenchmarkDecode(b *testing.B) {
	data := photo1080p(b)
	b.ReportAllocs()
	best := time.Hour
	for b.Loop() {
		start := time.Now()
		decode(b, data)
		best = min(best, time.Since(start))
	}
	b.ReportMetric(float64(best.Microseconds())/1e3, "ms/best")
}

// BenchmarkLetterbox prints how many times longer x/image/draw takes to resize
// with its BiLinear filter, and to make the same numbers of its pixels.
func BenchmarkLetterbox(b *testing.B) {
	data := photo1080p(b)
	img := decode(b, data)
	c, out := converter(640, 640, func(m *model.Manifest) { m.Preprocess.Resize, m.Preprocess.Pad = model.Letterbox, 114 })
	source, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	ours := time.Hour // the best of each: other work on the machine only adds
	for b.Loop() {
		start := time.Now()
		if _, err := c.Convert(img, out); err != nil {
			b.Fatal(err)
		}
		ours = min(ours, time.Since(start))
	}
	theirs := time.Hour
	for range 10 {
		start := time.Now()
		reference(source, out.Float32s())
		theirs = min(theirs, time.Since(start))
	}
	b.ReportMetric(float64(ours.Microseconds())/1e3, "ms/best")
	b.ReportMetric(float64(theirs)/float64(ours), "draw/ours")
}

// reference letterboxes the plain way.
func reference(source stdimage.Image, out []float32) {
	canvas := stdimage.NewRGBA(stdimage.Rect(0, 0, 640, 640))
	draw.BiLinear.Scale(canvas, stdimage.Rect(0, 140, 640, 500), source, source.Bounds(), draw.Src, nil)
	for i := range 640 * 640 {
		for c := range 3 {
			out[c*640*640+i] = float32(canvas.Pix[4*i+c])
		}
	}
}
