package baseline

import (
	"bytes"
	"encoding/binary"
)

// Markers (ITU T.81, table B.1).
const (
	sof0 = 0xc0 // baseline
	sof1 = 0xc1 // extended sequential
	dht  = 0xc4
	jpg  = 0xc8
	sof  = 0xcf // the last of all frames
	rst0 = 0xd0
	rst7 = 0xd7
	soi  = 0xd8
	eoi  = 0xd9
	sos  = 0xda
	dqt  = 0xdb
	dri  = 0xdd
	app0 = 0xe0
	appE = 0xee // Adobe's
)

const maxComponents = 3

// A head is what stands before the scan.
type head struct {
	width, height int
	count         int // of components
	components    [maxComponents]component
	h, v          int // the largest factors
	across, down  int // units
	interval      int // units between restart markers, 0 for none
	quants        [4]quant
	dc, ac        [4]huffman
	seen          struct{ quants, dc, ac [4]bool }
	jfif, rgb     bool
}

type component struct {
	id     byte
	h, v   int  // blocks in a unit
	quant  byte // table
	dc, ac byte // tables
}

// A quant is a quantization table in the order of the file.
type quant [64]int32

// parse reads all that stands before the scan, and returns what follows.
func (d *head) parse(data []byte) (scan []byte, ok bool) {
	d.count, d.interval, d.jfif, d.rgb = 0, 0, false, false
	d.seen = struct{ quants, dc, ac [4]bool }{}
	if len(data) < 2 || data[0] != 0xff || data[1] != soi {
		return nil, false
	}
	data = data[2:]
	for {
		for len(data) > 1 && data[0] == 0xff && data[1] == 0xff { // fill bytes (B.1.1.2)
			data = data[1:]
		}
		if len(data) < 4 || data[0] != 0xff {
			return nil, false
		}
		marker, size := data[1], int(binary.BigEndian.Uint16(data[2:]))
		if size < 2 || len(data) < 2+size {
			return nil, false
		}
		body := data[4 : 2+size]
		data = data[2+size:]
		switch {
		case marker == sos:
			return data, d.start(body)
		case marker == dht:
			ok = d.huffmans(body)
		case marker == dqt:
			ok = d.quantizations(body)
		case marker == sof0 || marker == sof1:
			ok = d.frame(body)
		case marker == dri:
			if ok = len(body) == 2; ok {
				d.interval = int(binary.BigEndian.Uint16(body))
			}
		case marker > sof1 && marker <= sof && marker != jpg: // other frames, and arithmetic coding
			ok = false
		case marker == app0:
			d.jfif = d.jfif || bytes.HasPrefix(body, []byte("JFIF\x00"))
			ok = true
		case marker == appE:
			// Its last byte is the color transform, of which 0 is none.
			if bytes.HasPrefix(body, []byte("Adobe")) && len(body) >= 12 {
				d.rgb = body[11] == 0
			}
			ok = true
		default:
			ok = marker > app0 || marker == 0xfe // applications' data and comments
		}
		if !ok {
			return nil, false
		}
	}
}

// frame reads a frame header (B.2.2).
func (d *head) frame(b []byte) bool {
	if d.count != 0 || len(b) < 6 || b[0] != 8 {
		return false
	}
	d.height, d.width, d.count = int(binary.BigEndian.Uint16(b[1:])), int(binary.BigEndian.Uint16(b[3:])), int(b[5])
	if d.width == 0 || d.height == 0 || d.count != 1 && d.count != maxComponents || len(b) != 6+3*d.count {
		return false
	}
	d.h, d.v = 1, 1
	for i := range d.count {
		c := b[6+3*i:]
		d.components[i] = component{id: c[0], h: int(c[1] >> 4), v: int(c[1] & 15), quant: c[2]}
		if c[2] > 3 {
			return false
		}
	}
	y, cb, cr := &d.components[0], &d.components[1], &d.components[2]
	if d.count == 1 { // whose units are single blocks, whatever the factors (A.2.2)
		y.h, y.v = 1, 1
	} else {
		if cb.h != 1 || cb.v != 1 || cr.h != 1 || cr.v != 1 || y.h < 1 || y.h == 3 || y.h > 4 || y.v < 1 || y.v > 2 ||
			y.id == cb.id || y.id == cr.id || cb.id == cr.id {
			return false
		}
		d.h, d.v = y.h, y.v
	}
	d.across, d.down = (d.width+8*d.h-1)/(8*d.h), (d.height+8*d.v-1)/(8*d.v)
	return true
}

