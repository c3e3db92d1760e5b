package image

import (
	"image"
	"image/color"
	"image/draw"
)

// An Image is a decoded photo, as planes of samples in the stored orientation.
type Image struct {
	Width, Height int // as displayed

	orientation Orientation
	planes      []plane
	decoder     *decoder // that has the planes' memory; nil: they have their own
}

// A plane is a rectangle of interleaved samples: one for gray, Y, Cb or Cr,
// four for RGB with a byte to spare.
type plane struct {
	pix           []byte
	stride        int
	width, height int
	step          int // bytes from one sample to the next
	subX, subY    int // pixels from one sample to the next, in the stored orientation
}

// blankImage is an image of so many pixels as stored, which has none yet.
func blankImage(width, height int, o Orientation) *Image {
	if o.Turned() {
		width, height = height, width
	}
	return &Image{Width: width, Height: height, orientation: o}
}

// newImage takes over m's memory. What has no layout of ours is painted onto
// white.
func newImage(m image.Image, o Orientation) *Image {
	b := m.Bounds()
	img := blankImage(b.Dx(), b.Dy(), o)
	switch m := m.(type) {
	case *image.YCbCr:
		img.planes = ycbcr(m)
	case *image.NYCbCrA:
		if opaque(m) {
			img.planes = ycbcr(&m.YCbCr)
			return img
		}
		img.planes = []plane{rgba(onWhite(m))}
	case *image.Gray:
		img.planes = []plane{{m.Pix, m.Stride, b.Dx(), b.Dy(), 1, 1, 1}}
	case *image.NRGBA:
		blend(m)
		img.planes = []plane{{m.Pix, m.Stride, b.Dx(), b.Dy(), 4, 1, 1}}
	case *image.RGBA:
		if m.Opaque() {
			img.planes = []plane{rgba(m)}
			return img
		}
		img.planes = []plane{rgba(onWhite(m))}
	default:
		img.planes = []plane{rgba(onWhite(m))}
	}
	return img
}

func rgba(m *image.RGBA) plane {
	return plane{m.Pix, m.Stride, m.Rect.Dx(), m.Rect.Dy(), 4, 1, 1}
}

// ycbcr returns the planes of m, whose colour planes may be smaller.
func ycbcr(m *image.YCbCr) []plane {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	x, y := 1, 1 // pixels that a sample of colour covers
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		x = 2
	case image.YCbCrSubsampleRatio420:
		x, y = 2, 2
	case image.YCbCrSubsampleRatio440:
		y = 2
	case image.YCbCrSubsampleRatio411:
		x = 4
	case image.YCbCrSubsampleRatio410:
		x, y = 4, 2
	}
	cw, ch := (w+x-1)/x, (h+y-1)/y
	return []plane{
		{m.Y, m.YStride, w, h, 1, 1, 1},
		{m.Cb, m.CStride, cw, ch, 1, x, y},
		{m.Cr, m.CStride, cw, ch, 1, x, y},
	}
}

func opaque(m *image.NYCbCrA) bool {
	for y := range m.Rect.Dy() {
		for _, a := range m.A[y*m.AStride:][:m.Rect.Dx()] {
			if a != 0xff {
				return false
			}
		}
	}
	return true
}

// blend shows m on white, in place.
func blend(m *image.NRGBA) {
	for i := 0; i+4 <= len(m.Pix); i += 4 {
		p := m.Pix[i : i+4 : i+4]
		if p[3] == 0xff {
			continue
		}
		a := uint32(p[3])
		for c := range 3 {
			p[c] = byte((uint32(p[c])*a + 255*(255-a) + 127) / 255)
		}
	}
}

func onWhite(m image.Image) *image.RGBA {
	b := m.Bounds()
	canvas := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(canvas, canvas.Rect, image.NewUniform(color.White), image.Point{}, draw.Src)
	draw.Draw(canvas, canvas.Rect, m, b.Min, draw.Over)
	return canvas
}
