package baseline

import "encoding/binary"

// peek is how many bits one look into a table decides: most codes are shorter.
const peek = 10

// A huffman decodes the codes of one table (ITU T.81, annex C and F.2.2.3).
type huffman struct {
	// quick has what begins with the peeked bits, 0 where the code is longer; see entry.
	quick   [1 << peek]entry
	most    [18]uint32 // by length: the first code, of 16 bits, that is longer
	offset  [17]int32  // by length: from a code to its symbol
	symbols [256]byte
	count   int
}

// An entry is what a code means. The lowest byte is how many bits it takes. If these hold
// the number that follows the code, too, that is in the upper half and the size is 0.
type entry uint32

func (e entry) bits() uint   { return uint(e & 0xff) }
func (e entry) size() uint   { return uint(e>>8) & 15 }
func (e entry) run() int     { return int(e>>12) & 15 }
func (e entry) value() int32 { return int32(e) >> 16 }

// make fills the table; false if there can be none such. Of a table for AC codes the
// entries have runs and numbers.
func (h *huffman) make(counts [16]byte, symbols []byte, ac bool) bool {
	clear(h.quick[:])
	h.count = copy(h.symbols[:], symbols)
	code, at := uint32(0), 0
	for i, n := range counts {
		length := uint(i + 1)
		h.offset[length] = int32(at) - int32(code)
		for range n {
			if code >= 1<<length {
				return false
			}
			h.enter(code, length, symbols[at], ac)
			code++
			at++
		}
		h.most[length] = code << (16 - length)
		code <<= 1
	}
	h.most[17] = 1 << 16
	return true
}

// enter fills what begins with a code.
func (h *huffman) enter(code uint32, length uint, symbol byte, ac bool) {
	if length > peek {
		return
	}
	first := code << (peek - length)
	for i := range uint32(1) << (peek - length) {
		e := entry(length) | entry(symbol)<<8 // run and size, as they stand in the symbol
		size := uint(symbol & 15)
		if ac && size > 0 && length+size <= peek {
			bits := i >> (peek - length - size)
			e = entry(length+size) | entry(symbol>>4)<<12 | entry(extend(bits, size))<<16
		}
		h.quick[first+i] = e
	}
}

// extend is the number that size bits stand for (F.2.2.1, figure F.12).
func extend(bits uint32, size uint) int32 {
	v := int32(bits)
	if v < 1<<(size-1) {
		v -= 1<<size - 1
	}
	return v
}

// A reader reads bits of a part of the data.
type reader struct {
	data []byte
	next int    // byte that is read next
	end  int    // of the part
	acc  uint64 // what was read and not used, from the highest bit on
	have uint   // bits of it
}

// start begins part number i.
func (r *reader) start(data []byte, ends []int, i int) {
	*r = reader{data: data, end: ends[i]}
	if i > 0 {
		r.next = ends[i-1]
	}
}

// fill reads until at least 56 bits are there.
func (r *reader) fill() {
	r.acc |= binary.BigEndian.Uint64(r.data[r.next:]) >> r.have
	r.next += int(63-r.have) >> 3
	r.have |= 56
}

func (r *reader) drop(n uint) {
	r.acc <<= n
	r.have -= n
}

// look finds what the next code means, and drops its bits. It wants 16 bits.
func (r *reader) look(h *huffman) (entry, bool) {
	if e := h.quick[r.acc>>(64-peek)]; e != 0 {
		r.drop(e.bits())
		return e, true
	}
	e, length := h.long(r.acc)
	r.drop(length)
	return e, length > 0
}

// long finds what a code of more bits than are peeked means that acc begins with, and
// how many it has; 0 if there is no such code.
func (h *huffman) long(acc uint64) (e entry, length uint) {
	bits := uint32(acc >> 48)
	length = peek + 1
	for bits >= h.most[length] {
		length++
	}
	if length > 16 {
		return 0, 0
	}
	at := int(h.offset[length]) + int(bits>>(16-length))
	if uint(at) >= uint(h.count) {
		return 0, 0
	}
	return entry(h.symbols[at]) << 8, length
}

// receive reads a number of so many bits, 1 to 15.
func (r *reader) receive(size uint) int32 {
	v := extend(uint32(r.acc>>(64-size)), size)
	r.drop(size)
	return v
}

// block decodes the coefficients of a block, dequantized, into a zeroed b, and returns
// the place of the last that is not zero. It is false at what is no code, or when the
// data does not suffice.
func (r *reader) block(b *block, before *int32, dc, ac *huffman, q *quant) (last int, ok bool) {
	r.fill()
	e, ok := r.look(dc)
	if !ok || e.run() != 0 {
		return 0, false
	}
	if n := e.size(); n > 0 {
		*before += r.receive(n)
	}
	b[0] = *before * q[0]
	// What every code changes is in registers, not in the reader: each look waits for
	// what the one before it has left.
	data, next, acc, have := r.data, r.next, r.acc, r.have
	for k := 1; k < 64; k++ {
		if have < 32 {
			acc |= binary.BigEndian.Uint64(data[next:]) >> have
			next += int(63-have) >> 3
			have |= 56
		}
		e := ac.quick[acc>>(64-peek)]
		if v := e.value(); v != 0 { // most of them: a short code, and its number with it
			acc <<= e.bits() & 63
			have -= e.bits()
			k += e.run()
			if k > 63 {
				return 0, false
			}
			b[unzig[k&63]] = v * q[k&63]
			last = k
			continue
		}
		if e == 0 {
			var length uint
			if e, length = ac.long(acc); length == 0 {
				return 0, false
			}
			acc <<= length & 63
			have -= length
		} else {
			acc <<= e.bits() & 63
			have -= e.bits()
		}
		size := e.size()
		if size == 0 {
			if e.run() < 15 { // the rest is zero
				break
			}
			k += 15
			continue
		}
		k += e.run()
		if k > 63 {
			return 0, false
		}
		b[unzig[k&63]] = extend(uint32(acc>>(64-size)), size) * q[k&63]
		acc <<= size
		have -= size
		last = k
	}
	r.next, r.acc, r.have = next, acc, have
	return last, next-int(have/8) <= r.end
}

// unzig is the place in rows of the coefficients, in the order of the file (figure A.6).
var unzig = [64]uint8{
	0, 1, 8, 16, 9, 2, 3, 10,
	17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34,
	27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36,
	29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46,
	53, 60, 61, 54, 47, 55, 62, 63,
}
