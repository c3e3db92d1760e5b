package hef_test

import (
	"bytes"
	"fmt"

	"primespark/hailo/hef"
	"primespark/hailo/hef/synth"
)

func ExampleRead() {
	file := synth.Detector("yolov8s", 640, 80, 100).Bytes()
	f, err := hef.Read(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		fmt.Println(err)
		return
	}
	in := f.Groups[0].Inputs[0]
	fmt.Println(f.Arch, "needs", f.Needs(), "and takes", in.Height, in.Width, in.Features)
	fmt.Println(f.Arch.RunsOn(hef.Hailo8L))
	// Output:
	// hailo8 needs 4.20.0 and takes 640 640 3
	// the file is for hailo8 and the chip is a hailo8l; use the file that was compiled for it (its name often ends in _h8, _h8l or _h10)
}
