package image

import (
	"image"
	"image/color"
	"math"
)

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

// bmpCost follows x/image: a byte or four for a pixel, and four for one of a palette
// once it is painted.
func bmpCost(c image.Config, _ []byte) float64 {
	if _, ok := c.ColorModel.(color.Palette); ok {
		return 1 + 4
	}
	return 4
}

// maxBlocks is the number of strips or tiles that a TIFF may consist of: enough for one
// for each row of a photo. Each costs some microseconds, however small it is.
const maxBlocks = 1 << 14

// tiffCost follows x/image, and what newImage adds to it: the image, and the data of one
// strip or tile, which may have eight bytes for a pixel whatever the header says, in a
// buffer that grows by doubling while the old one is still there.
func tiffCost(c image.Config, data []byte) float64 {
	const tagRowsPerStrip, tagTileWidth, tagTileLength = 278, 322, 323 // TIFF 6.0, sections 8 and 15
	rows, width, length := c.Height, 0, 0
	directory(data, func(tag, typ uint16, value uint32) bool {
		if typ != typeShort && typ != typeLong {
			return true
		}
		switch n := int(value); {
		case tag == tagRowsPerStrip && n > 0:
			rows = min(n, c.Height)
		case tag == tagTileWidth:
			width = n
		case tag == tagTileLength:
			length = n
		}
		return true
	})
	block, blocks := float64(c.Width)*float64(rows), (c.Height+rows-1)/max(rows, 1)
	if width > 0 {
		length = max(length, 1)
		block, blocks = float64(width)*float64(length), (c.Width+width-1)/width*((c.Height+length-1)/length)
	}
	if blocks > maxBlocks {
		return math.Inf(1)
	}
	decoded, painted := 1.0, 4.0 // palette
	switch c.ColorModel {
	case color.GrayModel:
		painted = 0
	case color.RGBAModel, color.NRGBAModel:
		decoded, painted = 4, 4
	case color.Gray16Model:
		decoded = 2
	case color.RGBA64Model, color.NRGBA64Model:
		decoded = 8
	}
	return decoded + painted + 3*8*block/(float64(c.Width)*float64(c.Height))
}
