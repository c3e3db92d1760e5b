package image

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"math"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
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

// Decode reads a JPEG, PNG, WebP, BMP or TIFF within the limits. What it returns for any
// other bytes is a *problem.Error: BadMedia if they are no such image, TooLarge if
// it breaks a limit, Invalid if it is broken. The image may share data's memory. If c is
// not nil the image is for c alone, and a JPEG is decoded no larger than c wants it; its
// memory is for the next one after Release.
func (l Limits) Decode(data []byte, c *Converter) (img *Image, err error) {
	if len(data) > l.Bytes {
		return nil, problem.New(problem.TooLarge, "Send it smaller, or compressed more.",
			"The image has %d bytes; at most %d are taken.", len(data), l.Bytes)
	}
	f, ok := sniff(data)
	if !ok && isBase64(data) {
		return nil, problem.New(problem.BadMedia, "Send the bytes of the file as they are: as the whole body, or as binary tensor data.",
			"The %d bytes sent as an image are base64 text.", len(data))
	}
	if !ok {
		return nil, problem.New(problem.BadMedia, "Send a JPEG, PNG, WebP, BMP or TIFF.",
			"The %d bytes sent as an image are neither JPEG nor PNG nor WebP, BMP or TIFF.", len(data))
	}
	// The decoders are not ours. Should a file ever make one of them panic, that
	// file is broken, and the node goes on.
	defer func() {
		if p := recover(); p != nil {
			img, err = nil, broken(f.name, fmt.Errorf("the decoder panicked: %v", p))
		}
	}()
	config, err := f.config(data)
	if err != nil {
		return nil, broken(f.name, err)
	}
	if err := l.check(f, config, data); err != nil {
		return nil, err
	}
	o := orientation(f.exif(data))
	if d := readBaseline(data); d != nil {
		if img, err = d.image(c, o); err != nil {
			return nil, broken(f.name, err)
		}
		return img, nil
	}
	m, err := f.decode(bytes.NewReader(data))
	if err != nil {
		return nil, broken(f.name, err)
	}
	return newImage(m, o), nil
}

// Cost estimates what Decode takes of memory for data, in bytes, by its header alone: 0
// for what it refuses.
func (l Limits) Cost(data []byte, c *Converter) (cost int) {
	f, ok := sniff(data)
	if !ok || len(data) > l.Bytes {
		return 0
	}
	defer func() {
		if recover() != nil { // as in Decode, which says so
			cost = 0
		}
	}()
	config, err := f.config(data)
	if err != nil || l.check(f, config, data) != nil {
		return 0
	}
	cost = int(f.need(config, data))
	if cost < worthAsking || c == nil {
		return cost
	}
	if d := readBaseline(data); d != nil {
		defer d.release()
		scale := c.scale(blankImage(config.Width, config.Height, orientation(f.exif(data))))
		return cost/(scale*scale) + len(data)
	}
	return cost
}

// worthAsking is from how many bytes on it is looked up by how much less a JPEG takes
// that is decoded at a part of its size: 4 MB is less than anybody asks for.
const worthAsking = 4e6

// A format is one of the kinds of file that are taken.
type format struct {
	name   string
	config func(data []byte) (image.Config, error)
	decode func(*bytes.Reader) (image.Image, error)
	exif   func([]byte) []byte
	cost   func(image.Config, []byte) float64 // bytes of memory for a pixel
}

// need is what an image takes to decode, in bytes.
func (f format) need(c image.Config, data []byte) float64 {
	return f.cost(c, data) * float64(c.Width) * float64(c.Height)
}

// formats are the kinds of file that are taken, each with a test of how one begins.
var formats = []struct {
	format
	begins func(data []byte) bool
}{
	{
		format{
			"JPEG",
			jpegConfig,
			func(r *bytes.Reader) (image.Image, error) { return jpeg.Decode(r) },
			jpegEXIF, jpegCost,
		},
		func(data []byte) bool { return bytes.HasPrefix(data, []byte("\xff\xd8\xff")) },
	},
	{
		format{
			"PNG",
			func(data []byte) (image.Config, error) { return png.DecodeConfig(bytes.NewReader(data)) },
			func(r *bytes.Reader) (image.Image, error) { return png.Decode(r) },
			pngEXIF, pngCost,
		},
		func(data []byte) bool { return bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")) },
	},
	{
		format{
			"WebP",
			func(data []byte) (image.Config, error) { return webp.DecodeConfig(bytes.NewReader(data)) },
			func(r *bytes.Reader) (image.Image, error) { return webp.Decode(r) },
			webpEXIF, webpCost,
		},
		func(data []byte) bool {
			return len(data) >= 16 && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP"
		},
	},
	{
		format{
			"BMP",
			func(data []byte) (image.Config, error) { return bmp.DecodeConfig(bytes.NewReader(data)) },
			func(r *bytes.Reader) (image.Image, error) { return bmp.Decode(r) },
			func([]byte) []byte { return nil }, bmpCost,
		},
		// Two letters alone are few; behind the size come four zeros.
		func(data []byte) bool {
			return bytes.HasPrefix(data, []byte("BM")) && len(data) > 10 && string(data[6:10]) == "\x00\x00\x00\x00"
		},
	},
	{
		format{
			"TIFF",
			func(data []byte) (image.Config, error) { return tiff.DecodeConfig(bytes.NewReader(data)) },
			func(r *bytes.Reader) (image.Image, error) { return tiff.Decode(r) },
			func(data []byte) []byte { return data }, tiffCost,
		},
		func(data []byte) bool {
			return bytes.HasPrefix(data, []byte("II*\x00")) || bytes.HasPrefix(data, []byte("MM\x00*"))
		},
	},
}

func sniff(data []byte) (format, bool) {
	for _, f := range formats {
		if f.begins(data) {
			return f.format, true
		}
	}
	return format{}, false
}

// isBase64 reports whether data is an image as text, which a BYTES tensor in JSON invites to.
func isBase64(data []byte) bool {
	if bytes.HasPrefix(data, []byte("data:image/")) {
		return true
	}
	var head [18]byte // longer than any mark
	size := base64.StdEncoding.EncodedLen(len(head))
	if len(data) < size {
		return false
	}
	if _, err := base64.StdEncoding.Decode(head[:], data[:size]); err != nil {
		return false
	}
	_, ok := sniff(head[:])
	return ok
}

func (l Limits) check(f format, c image.Config, data []byte) error {
	if c.Width < 1 || c.Height < 1 {
		return broken(f.name, errors.New("it has no pixels"))
	}
	if c.Width > l.Side || c.Height > l.Side || c.Width*c.Height > l.Pixels {
		return problem.New(problem.TooLarge, "Scale it down; models see no more than a few hundred pixels a side.",
			"The image has %d × %d pixels; at most %d a side and %d together are taken.", c.Width, c.Height, l.Side, l.Pixels)
	}
	need := f.need(c, data)
	if math.IsInf(need, 1) {
		return problem.New(problem.TooLarge, "Save it again, in strips, or send it as a JPEG.",
			"The %s of %d × %d pixels is cut into more than %d parts.", f.name, c.Width, c.Height, maxBlocks)
	}
	if need > float64(l.Memory) {
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
