package oip_test

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"testing"

	"primespark/shared/oip"
	"primespark/shared/tensor"
)

// BenchmarkDecodeJSON reads a 1×3×640×640 image as text, and tells how many times
// faster that is than encoding/json into a slice of float32.
func BenchmarkDecodeJSON(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	pixels := make([]float32, 3*640*640)
	for i := range pixels {
		pixels[i] = r.Float32()
	}
	request := &oip.Request{Inputs: []oip.Input{{Tensor: tensor.FromFloat32s("x", pixels, 1, 3, 640, 640)}}}
	body, err := request.Encode(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("oip", func(b *testing.B) {
		b.SetBytes(int64(len(body.Bytes)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := oip.DecodeRequest(http.Header{}, body.Bytes, oip.Limits{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.SetBytes(int64(len(body.Bytes)))
		b.ReportAllocs()
		for b.Loop() {
			var v struct{ Inputs []struct{ Data []float32 } }
			if err := json.Unmarshal(body.Bytes, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
}
