package image

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"sync"

	"primespark/agent/infer/image/baseline"
)

// A decoder is one for plain JPEGs, with the image that it has made last.
type decoder struct {
	baseline.Decoder
	width, height int
	img           Image
	planes        [3]plane
}

// decoders wait here for the next photo.
var decoders = sync.Pool{New: func() any { return new(decoder) }}

// maxHeld is the memory with which a decoder may wait, in bytes: a photo of 2 megapixels
// has it at full size, and one of 30 at a quarter.
const maxHeld = 4 << 20

func (d *decoder) release() {
	if d.Held() <= maxHeld {
		decoders.Put(d)
	}
}

// readBaseline returns a decoder that has read all of a JPEG but its pixels; nil if it is
// none, or of a kind that image/jpeg has to decode.
func readBaseline(data []byte) *decoder {
	d := decoders.Get().(*decoder)
	var err error
	if d.width, d.height, err = d.Read(data); err != nil {
		d.release()
		return nil
	}
	return d
}

// image decodes what was read. After an error nobody has the decoder any more.
func (d *decoder) image(c *Converter, o Orientation) (*Image, error) {
	d.img = *blankImage(d.width, d.height, o)
	scale := 1
	if c != nil {
		scale = c.scale(&d.img)
	}
	planes, err := d.Decode(scale)
	if err != nil {
		d.release()
		return nil, err
	}
	for i, p := range planes {
		d.planes[i] = plane{p.Pix, p.Stride, p.Width, p.Height, 1, p.SubX, p.SubY}
	}
	d.img.planes, d.img.decoder = d.planes[:len(planes)], d
	return &d.img, nil
}

// Release lets the memory of an image be used for another one. Nothing may look at it
// afterwards. It need not be called.
func (img *Image) Release() {
	if d := img.decoder; d != nil {
		img.decoder = nil
		d.release()
	}
}

// scale is by how much an image may be smaller and still have all the pixels that c
// makes of it.
func (c *Converter) scale(img *Image) int {
	f := fit(c.how.Resize, c.how.Anchor, img.Width, img.Height, c.width, c.height)
	most := min(f.seenW/float64(f.w), f.seenH/float64(f.h))
	for _, s := range baseline.Scales {
		if float64(s) <= most {
			return s
		}
	}
	return 1
}

// jpegConfig reads the frame header (ITU T.81, B.2.2). Where the model of colors is not
// plain it leaves that to image/jpeg, which takes kilobytes to do so.
func jpegConfig(data []byte) (image.Config, error) {
	var c image.Config
	jfif, plain := false, true
	segments(data, func(marker byte, body []byte) bool {
		switch {
		case marker == 0xe0:
			jfif = jfif || bytes.HasPrefix(body, []byte("JFIF\x00"))
		case marker == 0xee: // Adobe's, which tells of other models
			plain = false
		case (marker == 0xc0 || marker == 0xc2) && len(body) > 5:
			c.Height, c.Width = int(binary.BigEndian.Uint16(body[1:])), int(binary.BigEndian.Uint16(body[3:]))
			switch n := body[5]; {
			case n == 1:
				c.ColorModel = color.GrayModel
			case n == 3 && (jfif || plain && len(body) > 6 && body[6] != 'R'):
				c.ColorModel = color.YCbCrModel
			}
			return false
		}
		return true
	})
	if c.ColorModel == nil {
		return jpeg.DecodeConfig(bytes.NewReader(data))
	}
	return c, nil
}
