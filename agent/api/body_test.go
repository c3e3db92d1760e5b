package api

import (
	"bytes"
	"net/http/httptest"
	"testing"
)

// TestLargeBodies: tensors that are sent raw come whole, whatever was announced of their
// size, grow in few steps, and leave the memory for all bodies as it was.
func TestLargeBodies(t *testing.T) {
	const memory = 64 << 20
	b := &bodies{free: memory}
	sent := bytes.Repeat([]byte("0123456789abcdef"), 130_000)
	for _, announced := range []int64{int64(len(sent)), -1} {
		for range 3 {
			r := httptest.NewRequest("POST", "/", bytes.NewReader(sent))
			r.ContentLength = announced
			got, err := b.read(httptest.NewRecorder(), r, 16<<20)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.bytes(), sent) {
				t.Errorf("announced %d: %d bytes came, and %d were sent", announced, len(got.bytes()), len(sent))
			}
			if announced > 0 && cap(got.buf) > front+len(sent)+1 {
				t.Errorf("%d bytes are in a buffer of %d", len(sent), cap(got.buf))
			}
			got.release()
		}
	}
	idle := int64(0)
	for _, buf := range b.idle {
		idle += int64(cap(buf))
	}
	if b.free+idle != memory {
		t.Errorf("%d bytes are free and %d wait, of %d", b.free, idle, memory)
	}
}

func TestWanted(t *testing.T) {
	for _, c := range []struct {
		size      int
		announced int64
		want      int
	}{
		{64 << 10, 2_000_000, 256 << 10},
		{1 << 20, 2_000_000, 2_000_005},
		{64 << 10, -1, 256 << 10},
		{64 << 10, 1000, 256 << 10}, // more came than was announced
		{64 << 10, 64<<10 - front, 64<<10 + 1},
	} {
		if got := wanted(c.size, c.announced); got != c.want {
			t.Errorf("%d of %d announced: %d, want %d", c.size, c.announced, got, c.want)
		}
	}
}
