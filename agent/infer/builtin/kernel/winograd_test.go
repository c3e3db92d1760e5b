package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestTiles convolves rows of tiles by Winograd's way, and holds them to the sums themselves.
func TestTiles(t *testing.T) {
	eachSet(t, func(t *testing.T, s Set, r *rand.Rand) {
		lanes := s.Tile().Lanes
		for vecs := 1; vecs < 4; vecs++ {
			n := vecs * lanes
			image, filter := make([][]float32, 6), random(r, 9)
			for i := range image {
				image[i] = random(r, 4*n+2)
			}
			in := Tiles{Vecs: vecs, Step: n + r.IntN(5), Aside: make([]float32, TilePlanes*lanes)}
			part := n + 1
			in.Src = make([]float32, 6*4*part+lanes)
			for i := range 6 {
				for j := range 6 {
					off := i*4*part + j%4*part + j/4
					in.Offs, in.MaxOff = append(in.Offs, 4*off), max(in.MaxOff, off)
				}
				for x, v := range image[i] {
					in.Src[i*4*part+x%4*part+x/4] = v
				}
			}
			in.Dst = make([]float32, (TilePlanes-1)*in.Step+n)
			s.TilesIn(&in)
			u := TileFilter(filter)
			out := Tiles{Vecs: vecs, Src: in.Dst, Step: in.Step, Aside: in.Aside, DstStep: 4*n + r.IntN(9), Bias: 0.5, Lo: -4, Hi: 5}
			for i, f := range u {
				for at := range n {
					out.Src[i*in.Step+at] *= f
				}
			}
			out.Dst = make([]float32, 3*out.DstStep+4*n)
			s.TilesOut(&out)
			for y := range 4 {
				for x := range 4 * n {
					want := 0.5
					for i := range 9 {
						want += float64(filter[i]) * float64(image[y+i/3][x+i%3])
					}
					want = min(max(want, -4), 5)
					if got := float64(out.Dst[y*out.DstStep+x]); math.Abs(got-want) > 1e-4 {
						t.Fatalf("%d vectors: place %d,%d is %v, want %v", vecs, y, x, got, want)
					}
				}
				for x := 4 * n; x < out.DstStep && y < 3; x++ {
					if out.Dst[y*out.DstStep+x] != 0 {
						t.Fatalf("row %d was written beyond its %d places", y, 4*n)
					}
				}
			}
		}
	})
}
