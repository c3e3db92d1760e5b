package models_test

import (
	"image"
	"image/color"
)

// sideways is an image turned a quarter to the left, as a camera held upright
// stores it.
type sideways struct{ image.Image }

func (s sideways) Bounds() image.Rectangle {
	b := s.Image.Bounds()
	return image.Rect(0, 0, b.Dy(), b.Dx())
}

func (s sideways) At(x, y int) color.Color {
	// Orientation 6: stored row y is the displayed column, from the left, at the
	// displayed right end for row 0 (Exif 2.32, tag 274).
	b := s.Image.Bounds()
	return s.Image.At(b.Max.X-1-y, b.Min.Y+x)
}
