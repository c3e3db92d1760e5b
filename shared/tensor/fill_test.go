package tensor_test

import (
	"testing"

	"primespark/shared/tensor"
)

func TestFill(t *testing.T) {
	for typ, want := range map[tensor.Type]string{
		tensor.Bool: "\x01\x01", tensor.Uint8: "\xfe\xfe", tensor.Int8: "\xfe\xfe", tensor.Int16: "\xfe\xff\xfe\xff", tensor.Int32: "\xfe\xff\xff\xff\xfe\xff\xff\xff",
		tensor.Float32: "\x00\x00\x20\xc0\x00\x00\x20\xc0", tensor.Float64: "\x00\x00\x00\x00\x00\x00\x04\xc0\x00\x00\x00\x00\x00\x00\x04\xc0",
		tensor.Int64: "\xfe\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff\xff\xff\xff\xff", tensor.Float16: "\x00\x00\x00\x00",
	} {
		x, err := tensor.New("x", typ, 2)
		if err != nil {
			t.Fatal(err)
		}
		x.Fill(-2.5)
		if string(x.Data) != want {
			t.Errorf("%s: %q, want %q", typ, x.Data, want)
		}
	}
}
