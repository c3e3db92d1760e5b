package hailo

import (
	"encoding/binary"
	"math"
)

// NMSBytes is how many bytes of an output of boxes by class are of this inference:
// for each class a count and five numbers a box, without gaps. What makes no sense
// ends the list.
func NMSBytes(out []byte, classes, most int) (n int) {
	for range classes {
		if len(out)-n < 4 {
			break
		}
		count := math.Float32frombits(binary.LittleEndian.Uint32(out[n:]))
		if !(count >= 0 && count <= float32(most)) {
			break
		}
		n += 4 + 4*5*int(count)
	}
	return min(n, len(out))
}
