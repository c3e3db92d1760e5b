package image_test

import (
	"fmt"
	stdimage "image"
	"image/color"
	"math"
	"slices"
	"testing"

	"golang.org/x/image/draw"

	"primespark/agent/infer/image"
	"primespark/shared/model"
	"primespark/shared/tensor"
	"primespark/shared/testphoto"
)

// converter returns a converter to an input of w × h, after edit.
func converter(w, h int, edit func(*model.Manifest)) (*image.Converter, tensor.Tensor) {
	m := model.Manifest{
		Inputs: []model.Input{{Name: "in", Type: tensor.Float32, Layout: model.NCHW}},
		Preprocess: &model.Preprocess{
			Resize: model.Stretch, Anchor: model.Center, Color: model.RGB,
			Mean: []float64{0, 0, 0}, Scale: []float64{1, 1, 1},
		},
	}
	if edit != nil {
		edit(&m)
	}
	in := &m.Inputs[0]
	in.Shape = []int{1, m.Preprocess.Color.Channels(), h, w}
	if in.Layout == model.NHWC {
		in.Shape = []int{1, h, w, m.Preprocess.Color.Channels()}
	}
	out, err := tensor.New(in.Name, in.Type, in.Shape...)
	if err != nil {
		panic(err)
	}
	return image.NewConverter(m), out
}

func decode(t testing.TB, data []byte) *image.Image {
	t.Helper()
	img, err := image.Default().Decode(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// smooth is an image whose colours change slowly, so that JPEG and the
// filters keep them.
func smooth(w, h int) *stdimage.RGBA {
	m := stdimage.NewRGBA(stdimage.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetRGBA(x, y, color.RGBA{uint8(20 + 200*x/w), uint8(30 + 180*y/h), uint8(200 - 150*x/w), 255})
		}
	}
	return m
}

// scaled is m as x/image/draw resizes it with the same filter.
func scaled(m stdimage.Image, w, h int) *stdimage.RGBA {
	out := stdimage.NewRGBA(stdimage.Rect(0, 0, w, h))
	draw.BiLinear.Scale(out, out.Rect, m, m.Bounds(), draw.Src, nil)
	return out
}

func TestConvertAgreesWithDraw(t *testing.T) {
	source := smooth(200, 120)
	for _, size := range [][2]int{{64, 64}, {200, 120}, {33, 117}, {320, 200}, {1, 1}, {200, 3}} {
		w, h := size[0], size[1]
		for name, data := range map[string][]byte{"PNG": pngOf(t, source), "JPEG": jpegOf(t, source)} {
			t.Run(fmt.Sprintf("%s to %dx%d", name, w, h), func(t *testing.T) {
				c, out := converter(w, h, nil)
				if _, err := c.Convert(decode(t, data), out); err != nil {
					t.Fatal(err)
				}
				want := scaled(source, w, h)
				got := out.Float32s()
				for i := range w * h {
					for ch := range 3 {
						if d := math.Abs(float64(got[ch*w*h+i]) - float64(want.Pix[4*i+ch])); d > 3 {
							t.Fatalf("pixel %d,%d channel %d is %v, want %v give or take 3", i%w, i/w, ch, got[ch*w*h+i], want.Pix[4*i+ch])
						}
					}
				}
			})
		}
	}
}

// corners has a colour of its own in each quarter: red and green on top, blue
// and white below.
func corners(w, h int) *stdimage.RGBA {
	m := stdimage.NewRGBA(stdimage.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.RGBA{255, 0, 0, 255}
			switch {
			case y < h/2 && x >= w/2:
				c = color.RGBA{0, 255, 0, 255}
			case y >= h/2 && x < w/2:
				c = color.RGBA{0, 0, 255, 255}
			case y >= h/2:
				c = color.RGBA{255, 255, 255, 255}
			}
			m.SetRGBA(x, y, c)
		}
	}
	return m
}

