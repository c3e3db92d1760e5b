package baseline_test

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"primespark/agent/infer/image/baseline"
	"primespark/shared/testphoto"
)

// encoded is m as image/jpeg writes it: color planes of a half, or gray.
func encoded(t testing.TB, m image.Image, quality int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: quality}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// scene has slow changes, edges and noise.
func scene(w, h int) *image.RGBA {
	r := rand.New(rand.NewPCG(7, 8))
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.RGBA{uint8(200 * x / w), uint8(200 * y / h), uint8(r.IntN(60)), 255}
			if (x/13+y/9)%5 == 0 {
				c = color.RGBA{250, 240, 10, 255}
			}
			m.SetRGBA(x, y, c)
		}
	}
	return m
}

// planesOf are the planes that image/jpeg decodes.
func planesOf(t testing.TB, data []byte) (all [][]byte, strides []int) {
	t.Helper()
	m, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	switch m := m.(type) {
	case *image.Gray:
		return [][]byte{m.Pix}, []int{m.Stride}
	case *image.YCbCr:
		return [][]byte{m.Y, m.Cb, m.Cr}, []int{m.YStride, m.CStride, m.CStride}
	}
	t.Fatalf("a %T", m)
	return nil, nil
}

// names are files that libjpeg-turbo's cjpeg has made of a scene: with each way of smaller
// color planes that there is, with restart markers, and with Huffman codes of their own.
var names = []string{"444.jpg", "422.jpg", "440.jpg", "411.jpg", "restart.jpg", "optimized.jpg"}

