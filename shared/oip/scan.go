package oip

import (
	"bytes"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// maxDepth bounds the nesting of values that are skipped.
const maxDepth = 64

// A scanner reads one JSON document (RFC 8259), forward, without building
// anything that the caller did not ask for: a tensor of a million numbers goes
// from its text into its bytes and nowhere else.
type scanner struct {
	data []byte
	at   int // index of the next byte
}

func (s *scanner) broken(why string) error {
	return invalid("Send one JSON object, as in the Open Inference Protocol v2.",
		"The JSON is broken at byte %d: %s.", s.at, why)
}

// peek returns the next byte that is no white space, or 0 at the end.
func (s *scanner) peek() byte {
	for s.at < len(s.data) {
		switch c := s.data[s.at]; c {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return c
		}
	}
	return 0
}

// take reads c if it is next.
func (s *scanner) take(c byte) bool {
	if s.peek() != c || s.at == len(s.data) {
		return false
	}
	s.at++
	return true
}

// object calls member for each of an object's members, with the scanner at the
// member's value.
func (s *scanner) object(member func(key string) error) error {
	if !s.take('{') {
		return s.broken("want an object")
	}
	if s.take('}') {
		return nil
	}
	for {
		key, err := s.text()
		if err != nil {
			return err
		}
		if !s.take(':') {
			return s.broken("want a colon after the name of a member")
		}
		if err := member(key); err != nil {
			return err
		}
		if s.take('}') {
			return nil
		}
		if !s.take(',') {
			return s.broken("want a comma or the end of the object")
		}
	}
}

// array calls element for each of an array's elements, with the scanner at it.
func (s *scanner) array(element func(i int) error) error {
	if !s.take('[') {
		return s.broken("want an array")
	}
	if s.take(']') {
		return nil
	}
	for i := 0; ; i++ {
		if err := element(i); err != nil {
			return err
		}
		if s.take(']') {
			return nil
		}
		if !s.take(',') {
			return s.broken("want a comma or the end of the array")
		}
	}
}

// end checks that nothing but white space is left.
func (s *scanner) end() error {
	if s.peek(); s.at < len(s.data) {
		return s.broken("want nothing after the object")
	}
	return nil
}

// text reads a string.
func (s *scanner) text() (string, error) {
	b, err := s.appendText(nil)
	return string(b), err
}

// optionalText reads a string, or null for none: what many clients write for a
// member that they leave out.
func (s *scanner) optionalText() (string, error) {
	if s.literal("null") {
		return "", nil
	}
	return s.text()
}

// appendText reads a string and appends what it stands for to dst.
func (s *scanner) appendText(dst []byte) ([]byte, error) {
	if !s.take('"') {
		return dst, s.broken("want a string")
	}
	for {
		rest := s.data[s.at:]
		n := 0
		for n < len(rest) && rest[n] != '"' && rest[n] != '\\' && rest[n] >= 0x20 {
			n++
		}
		if n == len(rest) {
			s.at = len(s.data)
			return dst, s.broken("a string does not end")
		}
		if !utf8.Valid(rest[:n]) {
			return dst, s.broken("a string is not UTF-8; such bytes travel in binary (" + HeaderLength + ")")
		}
		dst = append(dst, rest[:n]...)
		s.at += n
		switch rest[n] {
		case '"':
			s.at++
			return dst, nil
		case '\\':
			s.at++
			var err error
			if dst, err = s.appendEscape(dst); err != nil {
				return dst, err
			}
		default:
			return dst, s.broken("a control character within a string")
		}
	}
}

func (s *scanner) appendEscape(dst []byte) ([]byte, error) {
	if s.at == len(s.data) {
		return dst, s.broken("a string does not end")
	}
	c := s.data[s.at]
	s.at++
	switch c {
	case '"', '\\', '/':
		return append(dst, c), nil
	case 'b':
		return append(dst, '\b'), nil
	case 'f':
		return append(dst, '\f'), nil
	case 'n':
		return append(dst, '\n'), nil
	case 'r':
		return append(dst, '\r'), nil
	case 't':
		return append(dst, '\t'), nil
	case 'u':
		return s.appendUnit(dst)
	}
	return dst, s.broken("an unknown escape in a string")
}

// appendUnit reads the four digits of a \u escape, and a second escape where
// the first is one half of a pair.
func (s *scanner) appendUnit(dst []byte) ([]byte, error) {
	r, ok := s.hex4()
	if ok && utf16.IsSurrogate(r) {
		ok = bytes.HasPrefix(s.data[s.at:], []byte(`\u`))
		if ok {
			s.at += 2
			var low rune
			low, ok = s.hex4()
			r = utf16.DecodeRune(r, low)
			ok = ok && r != utf8.RuneError
		}
	}
	if !ok {
		return dst, s.broken(`a \u escape that stands for no character`)
	}
	return utf8.AppendRune(dst, r), nil
}

func (s *scanner) hex4() (rune, bool) {
	if len(s.data)-s.at < 4 {
		return 0, false
	}
	v, err := strconv.ParseUint(string(s.data[s.at:s.at+4]), 16, 16)
	if err != nil {
		return 0, false
	}
	s.at += 4
	return rune(v), true
}

// literal reads true, false or null if it is next.
func (s *scanner) literal(word string) bool {
	if s.peek(); !bytes.HasPrefix(s.data[s.at:], []byte(word)) {
		return false
	}
	s.at += len(word)
	return true
}

// skip reads a value of any kind and forgets it.
func (s *scanner) skip(depth int) error {
	if depth > maxDepth {
		return s.broken("it is nested too deep")
	}
	switch c := s.peek(); {
	case c == '{':
		return s.object(func(string) error { return s.skip(depth + 1) })
	case c == '[':
		return s.array(func(int) error { return s.skip(depth + 1) })
	case c == '"':
		_, err := s.text()
		return err
	case c == '-' || c >= '0' && c <= '9':
		_, err := s.number()
		return err
	case s.literal("true"), s.literal("false"), s.literal("null"):
		return nil
	}
	return s.broken("want a value")
}

// A number is a JSON number as it is written, together with what falls off
// while its end is sought.
type number struct {
	text     []byte // of the scanner's data
	digits   uint64 // the digits as one integer, unless lost
	exp      int    // value = ±digits × 10^exp, unless lost
	negative bool
	whole    bool // written as an integer: no fraction, no exponent
	lost     bool // digits or exp do not hold it
}

// number reads a number of JSON's grammar, which is narrower than that of
// package strconv.
func (s *scanner) number() (number, error) {
	s.peek()
	data, start := s.data, s.at
	n := number{whole: true}
	i := start
	if i < len(data) && data[i] == '-' {
		n.negative = true
		i++
	}
	first := i
	i = n.scan(data, i)
	switch {
	case i == first:
		s.at = i
		return n, s.broken("want a number (NaN and the infinities travel in binary only)")
	case data[first] == '0' && i > first+1:
		s.at = first
		return n, s.broken("a number begins with a needless zero")
	}
	if i < len(data) && data[i] == '.' {
		n.whole = false
		point := i + 1
		if i = n.scan(data, point); i == point {
			s.at = i
			return n, s.broken("want a digit after the point")
		}
		n.exp = point - i
	}
	if i < len(data) && data[i]|0x20 == 'e' {
		n.whole = false
		i++
		minus := false
		if i < len(data) && (data[i] == '+' || data[i] == '-') {
			minus = data[i] == '-'
			i++
		}
		exp := number{}
		begin := i
		if i = exp.scan(data, i); i == begin {
			s.at = i
			return n, s.broken("want a digit in the exponent")
		}
		if exp.lost || exp.digits > 9999 {
			n.lost = true
		} else if minus {
			n.exp -= int(exp.digits)
		} else {
			n.exp += int(exp.digits)
		}
	}
	s.at = i
	n.text = data[start:i]
	return n, nil
}

// scan reads digits at data[i:] into n and returns the index after them.
func (n *number) scan(data []byte, i int) int {
	const tenth, last = math.MaxUint64 / 10, math.MaxUint64 % 10
	for i < len(data) {
		d := data[i] - '0'
		if d > 9 {
			break
		}
		if n.digits >= tenth && (n.digits > tenth || d > last) {
			n.lost = true
		}
		n.digits = n.digits*10 + uint64(d)
		i++
	}
	return i
}

// string is n's text without a copy, for a call that does not keep it.
func (n number) string() string { return unsafe.String(unsafe.SliceData(n.text), len(n.text)) }
