package image

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"

	"golang.org/x/image/webp"

	"primespark/shared/problem"
)

// Limits bound what one image may cost.
type Limits struct {
	Bytes  int // of the file
	Pixels int // width × height
	Side   int // width or height
	Memory int // bytes taken while decoding; see cost
}

// Default are limits that a camera's photo keeps and a bomb does not: 25
// megapixels as baseline JPEG, 16 as PNG.
func Default() Limits {
	return Limits{Bytes: 16 << 20, Pixels: 25e6, Side: 16384, Memory: 64e6}
}

// Decode reads a JPEG, PNG or WebP within the limits. What it returns for any
// other bytes is a *problem.Error: BadMedia if they are no such image, TooLarge if
// it breaks a limit, Invalid if it is broken. The image may share data's memory.
func (l Limits) Decode(data []byte) (img *Image, err error) {
	if len(data) > l.Bytes {
		return nil, problem.New(problem.TooLarge, "Send it smaller, or compressed more.",
			"The image has %d bytes; at most %d are taken.", len(data), l.Bytes)
	}
	f, ok := sniff(data)
	if !ok {
		return nil, problem.New(problem.BadMedia, "Send a JPEG, a PNG or a WebP.",
			"The %d bytes sent as an image are neither JPEG nor PNG nor WebP.", len(data))
	}
	// The decoders are not ours. Should a file ever make one of them panic, that
	// file is broken, and the node goes on.
	defer func() {
		if p := recover(); p != nil {
			img, err = nil, broken(f.name, fmt.Errorf("the decoder panicked: %v", p))
		}
	}()
	config, err := f.config(bytes.NewReader(data))
	if err != nil {
		return nil, broken(f.name, err)
	}
	if err := l.check(f, config, data); err != nil {
		return nil, err
	}
	m, err := f.decode(bytes.NewReader(data))
	if err != nil {
		return nil, broken(f.name, err)
	}
	return newImage(m, orientation(f.exif(data))), nil
}

// Cost estimates what Decode takes of memory for data, in bytes, by its header alone: 0
// for what it refuses.
func (l Limits) Cost(data []byte) (cost int) {
	f, ok := sniff(data)
	if !ok || len(data) > l.Bytes {
		return 0
	}
	defer func() {
		if recover() != nil { // as in Decode, which says so
			cost = 0
		}
	}()
	c, err := f.config(bytes.NewReader(data))
	if err != nil || l.check(f, c, data) != nil {
		return 0
	}
	return int(f.need(c, data))
}

// A format is one of the kinds of file that are taken.
type format struct {
	name   string
	config func(*bytes.Reader) (image.Config, error)
	decode func(*bytes.Reader) (image.Image, error)
	exif   func([]byte) []byte
	cost   func(image.Config, []byte) float64 // bytes of memory for a pixel
}

// need is what an image takes to decode, in bytes.
func (f format) need(c image.Config, data []byte) float64 {
	return f.cost(c, data) * float64(c.Width) * float64(c.Height)
}

func sniff(data []byte) (format, bool) {
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xd8\xff")):
		return format{
			"JPEG",
			func(r *bytes.Reader) (image.Config, error) { return jpeg.DecodeConfig(r) },
			func(r *bytes.Reader) (image.Image, error) { return jpeg.Decode(r) },
			jpegEXIF, jpegCost,
		}, true
	case bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")):
		return format{
			"PNG",
			func(r *bytes.Reader) (image.Config, error) { return png.DecodeConfig(r) },
			func(r *bytes.Reader) (image.Image, error) { return png.Decode(r) },
			pngEXIF, pngCost,
		}, true
	case len(data) >= 16 && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP":
		return format{
			"WebP",
			func(r *bytes.Reader) (image.Config, error) { return webp.DecodeConfig(r) },
			func(r *bytes.Reader) (image.Image, error) { return webp.Decode(r) },
			webpEXIF, webpCost,
		}, true
	}
	return format{}, false
}

