package image

import (
	"math"

	"primespark/shared/model"
)

// A Fit says where an image stands in a model's input, and takes points back.
type Fit struct {
	Width, Height    int     // of the image as displayed
	ScaleX, ScaleY   float64 // pixels of the input for one of the image
	OffsetX, OffsetY float64 // of the image's top left corner, in pixels of the input
}

// Point returns the point of the image, in pixels, that stands at x, y of the
// input. It may lie outside of the image.
func (f Fit) Point(x, y float64) (float64, float64) {
	return (x - f.OffsetX) / f.ScaleX, (y - f.OffsetY) / f.ScaleY
}

// Box returns the part of a box of the input, given by its corners, that lies
// in the image.
func (f Fit) Box(x1, y1, x2, y2 float64) [4]float64 {
	x1, y1 = f.Point(x1, y1)
	x2, y2 = f.Point(x2, y2)
	w, h := float64(f.Width), float64(f.Height)
	return [4]float64{min(max(x1, 0), w), min(max(y1, 0), h), min(max(x2, 0), w), min(max(y2, 0), h)}
}

// A frame is how an image is fitted: the part of the image that is seen, and
// the part of the input that it fills.
type frame struct {
	Fit
	seenX, seenY, seenW, seenH float64 // in pixels of the image as displayed
	x, y, w, h                 int     // in pixels of the input
}

// fit places an image of width × height in an input of w × h.
func fit(resize model.Resize, anchor model.Anchor, width, height, w, h int) frame {
	f := frame{seenW: float64(width), seenH: float64(height), w: w, h: h}
	f.Width, f.Height = width, height
	sx, sy := float64(w)/float64(width), float64(h)/float64(height)
	switch resize {
	case model.Letterbox:
		s := min(sx, sy)
		f.w = min(w, max(1, int(math.Round(float64(width)*s))))
		f.h = min(h, max(1, int(math.Round(float64(height)*s))))
		if anchor == model.Center {
			f.x, f.y = (w-f.w)/2, (h-f.h)/2
		}
	case model.Crop:
		s := max(sx, sy)
		f.seenW, f.seenH = float64(w)/s, float64(h)/s
		if anchor == model.Center {
			f.seenX, f.seenY = (float64(width)-f.seenW)/2, (float64(height)-f.seenH)/2
		}
	}
	f.ScaleX, f.ScaleY = float64(f.w)/f.seenW, float64(f.h)/f.seenH
	f.OffsetX, f.OffsetY = float64(f.x)-f.seenX*f.ScaleX, float64(f.y)-f.seenY*f.ScaleY
	return f
}
