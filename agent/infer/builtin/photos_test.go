package builtin

import (
	"image"
	_ "image/jpeg"
	_ "image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/image/draw"

	"primespark/shared/tensor"
)

// photoDir is where the photos of the tests are, beside the models.
const photoDir = "../../../../shared/testdata/images"

// A fit is how a picture is brought to a network's size.
type fit int

const (
	stretch   fit = iota
	crop          // the square in its middle
	letterbox     // whole, with grey to the right of it and below
)

// A photo is a picture in a network's size.
type photo struct {
	rgb   []uint8
	w, h  int
	scale float64 // of the picture to this, in a letterbox
	from  image.Rectangle
}

func readPhoto(t *testing.T, name string, w, h int, how fit) photo {
	t.Helper()
	file, err := os.Open(filepath.Join(photoDir, name))
	if err != nil {
		t.Skip("needs the test photos beside the checkout: ", err)
	}
	defer file.Close()
	src, _, err := image.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	p := photo{w: w, h: h, from: src.Bounds()}
	to := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range to.Pix {
		to.Pix[i] = 114
	}
	area := to.Bounds()
	part := p.from
	switch how {
	case crop:
		side := min(part.Dx(), part.Dy())
		at := part.Min.Add(image.Pt((part.Dx()-side)/2, (part.Dy()-side)/2))
		part = image.Rectangle{at, at.Add(image.Pt(side, side))}
	case letterbox:
		p.scale = min(float64(w)/float64(p.from.Dx()), float64(h)/float64(p.from.Dy()))
		area = image.Rect(0, 0, int(float64(p.from.Dx())*p.scale), int(float64(p.from.Dy())*p.scale))
	}
	draw.BiLinear.Scale(to, area, src, part, draw.Src, nil)
	for i := 0; i < len(to.Pix); i += 4 {
		p.rgb = append(p.rgb, to.Pix[i:i+3]...)
	}
	return p
}

// planes lays the photo out by colours: (v - mean)/std, in the order of channels.
func (p photo) planes(x []float32, channels [3]int, mean [3]float32, std float32) {
	size := p.w * p.h
	for c, from := range channels {
		for i := range size {
			x[c*size+i] = (float32(p.rgb[3*i+from]) - mean[c]) / std
		}
	}
}

var (
	asRGB = [3]int{0, 1, 2}
	asBGR = [3]int{2, 1, 0}
)

