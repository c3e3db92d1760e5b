package image

import (
	"image"
	"image/color"
	"image/draw"
)

// An Image is a decoded photo, as planes of samples in the stored orientation.
type Image struct {
	Width, Height int // as displayed

	orientation   Orientation
	width, height int // as stored
	planes        []plane
}

// A plane is a rectangle of interleaved samples: one for gray, Y, Cb or Cr,
// four for RGB with a byte to spare.
type plane struct {
	pix           []byte
	stride        int
	width, height int
	step          int // bytes from one sample to the next
}

// newImage takes over m's memory. What has no layout of ours is painted onto
// white.
func newImage(m image.Image, o Orientation) *Image {
	b := m.Bounds()
	img := &Image{Width: b.Dx(), Height: b.Dy(), orientation: o, width: b.Dx(), height: b.Dy()}
	if o.Turned() {
		img.Width, img.Height = img.Height, img.Width
	}
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
		img.planes = []plane{{m.Pix, m.Stride, b.Dx(), b.Dy(), 1}}
	case *image.NRGBA:
		blend(m)
		img.planes = []plane{{m.Pix, m.Stride, b.Dx(), b.Dy(), 4}}
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
	return plane{m.Pix, m.Stride, m.Rect.Dx(), m.Rect.Dy(), 4}
}

// ycbcr returns the planes of m, whose colour planes may be smaller.
func ycbcr(m *image.YCbCr) []plane {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	cw, ch := w, h
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		cw = (w + 1) / 2
	case image.YCbCrSubsampleRatio420:
		cw, ch = (w+1)/2, (h+1)/2
	case image.YCbCrSubsampleRatio440:
		ch = (h + 1) / 2
	case image.YCbCrSubsampleRatio411:
		cw = (w + 3) / 4
	case image.YCbCrSubsampleRatio410:
		cw, ch = (w+3)/4, (h+1)/2
	}
	return []plane{
		{m.Y, m.YStride, w, h, 1},
		{m.Cb, m.CStride, cw, ch, 1},
		{m.Cr, m.CStride, cw, ch, 1},
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
