package image

import "encoding/binary"

// Orientation is how the stored rows and columns stand to the displayed ones
// (Exif 2.32, tag 274): 1 is upright, 2 mirrored, 3 upside down, 4 flipped, and
// in 5 to 8 the stored rows are displayed as columns.
type Orientation int

// Turned reports whether stored rows are displayed as columns.
func (o Orientation) Turned() bool { return o >= 5 && o <= 8 }

// mirrored reports whether displayed columns, and rows, run against the stored
// rows or columns that they come from.
func (o Orientation) mirrored() (columns, rows bool) {
	return o == 2 || o == 3 || o == 6 || o == 7, o == 3 || o == 4 || o == 7 || o == 8
}

const (
	tagOrientation = 0x0112
	typeShort      = 3
	typeLong       = 4
	maxEntries     = 512 // of a directory; cameras write a few dozen
)

// orientation finds the orientation in an EXIF block, which is a TIFF header
// and its first directory. Whatever is not as the standard says counts as upright.
func orientation(tiff []byte) Orientation {
	o := Orientation(1)
	directory(tiff, func(tag, typ uint16, value uint32) bool {
		if tag != tagOrientation {
			return true
		}
		if typ == typeShort && value >= 1 && value <= 8 {
			o = Orientation(value)
		}
		return false
	})
	return o
}

// directory walks the first directory of a TIFF (TIFF 6.0, section 2) until f returns
// false. The value is the first one, if it stands in the entry itself and is of typeShort
// or typeLong, and of no meaning otherwise.
func directory(tiff []byte, f func(tag, typ uint16, value uint32) bool) {
	if len(tiff) < 8 {
		return
	}
	var order binary.ByteOrder
	switch string(tiff[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return
	}
	at := uint64(order.Uint32(tiff[4:]))
	if at+2 > uint64(len(tiff)) {
		return
	}
	entries := tiff[at+2:]
	n := int(order.Uint16(tiff[at:]))
	for i := 0; i < min(n, maxEntries) && len(entries) >= 12*(i+1); i++ {
		e := entries[12*i:]
		value := order.Uint32(e[8:])
		if order.Uint16(e[2:]) == typeShort {
			value = uint32(order.Uint16(e[8:]))
		}
		if !f(order.Uint16(e), order.Uint16(e[2:]), value) {
			return
		}
	}
}

// segments walks the marker segments of a JPEG up to the image data (ITU T.81,
// B.1.1.4) until f returns false.
func segments(data []byte, f func(marker byte, body []byte) bool) {
	const startOfScan, endOfImage = 0xda, 0xd9
	for i := 2; i+4 <= len(data); {
		if data[i] != 0xff {
			return
		}
		marker := data[i+1]
		if marker == 0xff { // padding
			i++
			continue
		}
		if marker == startOfScan || marker == endOfImage {
			return
		}
		size := int(binary.BigEndian.Uint16(data[i+2:]))
		if size < 2 || i+2+size > len(data) {
			return
		}
		if !f(marker, data[i+4:i+2+size]) {
			return
		}
		i += 2 + size
	}
}

func jpegEXIF(data []byte) (tiff []byte) {
	const app1, head = 0xe1, "Exif\x00\x00"
	segments(data, func(marker byte, body []byte) bool {
		if marker == app1 && len(body) > len(head) && string(body[:len(head)]) == head {
			tiff = body[len(head):]
		}
		return tiff == nil
	})
	return tiff
}

// pngEXIF finds the chunk eXIf (PNG specification, third edition, 11.3.5.6).
func pngEXIF(data []byte) []byte { return pngChunk(data, "eXIf") }

// pngChunk is the body of the first chunk of that kind; nil if there is none.
func pngChunk(data []byte, want string) []byte {
	for i := uint64(8); i+8 <= uint64(len(data)); {
		size := uint64(binary.BigEndian.Uint32(data[i:]))
		kind, body := string(data[i+4:i+8]), data[i+8:]
		if size > uint64(len(body)) {
			return nil
		}
		if kind == want {
			return body[:size]
		}
		i += 12 + size // with the length, the kind and the checksum
	}
	return nil
}

// webpEXIF finds the chunk EXIF (RFC 9649, 2.7.1.5).
func webpEXIF(data []byte) []byte {
	for i := uint64(12); i+8 <= uint64(len(data)); {
		size := uint64(binary.LittleEndian.Uint32(data[i+4:]))
		kind, body := string(data[i:i+4]), data[i+8:]
		if size > uint64(len(body)) {
			return nil
		}
		if kind == "EXIF" {
			return body[:size]
		}
		i += 8 + size + size&1 // chunks are padded to an even size
	}
	return nil
}