func sampled(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func read(t testing.TB, d *baseline.Decoder, data []byte, scale int) []baseline.Plane {
	t.Helper()
	if _, _, err := d.Read(data); err != nil {
		t.Fatal(err)
	}
	planes, err := d.Decode(scale)
	if err != nil {
		t.Fatal(err)
	}
	return planes
}

// TestAsOthersDo: at full size every sample is that of image/jpeg, give or take what two
// ways of rounding differ by.
func TestAsOthersDo(t *testing.T) {
	var d baseline.Decoder // one for all: what one image leaves behind must not show in the next
	all := map[string][]byte{
		"photo":      testphoto.Astronaut(),
		"scene":      encoded(t, scene(150, 77), 90),
		"fine":       encoded(t, scene(64, 64), 100),
		"coarse":     encoded(t, scene(333, 201), 5),
		"one pixel":  encoded(t, scene(1, 1), 75),
		"a row":      encoded(t, scene(400, 1), 75),
		"gray":       encoded(t, gray(scene(99, 55)), 80),
		"gray pixel": encoded(t, gray(scene(1, 1)), 80),
	}
	for _, name := range names {
		all[name] = sampled(t, name)
	}
	for name, data := range all {
		t.Run(name, func(t *testing.T) {
			want, strides := planesOf(t, data)
			got := read(t, &d, data, 1)
			if len(got) != len(want) {
				t.Fatalf("%d planes, want %d", len(got), len(want))
			}
			for i, p := range got {
				for y := range p.Height {
					for x := range p.Width {
						a, b := int(p.Pix[y*p.Stride+x]), int(want[i][y*strides[i]+x])
						if a-b > 2 || b-a > 2 {
							t.Fatalf("sample %d,%d of plane %d is %d, want %d", x, y, i, a, b)
						}
					}
				}
			}
		})
	}
}

func gray(m image.Image) *image.Gray {
	g := image.NewGray(m.Bounds())
	for y := range g.Rect.Dy() {
		for x := range g.Rect.Dx() {
			g.Set(x, y, m.At(x, y))
		}
	}
	return g
}

// TestSmaller: at a part of its size an image looks as if it had been scaled down: each
// sample is about the mean of those that it stands for.
func TestSmaller(t *testing.T) {
	var d baseline.Decoder
	for _, data := range [][]byte{testphoto.Astronaut(), encoded(t, gray(scene(401, 203)), 90)} {
		want, strides := planesOf(t, data)
		for _, scale := range []int{2, 4, 8} {
			t.Run(fmt.Sprint(scale), func(t *testing.T) {
				for i, p := range read(t, &d, data, scale) {
					sum, n := 0.0, 0
					for y := range p.Height - 1 { // the last ones stand for less
						for x := range p.Width - 1 {
							mean := 0
							for v := range scale {
								for h := range scale {
									mean += int(want[i][(y*scale+v)*strides[i]+x*scale+h])
								}
							}
							sum += math.Abs(float64(p.Pix[y*p.Stride+x]) - float64(mean)/float64(scale*scale))
							n++
						}
					}
					if off := sum / float64(n); off > 3 {
						t.Errorf("plane %d is off by %.2f as a rule", i, off)
					}
					if p.SubX%scale != 0 || p.SubY%scale != 0 || p.SubX < scale {
						t.Errorf("plane %d: a sample each %d × %d pixels, at a scale of %d", i, p.SubX, p.SubY, scale)
					}
				}
			})
		}
	}
}

// TestNotOurs: other kinds are refused before they are decoded, and broken data while.
func TestNotOurs(t *testing.T) {
	photo := testphoto.Astronaut()
	var d baseline.Decoder
	for name, data := range map[string][]byte{
		"nothing":      nil,
		"a text":       []byte("hello, world"),
		"its start":    photo[:20],
		"its half":     photo[:len(photo)/2],
		"no end":       photo[:len(photo)-2],
		"progressive":  bytes.Replace(photo, []byte{0xff, 0xc0}, []byte{0xff, 0xc2}, 1),
		"12 bits":      bytes.Replace(photo, []byte{0xff, 0xc0, 0, 17, 8}, []byte{0xff, 0xc0, 0, 17, 12}, 1),
		"RGB by name":  bytes.ReplaceAll(encoded(t, scene(8, 8), 75), []byte{3, 1, 0x22, 0, 2, 0x11, 1, 3}, []byte{3, 'R', 0x22, 0, 'G', 0x11, 1, 'B'}),
		"stray marker": append(append(append([]byte{}, photo[:len(photo)-100]...), 0xff, 0xd3), photo[len(photo)-100:]...),
	} {
		if _, _, err := d.Read(data); !errors.Is(err, baseline.ErrOther) {
			t.Errorf("%s: %v, want ErrOther", name, err)
		}
	}
	data := encoded(t, scene(64, 64), 75)
	short := append(append([]byte{}, data[:len(data)-40]...), 0xff, 0xd9)
	if _, _, err := d.Read(short); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Decode(1); !errors.Is(err, baseline.ErrBroken) {
		t.Errorf("cut off: %v, want ErrBroken", err)
	}
}

// TestNothingNew: the memory of one image serves the next.
func TestNothingNew(t *testing.T) {
	var d baseline.Decoder
	photo := testphoto.Astronaut()
	if n := testing.AllocsPerRun(10, func() { read(t, &d, photo, 1) }); n > 0 {
		t.Errorf("%v allocations for one image, want 0", n)
	}
}

// FuzzDecode: whatever the bytes, the planes are whole.
func FuzzDecode(f *testing.F) {
	f.Add(encoded(f, scene(17, 9), 75))
	f.Add(encoded(f, gray(scene(9, 17)), 30))
	for _, name := range names {
		f.Add(sampled(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var d baseline.Decoder
		w, h, err := d.Read(data)
		if err != nil || w*h > 1<<16 {
			return
		}
		for _, scale := range baseline.Scales {
			planes, err := d.Decode(scale)
			if err != nil {
				if !errors.Is(err, baseline.ErrBroken) {
					t.Error(err)
				}
				return
			}
			for _, p := range planes {
				if p.Width < 1 || p.Height < 1 || p.Width > p.Stride || p.Height*p.Stride > len(p.Pix) {
					t.Errorf("a plane of %d × %d in %d bytes", p.Width, p.Height, len(p.Pix))
				}
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	data := encoded(b, scene(1920, 1080), 85)
	var d baseline.Decoder
	for _, scale := range baseline.Scales {
		b.Run(fmt.Sprintf("scale=%d", scale), func(b *testing.B) {
			for b.Loop() {
				read(b, &d, data, scale)
			}
		})
	}
	b.Run("image/jpeg", func(b *testing.B) {
		for b.Loop() {
			if _, err := jpeg.Decode(bytes.NewReader(data)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
