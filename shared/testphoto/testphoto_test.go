package testphoto_test

import (
	"bytes"
	"fmt"
	"image/jpeg"
	"testing"

	"primespark/shared/testphoto"
)

func ExampleAstronaut() {
	c, err := jpeg.DecodeConfig(bytes.NewReader(testphoto.Astronaut()))
	fmt.Println(c.Width, c.Height, err)
	// Output: 512 512 <nil>
}

func TestAstronautIsACopy(t *testing.T) {
	testphoto.Astronaut()[0] = 0
	if testphoto.Astronaut()[0] != 0xff {
		t.Error("changing one copy changed the photo")
	}
}
