package procfile

import (
	"bytes"
	"fmt"
	"iter"
	"strconv"
)

// Word cuts the first word off a line. It is empty where no word is left.
func Word(line []byte) (word, rest []byte) {
	line = bytes.TrimLeft(line, " \t\n")
	if end := bytes.IndexAny(line, " \t\n"); end >= 0 {
		return line[:end], line[end:]
	}
	return line, nil
}

// Numbers fills n with as many whole numbers as a line has, and returns how many. A word
// that is none ends it with an error.
func Numbers(line []byte, n []uint64) (int, error) {
	for i := range n {
		word, rest := Word(line)
		if len(word) == 0 {
			return i, nil
		}
		x, err := strconv.ParseUint(string(word), 10, 64)
		if err != nil {
			return i, fmt.Errorf("number %d: %w", i+1, err)
		}
		n[i], line = x, rest
	}
	return len(n), nil
}

// Keyed gives the lines that are a key, a colon and more, such as those of
// /proc/meminfo and, after its head, /proc/net/dev.
func Keyed(text []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, rest []byte) bool) {
		for line := range bytes.Lines(text) {
			// The last colon: an alias of a network interface has one in its name.
			if i := bytes.LastIndexByte(line, ':'); i >= 0 && !yield(bytes.TrimSpace(line[:i]), line[i+1:]) {
				return
			}
		}
	}
}
