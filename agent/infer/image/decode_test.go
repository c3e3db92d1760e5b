package image_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	stdimage "image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"primespark/agent/infer/image"
	"primespark/shared/problem"
	"primespark/shared/testphoto"
)

// pngOf encodes m.
func pngOf(t testing.TB, m stdimage.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func jpegOf(t testing.TB, m stdimage.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// bomb is a PNG that says it has width × height pixels, and has none.
func bomb(width, height uint32, colorType byte) []byte {
	return pngBomb(width, height, colorType, 0, "")
}

// pngBomb is a bomb that may be interlaced (1) and have a chunk that tells the
// transparent shade.
func pngBomb(width, height uint32, colorType, interlace byte, shade string) []byte {
	b := []byte("\x89PNG\r\n\x1a\n")
	chunk := func(kind string, body []byte) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
		start := len(b)
		b = append(append(b, kind...), body...)
		b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[start:]))
	}
	head := binary.BigEndian.AppendUint32(nil, width)
	head = binary.BigEndian.AppendUint32(head, height)
	chunk("IHDR", append(head, 8, colorType, 0, 0, interlace))
	if shade != "" {
		chunk("tRNS", []byte(shade))
	}
	chunk("IDAT", make([]byte, 64))
	chunk("IEND", nil)
	return b
}