// TestSmallerLooksTheSame: a JPEG that is decoded no larger than it is wanted gives about
// the numbers that it gives at its full size, and its boxes are still those of the photo.
func TestSmallerLooksTheSame(t *testing.T) {
	for name, data := range map[string][]byte{
		"photo":       testphoto.Astronaut(),
		"odd":         jpegOf(t, smooth(401, 277)),
		"turned":      withHead(jpegOf(t, smooth(300, 201)), 0xe1, exifOf(6)),
		"upside down": withHead(jpegOf(t, smooth(300, 201)), 0xe1, exifOf(3)),
		"gray":        jpegOf(t, stdimage.NewGray(stdimage.Rect(0, 0, 400, 400))),
	} {
		for _, resize := range []model.Resize{model.Stretch, model.Letterbox, model.Crop} {
			for _, size := range []int{32, 100} {
				c, out := converter(size, size, func(m *model.Manifest) { m.Preprocess.Resize = resize })
				full, err := c.Convert(decode(t, data), out)
				if err != nil {
					t.Fatal(err)
				}
				want := slices.Clone(out.Float32s())
				img, err := image.Default().Decode(data, c)
				if err != nil {
					t.Fatal(err)
				}
				fit, err := c.Convert(img, out)
				img.Release()
				if err != nil || fit != full {
					t.Errorf("%s, %s to %d: %+v, %v, want %+v", name, resize, size, fit, err, full)
				}
				sum := 0.0
				for i, v := range out.Float32s() {
					sum += math.Abs(float64(v - want[i]))
				}
				// A mean of squares is a little sharper than one weighted by triangles.
				if off := sum / float64(len(want)); off > 6 {
					t.Errorf("%s, %s to %d: off by %.2f of 255 as a rule", name, resize, size, off)
				}
			}
		}
	}
}

// quarters names the colours of the four quarters of an NCHW tensor, row by row.
func quarters(out tensor.Tensor, w, h int) (s string) {
	v := out.Float32s()
	for _, p := range [][2]int{{w / 4, h / 4}, {3 * w / 4, h / 4}, {w / 4, 3 * h / 4}, {3 * w / 4, 3 * h / 4}} {
		i := p[1]*w + p[0]
		r, g, b := v[i] > 128, v[w*h+i] > 128, v[2*w*h+i] > 128
		s += map[[3]bool]string{{true, false, false}: "r", {false, true, false}: "g", {false, false, true}: "b", {true, true, true}: "w"}[[3]bool{r, g, b}]
	}
	return s
}

func TestConvertTurnsUpright(t *testing.T) {
	photo := jpegOf(t, corners(64, 32))
	for orientation, want := range map[int]string{
		1: "rgbw", 2: "grwb", 3: "wbgr", 4: "bwrg", 5: "rbgw", 6: "brwg", 7: "wgbr", 8: "gwrb",
	} {
		t.Run(fmt.Sprint(orientation), func(t *testing.T) {
			img := decode(t, withHead(photo, 0xe1, exifOf(orientation)))
			w, h := 64, 32
			if orientation >= 5 {
				w, h = h, w
			}
			if img.Width != w || img.Height != h {
				t.Errorf("%d × %d pixels, want %d × %d", img.Width, img.Height, w, h)
			}
			c, out := converter(40, 40, nil)
			if _, err := c.Convert(img, out); err != nil {
				t.Fatal(err)
			}
			if got := quarters(out, 40, 40); got != want {
				t.Errorf("the quarters are %s, want %s", got, want)
			}
		})
	}
}

func TestConvertFits(t *testing.T) {
	wide := pngOf(t, corners(80, 40))
	for name, test := range map[string]struct {
		edit     func(*model.Preprocess)
		fit      image.Fit
		at       [2]int  // of a pixel of the input
		value    float32 // of its red
		quarters string
	}{
		"stretch": {func(p *model.Preprocess) {}, image.Fit{ScaleX: .5, ScaleY: 1}, [2]int{0, 0}, 255, "rgbw"},
		"letterbox": {
			func(p *model.Preprocess) { p.Resize = model.Letterbox },
			image.Fit{ScaleX: .5, ScaleY: .5, OffsetY: 10},
			[2]int{5, 9},
			114, "",
		},
		"letterbox top-left": {
			func(p *model.Preprocess) { p.Resize, p.Anchor = model.Letterbox, model.TopLeft },
			image.Fit{ScaleX: .5, ScaleY: .5},
			[2]int{5, 21},
			114, "",
		},
		"crop": {
			func(p *model.Preprocess) { p.Resize = model.Crop },
			image.Fit{ScaleX: 1, ScaleY: 1, OffsetX: -20},
			[2]int{0, 0},
			255, "rgbw",
		},
		"crop top-left": {
			func(p *model.Preprocess) { p.Resize, p.Anchor = model.Crop, model.TopLeft },
			image.Fit{ScaleX: 1, ScaleY: 1},
			[2]int{0, 39},
			0, "rrbb",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, out := converter(40, 40, func(m *model.Manifest) { m.Preprocess.Pad = 114; test.edit(m.Preprocess) })
			fit, err := c.Convert(decode(t, wide), out)
			if err != nil {
				t.Fatal(err)
			}
			test.fit.Width, test.fit.Height = 80, 40
			if fit != test.fit {
				t.Errorf("Fit = %+v, want %+v", fit, test.fit)
			}
			if got := out.Float32s()[test.at[1]*40+test.at[0]]; got != test.value {
				t.Errorf("red at %v is %v, want %v", test.at, got, test.value)
			}
			if got := quarters(out, 40, 40); test.quarters != "" && got != test.quarters {
				t.Errorf("the quarters are %s, want %s", got, test.quarters)
			}
		})
	}
}