// start reads a scan header (B.2.3), which is of all components.
func (d *head) start(b []byte) bool {
	if d.count == 0 || len(b) != 4+2*d.count || int(b[0]) != d.count {
		return false
	}
	for i := range d.count {
		c := &d.components[i]
		c.dc, c.ac = b[2+2*i]>>4, b[2+2*i]&15
		if b[1+2*i] != c.id || c.dc > 3 || c.ac > 3 || !d.seen.dc[c.dc] || !d.seen.ac[c.ac] || !d.seen.quants[c.quant] {
			return false
		}
	}
	if d.count == maxComponents && !d.jfif {
		ids := [3]byte{d.components[0].id, d.components[1].id, d.components[2].id}
		return !d.rgb && ids != [3]byte{'R', 'G', 'B'}
	}
	return true
}

// quantizations reads quantization tables (B.2.4.1).
func (d *head) quantizations(b []byte) bool {
	for len(b) > 0 {
		wide, to := b[0]>>4, b[0]&15
		size := 64 * (1 + int(wide))
		if wide > 1 || to > 3 || len(b) < 1+size {
			return false
		}
		for i := range d.quants[to] {
			if wide == 0 {
				d.quants[to][i] = int32(b[1+i])
			} else {
				d.quants[to][i] = int32(binary.BigEndian.Uint16(b[1+2*i:]))
			}
		}
		d.seen.quants[to] = true
		b = b[1+size:]
	}
	return true
}

// huffmans reads Huffman tables (B.2.4.2).
func (d *head) huffmans(b []byte) bool {
	for len(b) > 0 {
		class, to := b[0]>>4, b[0]&15
		if class > 1 || to > 3 || len(b) < 17 {
			return false
		}
		n := 0
		for _, k := range b[1:17] {
			n += int(k)
		}
		if n == 0 || n > 256 || len(b) < 17+n {
			return false
		}
		table, seen := &d.dc[to], &d.seen.dc[to]
		if class == 1 {
			table, seen = &d.ac[to], &d.seen.ac[to]
		}
		if !table.make([16]byte(b[1:17]), b[17:17+n], class == 1) {
			return false
		}
		*seen = true
		b = b[17+n:]
	}
	return true
}

// behind is how many zeros follow the data: more than one block can take.
const behind = 512

// unstuff copies the entropy-coded data, without the zeros that follow 0xff in it, and
// notes where its parts end. It wants the end of the image after it (B.1.1.5).
func (d *Decoder) unstuff(scan []byte) bool {
	if cap(d.data) < len(scan)+behind {
		d.data = make([]byte, 0, len(scan)+len(scan)/4+behind)
	}
	d.data, d.ends = d.data[:0], d.ends[:0]
	for {
		n := bytes.IndexByte(scan, 0xff)
		if n < 0 || n+1 >= len(scan) {
			return false
		}
		d.data = append(d.data, scan[:n]...)
		switch marker := scan[n+1]; {
		case marker == 0:
			d.data = append(d.data, 0xff)
		case marker == 0xff: // fill: the next byte counts
			scan = scan[n+1:]
			continue
		case marker >= rst0 && marker <= rst7:
			if d.interval == 0 || int(marker-rst0) != len(d.ends)%8 {
				return false
			}
			d.ends = append(d.ends, len(d.data))
		default:
			d.ends = append(d.ends, len(d.data))
			size := len(d.data)
			d.data = d.data[:size+behind]
			clear(d.data[size:])
			return marker == eoi
		}
		scan = scan[n+2:]
	}
}
