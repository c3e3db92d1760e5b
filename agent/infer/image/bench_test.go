package image_test

import (
	"bytes"
	"fmt"
	stdimage "image"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/image/draw"

	"primespark/agent/infer/image"
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
		decode(b, data).Release()
		best = min(best, time.Since(start))
	}
	b.ReportMetric(float64(best.Microseconds())/1e3, "ms/best")
}

// BenchmarkPhoto is the whole way of a photo of 1080p to the tensor of a model. Scaled is by
// how much quicker that is than to decode it at its full size, in the same run.
func BenchmarkPhoto(b *testing.B) {
	data, limits := photo1080p(b), image.Default()
	for _, size := range []int{640, 416, 224} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			c, out := converter(size, size, func(m *model.Manifest) { m.Preprocess.Resize, m.Preprocess.Pad = model.Letterbox, 114 })
			best := map[*image.Converter]time.Duration{c: time.Hour, nil: time.Hour}
			b.ReportAllocs()
			for b.Loop() {
				for _, wanted := range []*image.Converter{c, nil} {
					start := time.Now()
					img, err := limits.Decode(data, wanted)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := c.Convert(img, out); err != nil {
						b.Fatal(err)
					}
					img.Release()
					best[wanted] = min(best[wanted], time.Since(start))
				}
			}
			b.ReportMetric(float64(best[c].Microseconds())/1e3, "ms/best")
			b.ReportMetric(float64(best[nil])/float64(best[c]), "full/scaled")
		})
	}
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
