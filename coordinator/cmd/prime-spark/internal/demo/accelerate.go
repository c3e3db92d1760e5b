package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"primespark/coordinator/cmd/prime-spark/internal/operator"
	"primespark/shared/problem"
	"primespark/shared/rig"
	"primespark/shared/run"
	"primespark/shared/wire"
)

// accelerator is the simulated Hailo, of what "make hailo-double" leaves beside
// this program.
func accelerator(bin string) (rig.Accelerator, error) {
	a := rig.Accelerator{
		Library: filepath.Join(bin, "libhailort.so"), Worker: filepath.Join(bin, "prime-spark-hailo-worker"), Models: filepath.Join(bin, "hailo-models"),
	}
	for _, path := range []string{a.Library, a.Worker, a.Models} {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return a, problem.New(problem.NotFound, "make demo HAILO_DOUBLE=1 builds it first; that needs gcc.", "The simulated Hailo is not there: %s.", path)
		} else if err != nil {
			return a, fmt.Errorf("look for the simulated Hailo: %w", err)
		}
	}
	return a, nil
}

// detector is the model that the simulated accelerator runs.
const detector = "yolov8s"

// The double of HailoRT's library takes what is painted in the red of 255 − n for
// something of class n. These are two of COCO's.
var things = []struct {
	class uint8
	label string
	at    image.Rectangle
}{{15, "cat", image.Rect(100, 50, 200, 150)}, {16, "dog", image.Rect(300, 300, 420, 500)}}

// painted is an image of the size of the model's input, with the two things.
func painted() ([]byte, error) {
	img := image.NewRGBA(image.Rect(0, 0, 640, 640))
	draw.Draw(img, img.Bounds(), image.NewUniform(color.Black), image.Point{}, draw.Src)
	for _, t := range things {
		draw.Draw(img, t.at, image.NewUniform(color.RGBA{255 - t.class, 0, 0, 255}), image.Point{}, draw.Src)
	}
	var b bytes.Buffer
	err := png.Encode(&b, img)
	return b.Bytes(), err
}

// accelerate has the agent with the simulated accelerator find what is painted.
func (s *story) accelerate(ctx context.Context) error {
	if !s.double {
		return nil
	}
	s.step("%s has a simulated Hailo-8: the real worker on a double of its library; no chip is involved", s.rig.Agents[0].Name)
	picture, err := painted()
	if err != nil {
		return fmt.Errorf("paint a picture: %w", err)
	}
	done := s.wait("waiting for the accelerator")
	a, took, err := s.detect(ctx, picture)
	done()
	if err != nil {
		return err
	}
	found, err := operator.Detections(a)
	if err != nil {
		return err
	}
	seen := map[string]string{}
	for _, d := range found {
		s.step("found: %s, score %.2f, box %s px", d.Label, d.Score, operator.Box(d.Box))
		seen[d.Label] = operator.Box(d.Box)
	}
	s.step("%s", operator.Answered(a, took))
	for _, t := range things {
		want := operator.Box([]float64{float64(t.at.Min.X), float64(t.at.Min.Y), float64(t.at.Max.X), float64(t.at.Max.Y)})
		if seen[t.label] != want || a.Backend != "hailo" {
			return problem.New(problem.Unexpected, "Look into the agents' logs, which --keep-dir keeps.",
				"A %s is painted at %s, and what %s found there is %q.", t.label, want, a.Backend, seen[t.label])
		}
	}
	return nil
}

// detect asks until the model is there.
func (s *story) detect(ctx context.Context, picture []byte) (wire.InferAnswer, time.Duration, error) {
	for {
		sent := time.Now()
		a, err := s.rig.Client(s.leader).InferImage(ctx, detector, picture, nil)
		if err == nil || !run.Sleep(ctx, 100*time.Millisecond) {
			return a, time.Since(sent), err
		}
	}
}