// bmpBomb is a BMP that says it has width × height pixels of 24 bits, and has none.
func bmpBomb(width, height uint32) []byte {
	b := append([]byte("BM"), make([]byte, 8)...)
	for _, v := range []uint32{54, 40, width, height, 24<<16 | 1, 0, 0, 0, 0, 0, 0} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

// withHead returns a JPEG with a segment right after its start.
func withHead(photo []byte, marker byte, body string) []byte {
	head := []byte{0xff, 0xd8, 0xff, marker}
	head = binary.BigEndian.AppendUint16(head, uint16(len(body)+2))
	return append(append(head, body...), photo[2:]...)
}

// frameOf is a JPEG that has no data after a frame header of that kind and size, with
// color planes half as wide and high.
func frameOf(marker byte, width, height uint16) []byte {
	body := binary.BigEndian.AppendUint16([]byte{8}, height)
	body = binary.BigEndian.AppendUint16(body, width)
	body = append(body, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1)
	return withHead([]byte{0xff, 0xd8, 0xff, 0xda, 0, 2}, marker, string(body))
}

func bmpOf(t testing.TB, m stdimage.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := bmp.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func deflated(t testing.TB, m stdimage.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := tiff.Encode(&b, m, &tiff.Options{Compression: tiff.Deflate, Predictor: true}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// tiffOf is a TIFF of eight-bit gray pixels with one strip and more entries, in the order
// of their tags: a tag and a number each. It says it has so many pixels, and has 1024.
func tiffOf(width, height uint32, more ...uint32) []byte {
	entries := []uint32{256, width, 257, height, 258, 8, 259, 1, 262, 1, 273, 0}
	entries = append(append(entries, more...), 279, width*height)
	if len(more) > 0 && more[0] >= 322 { // tiles
		entries = append(entries[:len(entries)-2-len(more)], append([]uint32{279, 64}, more...)...)
	}
	n := len(entries) / 2
	b := binary.LittleEndian.AppendUint32([]byte("II*\x00"), 8)
	b = binary.LittleEndian.AppendUint16(b, uint16(n))
	for i := 0; i < len(entries); i += 2 {
		b = binary.LittleEndian.AppendUint16(b, uint16(entries[i]))
		kind := uint16(4)
		if entries[i] == 274 { // the orientation is a short number
			kind = 3
		}
		b = binary.LittleEndian.AppendUint16(b, kind)
		b = binary.LittleEndian.AppendUint32(b, 1)
		if entries[i] == 273 {
			entries[i+1] = uint32(8 + 2 + 12*n + 4)
		}
		b = binary.LittleEndian.AppendUint32(b, entries[i+1])
	}
	return append(b, make([]byte, 4+1024)...)
}

// A TIFF has its orientation in the directory that it begins with.
func TestTurnedTIFF(t *testing.T) {
	img, err := image.Default().Decode(tiffOf(33, 17, 274, 6), nil)
	if err != nil || img.Width != 17 || img.Height != 33 {
		t.Errorf("a TIFF that is to be turned: error %v, or not 17 × 33 pixels", err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	photo := testphoto.Astronaut()
	for name, test := range map[string]struct {
		data []byte
		code problem.Code
		want string
	}{
		"nothing":             {nil, problem.BadMedia, "0 bytes sent as an image"},
		"a text":              {[]byte("hello, world"), problem.BadMedia, "neither JPEG nor PNG nor WebP"},
		"base64":              {[]byte(base64.StdEncoding.EncodeToString(photo)), problem.BadMedia, "are base64 text"},
		"a data URL":          {[]byte("data:image/jpeg;base64,/9j/"), problem.BadMedia, "are base64 text"},
		"base64 of a text":    {[]byte(base64.StdEncoding.EncodeToString([]byte("hello, this is a text and no image"))), problem.BadMedia, "neither"},
		"a GIF":               {[]byte("GIF89a\x01\x00\x01\x00"), problem.BadMedia, "neither"},
		"a cut-off JPEG":      {photo[:len(photo)/2], problem.Invalid, "The JPEG is broken"},
		"a JPEG's start":      {photo[:20], problem.Invalid, "The JPEG is broken"},
		"a broken WebP":       {[]byte("RIFF\x10\x00\x00\x00WEBPVP8 \x00\x00\x00\x00"), problem.Invalid, "The WebP is broken"},
		"a PNG bomb":          {bomb(20000, 20000, 2), problem.TooLarge, "20000 × 20000 pixels"},
		"a long PNG":          {bomb(16385, 1, 2), problem.TooLarge, "16385 × 1 pixels"},
		"a PNG of 20 MP":      {bomb(5000, 4000, 2), problem.TooLarge, "would take 80 MB"},
		"passes of 12 MP":     {pngBomb(4000, 3000, 2, 1, ""), problem.TooLarge, "would take 96 MB"},
		"a gray PNG of 20 MP": {bomb(5000, 4000, 0), problem.Invalid, "The PNG is broken"},
		"one shade clear":     {pngBomb(5000, 4000, 0, 0, "\x00\x01"), problem.TooLarge, "would take 80 MB"},
		"an empty 12 MP PNG":  {bomb(4000, 3000, 2), problem.Invalid, "The PNG is broken"},
		"a progressive JPEG":  {frameOf(0xc2, 4000, 3000), problem.TooLarge, "would take 90 MB"},
		"a baseline JPEG":     {frameOf(0xc0, 4000, 3000), problem.Invalid, "The JPEG is broken"},
		"a cut-off BMP":       {bmpOf(t, stdimage.NewRGBA(stdimage.Rect(0, 0, 64, 64)))[:1000], problem.Invalid, "The BMP is broken"},
		"a BMP bomb":          {bmpBomb(5000, 4000), problem.TooLarge, "would take 80 MB"},
		"a cut-off TIFF":      {deflated(t, stdimage.NewRGBA(stdimage.Rect(0, 0, 64, 64)))[:100], problem.Invalid, "The TIFF is broken"},
		"a TIFF bomb":         {tiffOf(20000, 20000), problem.TooLarge, "20000 × 20000 pixels"},
		"a TIFF of 4 MP":      {tiffOf(2000, 2000), problem.TooLarge, "would take 100 MB"},
		"a TIFF of crumbs":    {tiffOf(4000, 4000, 322, 8, 323, 8), problem.TooLarge, "cut into more than 16384 parts"},
		"a TIFF of one tile":  {tiffOf(2000, 2000, 322, 2000, 323, 2000), problem.TooLarge, "would take 100 MB"},
		"too many bytes":      {make([]byte, 16<<20+1), problem.TooLarge, "16777217 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := image.Default().Decode(test.data, nil)
			runtime.ReadMemStats(&after)
			p, ok := errors.AsType[*problem.Error](err)
			if !ok || p.Code != test.code || !strings.Contains(p.Detail, test.want) || p.Remedy == "" {
				t.Errorf("Decode = %+v, want %s with %q and a remedy", err, test.code, test.want)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > 64e6 {
				t.Errorf("it cost %d bytes, want at most 64e6", took)
			}
		})
	}
}

func TestDecodeTakes(t *testing.T) {
	r := stdimage.Rect(0, 0, 33, 17)
	for name, data := range map[string][]byte{
		"JPEG":           jpegOf(t, stdimage.NewRGBA(r)),
		"gray JPEG":      jpegOf(t, stdimage.NewGray(r)),
		"PNG":            pngOf(t, stdimage.NewRGBA(r)),
		"gray PNG":       pngOf(t, stdimage.NewGray(r)),
		"16-bit PNG":     pngOf(t, stdimage.NewRGBA64(r)),
		"16-bit gray":    pngOf(t, stdimage.NewGray16(r)),
		"alpha PNG":      pngOf(t, stdimage.NewNRGBA(r)),
		"16-bit alpha":   pngOf(t, stdimage.NewNRGBA64(r)),
		"palette PNG":    pngOf(t, stdimage.NewPaletted(r, color.Palette{color.Black, color.Transparent})),
		"lossless WebP":  read(t, "lossless.webp"),
		"lossy WebP":     read(t, "lossy.webp"),
		"WebP and alpha": read(t, "alpha.webp"),
		"CMYK JPEG":      read(t, "cmyk.jpg"),
		"BMP":            bmpOf(t, stdimage.NewRGBA(r)),
		"gray BMP":       bmpOf(t, stdimage.NewGray(r)),
		"palette BMP":    bmpOf(t, stdimage.NewPaletted(r, color.Palette{color.Black, color.White})),
		"alpha BMP":      bmpOf(t, stdimage.NewNRGBA(r)),
		"TIFF":           deflated(t, stdimage.NewRGBA(r)),
		"gray TIFF":      tiffOf(33, 17),
		"16-bit TIFF":    deflated(t, stdimage.NewRGBA64(r)),
		"gray16 TIFF":    deflated(t, stdimage.NewGray16(r)),
		"alpha TIFF":     deflated(t, stdimage.NewNRGBA(r)),
		"palette TIFF":   deflated(t, stdimage.NewPaletted(r, color.Palette{color.Black, color.White})),
	} {
		t.Run(name, func(t *testing.T) {
			img, err := image.Default().Decode(data, nil)
			if err != nil {
				t.Fatal(err)
			}
			if img.Width != 33 || img.Height != 17 {
				t.Errorf("%d × %d pixels, want 33 × 17", img.Width, img.Height)
			}
		})
	}
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func FuzzDecode(f *testing.F) {
	small := stdimage.NewRGBA(stdimage.Rect(0, 0, 8, 8))
	f.Add(jpegOf(f, small))
	f.Add(pngOf(f, small))
	f.Add(bmpOf(f, small))
	f.Add(deflated(f, small))
	f.Add(tiffOf(33, 17, 274, 6))
	f.Add(tiffOf(32, 32, 322, 16, 323, 16))
	f.Add(bmpBomb(100, 100))
	for _, name := range []string{"lossless.webp", "lossy.webp", "alpha.webp", "cmyk.jpg"} {
		f.Add(read(f, name))
	}
	f.Add(bomb(20000, 20000, 6))
	f.Add(frameOf(0xc2, 100, 100))
	limits := image.Limits{Bytes: 1 << 16, Pixels: 1 << 14, Side: 1 << 10, Memory: 1 << 18}
	c, out := converter(16, 16, nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		if img, err := limits.Decode(data, c); err == nil {
			if _, err := c.Convert(img, out); err != nil {
				t.Error(err)
			}
			img.Release()
		}
		img, err := limits.Decode(data, nil)
		if err == nil && (img.Width < 1 || img.Height < 1 || img.Width*img.Height > limits.Pixels) {
			t.Errorf("%d × %d pixels passed the limits", img.Width, img.Height)
		}
		if _, ok := errors.AsType[*problem.Error](err); err != nil && !ok {
			t.Errorf("%v is no problem", err)
		}
	})
}

func TestCost(t *testing.T) {
	for name, test := range map[string]struct {
		data []byte
		want int
	}{
		"a text":              {[]byte("hello, world"), 0},
		"a cut-off head":      {testphoto.Astronaut()[:20], 0},
		"a PNG bomb":          {bomb(20000, 20000, 2), 0},
		"a PNG of 12 MP":      {bomb(4000, 3000, 2), 48e6},
		"a baseline of 12 MP": {frameOf(0xc0, 4000, 3000), 18e6},
		"a gray PNG":          {bomb(100, 100, 0), 1e4},
		"a TIFF of one strip": {tiffOf(1000, 1000), 25e6},
		"a TIFF of rows":      {tiffOf(1000, 1000, 278, 1), 1.024e6},
	} {
		if got := image.Default().Cost(test.data, nil); got != test.want {
			t.Errorf("%s costs %d, want %d", name, got, test.want)
		}
	}
	large := jpegOf(t, stdimage.NewGray(stdimage.Rect(0, 0, 2500, 1700)))
	c, _ := converter(416, 416, nil)
	if got := image.Default().Cost(large, c); got != 2500*1700/16+len(large) {
		t.Errorf("a photo that is wanted small costs %d, want %d", got, 2500*1700/16+len(large))
	}
}