// runPhoto runs a network of the tests on an input that fill makes.
func runPhoto(t *testing.T, model string, fill func(x []float32)) []tensor.Tensor {
	t.Helper()
	s, in, out := open(t, Backend{}, modelFile(t, model), reference{})
	fill(in[0].Float32s())
	if err := s.Infer(t.Context(), in, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func lines(t *testing.T, name string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(modelDir, name))
	if err != nil {
		t.Skip("needs the labels beside the checkout: ", err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

func highest(v []float32) (at int) {
	for i := range v {
		if v[i] > v[at] {
			at = i
		}
	}
	return at
}

func TestPhotoClasses(t *testing.T) {
	for name, test := range map[string]struct {
		model, photo string
		size         int
		channels     [3]int
		mean         [3]float32
		std          float32
		background   int // classes before the first of ImageNet's
		want         string
	}{
		"mobilenet cat":  {"mobilenet-v2-1.0-224", "chelsea.png", 224, asRGB, [3]float32{128, 128, 128}, 128, 0, "tiger cat"},
		"mobilenet cup":  {"mobilenet-v2-1.0-224", "coffee.png", 224, asRGB, [3]float32{128, 128, 128}, 128, 0, "espresso"},
		"squeezenet cat": {"squeezenet-1.1-227", "chelsea.png", 227, asBGR, [3]float32{104, 117, 123}, 1, 1, "Egyptian cat"},
	} {
		t.Run(name, func(t *testing.T) {
			p := readPhoto(t, test.photo, test.size, test.size, crop)
			out := runPhoto(t, test.model, func(x []float32) { p.planes(x, test.channels, test.mean, test.std) })
			labels := lines(t, "imagenet_labels.txt")
			if got := labels[highest(out[0].Float32s())+test.background]; !strings.Contains(got, test.want) {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

// overlap is the intersection of two boxes over their union.
func overlap(a, b [4]float64) float64 {
	w := min(a[2], b[2]) - max(a[0], b[0])
	h := min(a[3], b[3]) - max(a[1], b[1])
	if w <= 0 || h <= 0 {
		return 0
	}
	area := func(r [4]float64) float64 { return (r[2] - r[0]) * (r[3] - r[1]) }
	return w * h / (area(a) + area(b) - w*h)
}

func TestPhotoFace(t *testing.T) {
	p := readPhoto(t, "astronaut.png", 320, 240, stretch)
	out := runPhoto(t, "ultraface-rfb-320", func(x []float32) { p.planes(x, asRGB, [3]float32{127, 127, 127}, 128) })
	scores, boxes := out[0].Float32s(), out[1].Float32s()
	best := 0
	for i := range len(scores) / 2 {
		if scores[2*i+1] > scores[2*best+1] {
			best = i
		}
	}
	var box [4]float64
	for i := range box {
		box[i] = float64(boxes[4*best+i]) * 512 // the photo is 512 pixels wide and high
	}
	if want := [4]float64{180, 62, 268, 174}; scores[2*best+1] < 0.99 || overlap(box, want) < 0.85 {
		t.Errorf("a face at %v with %v, want one at %v", box, scores[2*best+1], want)
	}
}

func TestPhotoBlazeFace(t *testing.T) {
	p := readPhoto(t, "astronaut.png", 128, 128, stretch)
	out := runPhoto(t, "blazeface-front-128", func(x []float32) {
		for i, v := range p.rgb {
			x[i] = float32(v)/127.5 - 1
		}
	})
	// The first output scores two anchors in each of 16 by 16 cells, the second one two
	// scores of six in 8 by 8; the face of this photo shows in the latter or the former.
	best := float32(math.Inf(-1))
	for _, o := range out {
		if o.Shape[2] == 1 {
			best = max(best, largest(o.Float32s()))
		}
	}
	if score := 1 / (1 + math.Exp(-float64(best))); score < 0.85 {
		t.Errorf("best score of a face is %v, want about 0.92", score)
	}
}

func TestPhotoObjects(t *testing.T) {
	p := readPhoto(t, "dog_yolox.jpg", 416, 416, letterbox)
	out := runPhoto(t, "yolox-nano-416", func(x []float32) { p.planes(x, asBGR, [3]float32{}, 1) })
	labels := slices.DeleteFunc(lines(t, "coco_labels.txt"), func(l string) bool { return l == "n/a" })
	v, row := out[0].Float32s(), 0
	best := map[string]float64{}
	where := map[string][4]float64{}
	for _, stride := range []int{8, 16, 32} {
		for cell := range (416 / stride) * (416 / stride) {
			r := v[85*row : 85*row+85]
			row++
			class := highest(r[5:])
			score := float64(r[4] * r[5+class])
			label := strings.TrimSpace(labels[class])
			if score <= best[label] {
				continue
			}
			cx := (float64(r[0]) + float64(cell%(416/stride))) * float64(stride) / p.scale
			cy := (float64(r[1]) + float64(cell/(416/stride))) * float64(stride) / p.scale
			w, h := math.Exp(float64(r[2]))*float64(stride)/p.scale, math.Exp(float64(r[3]))*float64(stride)/p.scale
			best[label], where[label] = score, [4]float64{cx - w/2, cy - h/2, cx + w/2, cy + h/2}
		}
	}
	if want := [4]float64{133, 207, 326, 542}; best["dog"] < 0.7 || overlap(where["dog"], want) < 0.8 {
		t.Errorf("a dog at %v with %v, want one at %v", where["dog"], best["dog"], want)
	}
	if best["bicycle"] < 0.6 || best["car"] < 0.6 {
		t.Errorf("a bicycle with %v and a car with %v", best["bicycle"], best["car"])
	}
}