func (l Limits) check(f format, c image.Config, data []byte) error {
	if c.Width < 1 || c.Height < 1 {
		return broken(f.name, errors.New("it has no pixels"))
	}
	if c.Width > l.Side || c.Height > l.Side || c.Width*c.Height > l.Pixels {
		return problem.New(problem.TooLarge, "Scale it down; models see no more than a few hundred pixels a side.",
			"The image has %d × %d pixels; at most %d a side and %d together are taken.", c.Width, c.Height, l.Side, l.Pixels)
	}
	if need := f.need(c, data); need > float64(l.Memory) {
		return problem.New(problem.TooLarge, "Scale it down, or send it as a baseline JPEG, which takes the least.",
			"The %s of %d × %d pixels would take %.0f MB to decode; at most %.0f are given.", f.name, c.Width, c.Height, need/1e6, float64(l.Memory)/1e6)
	}
	return nil
}

func broken(name string, err error) error {
	return &problem.Error{
		Code:   problem.Invalid,
		Detail: "The " + name + " is broken or was cut off.",
		Remedy: "Open it in a viewer and save it again, or send it whole.",
		Err:    err,
	}
}

// jpegCost follows image/jpeg: a byte for each sample of a baseline image, and
// four more for its coefficient in a progressive one.
func jpegCost(c image.Config, data []byte) float64 {
	samples := 1.0
	perSample := 1.0
	segments(data, func(marker byte, body []byte) bool {
		if marker < 0xc0 || marker > 0xcf || marker == 0xc4 || marker == 0xc8 || marker == 0xcc || len(body) < 6 {
			return true
		}
		if marker == 0xc2 {
			perSample = 5
		}
		samples = jpegSamples(body)
		return false
	})
	cost := samples * perSample
	if c.ColorModel == color.CMYKModel || c.ColorModel == color.RGBAModel {
		cost += 8 // converted twice, four bytes each
	}
	return cost
}

// jpegSamples counts the samples per pixel of a frame header (ITU T.81, B.2.2):
// each component has its horizontal × vertical factors out of the largest ones.
func jpegSamples(frame []byte) float64 {
	n := int(frame[5])
	if n < 1 || len(frame) < 6+3*n {
		return 4
	}
	var sum, h, v int
	for i := range n {
		factors := int(frame[6+3*i+1])
		sum += (factors >> 4) * (factors & 15)
		h, v = max(h, factors>>4), max(v, factors&15)
	}
	if h*v == 0 {
		return 4
	}
	return max(1, float64(sum)/float64(h*v))
}

// pngCost follows image/png, and what newImage adds to it. Passes of an interlaced
// image are decoded beside the image that they make up, and gray with one
// transparent shade becomes four channels, which image.Config does not tell.
func pngCost(c image.Config, data []byte) float64 {
	const interlaceMethod = 28 // in the header chunk, which comes first (PNG, 11.2.1)
	shade := pngChunk(data, "tRNS") != nil
	decoded, painted := 1.0, 4.0 // palette
	switch c.ColorModel {
	case color.GrayModel:
		decoded, painted = 1, 0
		if shade {
			decoded = 4
		}
	case color.RGBAModel, color.NRGBAModel:
		decoded, painted = 4, 0
	case color.Gray16Model:
		decoded = 2
		if shade {
			decoded = 8
		}
	case color.RGBA64Model, color.NRGBA64Model:
		decoded = 8
	}
	if len(data) > interlaceMethod && data[interlaceMethod] != 0 {
		decoded *= 2
	}
	return decoded + painted
}

// webpCost follows x/image: planes for a lossy image, a lossless one for its
// alpha, and NRGBA for a lossless one.
func webpCost(c image.Config, data []byte) float64 {
	switch {
	case c.ColorModel == color.NYCbCrAModel:
		return 1.5 + 1 + 4 + 4
	case string(data[12:16]) == "VP8 ":
		return 1.5
	}
	return 4 + 1
}