func TestConvertOrders(t *testing.T) {
	one := stdimage.NewRGBA(stdimage.Rect(0, 0, 2, 1))
	one.SetRGBA(0, 0, color.RGBA{10, 20, 30, 255})
	one.SetRGBA(1, 0, color.RGBA{40, 50, 60, 255})
	data := pngOf(t, one)
	for name, test := range map[string]struct {
		edit func(*model.Manifest)
		want []float32
	}{
		"NCHW RGB": {func(m *model.Manifest) {}, []float32{10, 40, 20, 50, 30, 60}},
		"NCHW BGR": {func(m *model.Manifest) { m.Preprocess.Color = model.BGR }, []float32{30, 60, 20, 50, 10, 40}},
		"NHWC RGB": {func(m *model.Manifest) { m.Inputs[0].Layout = model.NHWC }, []float32{10, 20, 30, 40, 50, 60}},
		"mean and scale in the order of the colour": {func(m *model.Manifest) {
			m.Preprocess.Color = model.BGR
			m.Preprocess.Mean, m.Preprocess.Scale = []float64{30, 20, 0}, []float64{1, 2, .5}
		}, []float32{0, 30, 0, 60, 5, 20}},
		"gray": {func(m *model.Manifest) {
			m.Preprocess.Color, m.Preprocess.Mean, m.Preprocess.Scale = model.Gray, []float64{0}, []float64{1}
		}, []float32{18.15625, 48.15625}}, // .299 R + .587 G + .114 B, to 1/64
	} {
		t.Run(name, func(t *testing.T) {
			c, out := converter(2, 1, test.edit)
			if _, err := c.Convert(decode(t, data), out); err != nil {
				t.Fatal(err)
			}
			for i, v := range out.Float32s() {
				if math.Abs(float64(v-test.want[i])) > .02 {
					t.Fatalf("%v, want %v", out.Float32s(), test.want)
				}
			}
		})
	}
}

func TestConvertBytes(t *testing.T) {
	source := smooth(50, 50)
	c, out := converter(50, 50, func(m *model.Manifest) { m.Inputs[0].Type, m.Inputs[0].Layout = tensor.Uint8, model.NHWC })
	if _, err := c.Convert(decode(t, pngOf(t, source)), out); err != nil {
		t.Fatal(err)
	}
	for i := range 50 * 50 {
		if [3]byte(out.Data[3*i:]) != [3]byte(source.Pix[4*i:]) {
			t.Fatalf("pixel %d is %v, want %v", i, out.Data[3*i:3*i+3], source.Pix[4*i:4*i+3])
		}
	}
}

func TestConvertShowsTransparencyOnWhite(t *testing.T) {
	m := stdimage.NewNRGBA(stdimage.Rect(0, 0, 1, 1))
	m.SetNRGBA(0, 0, color.NRGBA{200, 0, 0, 0})
	c, out := converter(1, 1, nil)
	if _, err := c.Convert(decode(t, pngOf(t, m)), out); err != nil {
		t.Fatal(err)
	}
	if v := out.Float32s(); v[0] != 255 || v[1] != 255 || v[2] != 255 {
		t.Errorf("a transparent pixel is %v, want white", v)
	}
}

func TestConvertRefusesAnotherTensor(t *testing.T) {
	c, _ := converter(4, 4, nil)
	out, err := tensor.New("in", tensor.Float32, 1, 3, 4, 5)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Convert(decode(t, pngOf(t, corners(4, 4))), out); err == nil {
		t.Error("a tensor of another shape was filled")
	}
}

func TestFitBoxStaysInTheImage(t *testing.T) {
	f := image.Fit{Width: 100, Height: 50, ScaleX: 2, ScaleY: 4, OffsetX: 10, OffsetY: 20}
	if got, want := f.Box(0, 40, 110, 1000), [4]float64{0, 5, 50, 50}; got != want {
		t.Errorf("Box = %v, want %v", got, want)
	}
}

func TestConvertAllocatesNothing(t *testing.T) {
	img := decode(t, jpegOf(t, smooth(300, 200)))
	c, out := converter(64, 64, nil)
	if n := testing.AllocsPerRun(20, func() {
		if _, err := c.Convert(img, out); err != nil {
			t.Fatal(err)
		}
	}); n > 0 && !raceEnabled {
		t.Errorf("%v allocations for one conversion, want 0", n)
	}
}
