package image_test

import (
	"encoding/binary"
	"testing"

	"primespark/agent/infer/image"
)

// exifOf is the body of an APP1 segment that asks for an orientation, between
// two other tags.
func exifOf(orientation int) string {
	b := []byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x03")
	for _, e := range [][3]uint16{{0x010e, 2, 0}, {0x0112, 3, uint16(orientation)}, {0x0131, 2, 0}} {
		b = binary.BigEndian.AppendUint16(b, e[0])
		b = binary.BigEndian.AppendUint16(b, e[1])
		b = binary.BigEndian.AppendUint32(b, 1)
		b = binary.BigEndian.AppendUint16(b, e[2])
		b = append(b, 0, 0)
	}
	return string(b)
}

func TestEXIFThatIsWrongCountsAsUpright(t *testing.T) {
	photo := jpegOf(t, corners(16, 8))
	for name, body := range map[string]string{
		"orientation 0":         exifOf(0),
		"orientation 9":         exifOf(9),
		"cut off":               exifOf(6)[:30],
		"no directory":          exifOf(6)[:14],
		"directory far away":    "Exif\x00\x00MM\x00*\xff\xff\xff\xff",
		"another byte order":    "Exif\x00\x00XX\x00*\x00\x00\x00\x08",
		"not EXIF":              "http://ns.adobe.com/xap/1.0/\x00",
		"wrong type":            string(append([]byte(exifOf(6))[:6+8+2+12+3], append([]byte{4}, exifOf(6)[6+8+2+12+4:]...)...)),
		"little-endian, of six": "Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			img := decode(t, withHead(photo, 0xe1, body))
			upright := name != "little-endian, of six" // the one that is right
			if got := img.Width == 16; got != upright {
				t.Errorf("%d × %d pixels", img.Width, img.Height)
			}
		})
	}
}

func FuzzEXIF(f *testing.F) {
	photo := jpegOf(f, corners(8, 8))
	f.Add([]byte(exifOf(6)))
	f.Add([]byte("Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > 0xfff0 {
			return
		}
		img, err := image.Default().Decode(withHead(photo, 0xe1, string(body)), nil)
		if err != nil || img.Width != 8 || img.Height != 8 {
			t.Errorf("EXIF spoilt the photo: %v", err)
		}
	})
}
