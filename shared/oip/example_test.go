package oip_test

import (
	"fmt"
	"net/http"

	"primespark/shared/oip"
)

func ExampleDecodeRequest() {
	body := `{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [[0.5, 2]]}]}`
	r, err := oip.DecodeRequest(http.Header{}, []byte(body), oip.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Inputs[0].Name, r.Inputs[0].Shape, r.Inputs[0].Float32s())
	// Output: x [1 2] [0.5 2]
}
