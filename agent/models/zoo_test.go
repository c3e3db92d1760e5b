package models_test

import (
	"bytes"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"primespark/agent/infer"
	"primespark/agent/infer/builtin"
	"primespark/agent/infer/post"
	"primespark/agent/models"
)

// The models and photos of this test are not part of the repository.
var zoo = filepath.Join("..", "..", "..", "shared", "testdata")

// outside reads a file of the zoo.
func outside(t testing.TB, parts ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{zoo}, parts...)...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// fromZoo is the package whose manifest is in testdata.
func fromZoo(t testing.TB, name, network string) models.Files {
	t.Helper()
	manifest, err := os.ReadFile(filepath.Join("testdata", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	files := models.Files{"model.yaml": manifest, network: outside(t, "models", network), "labels.txt": []byte("face\n")}
	for file, folder := range map[string]string{"imagenet_labels.txt": "models", "dog_yolox.jpg": "images"} {
		if bytes.Contains(manifest, []byte(file)) {
			files[file] = outside(t, folder, file)
		}
	}
	// The list has the gaps of COCO's numbering; YOLOX counts without them.
	files["coco80.txt"] = bytes.ReplaceAll(outside(t, "models", "coco_labels.txt"), []byte("n/a\n"), nil)
	return files
}

// A thing is what is to be found: a label that contains the word, with at least
// that score, at about that place.
type thing struct {
	word  string
	score float64
	box   []float64
}

func (w thing) is(f post.Found) bool {
	if !strings.Contains(f.Label, w.word) || f.Score < w.score {
		return false
	}
	for i, v := range w.box {
		if d := f.Box[i] - v; d < -25 || d > 25 {
			return false
		}
	}
	return true
}

func TestZoo(t *testing.T) {
	if raceEnabled {
		t.Skip("the nets take too long under the race detector; they run without it")
	}
	if _, err := os.Stat(zoo); err != nil {
		t.Skip("the models and photos outside of the repository are not here: ", err)
	}
	for _, test := range []struct {
		name, network string
		photos        map[string][]thing // in order for classes, in any for boxes
	}{
		{"mobilenet-v2", "mobilenet-v2-1.0-224.onnx", map[string][]thing{
			"chelsea.png": {{"tiger cat", .4, nil}}, "coffee.png": {{"espresso", .9, nil}},
		}},
		{"squeezenet", "squeezenet-1.1-227.onnx", map[string][]thing{
			"chelsea.png": {{"Egyptian cat", .25, nil}}, "coffee.png": {{"espresso", .3, nil}},
		}},
		{"ultraface", "ultraface-rfb-320.onnx", map[string][]thing{
			"astronaut.png": {{"face", .99, []float64{180, 62, 268, 174}}},
		}},
		{"yolox-nano", "yolox-nano-416.onnx", map[string][]thing{
			"chelsea.png":   {{"cat", .5, nil}},
			"coffee.png":    {{"cup", .8, nil}},
			"astronaut.png": {{"person", .85, nil}},
			"dog_yolox.jpg": {{"dog", .75, []float64{133, 207, 326, 542}}, {"car", .7, nil}, {"bicycle", .7, nil}},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := started(t, models.Config{
				Backends: []infer.Backend{builtin.Backend{}},
				Embedded: map[string]models.Files{test.name: fromZoo(t, test.name, test.network)},
			})
			if index := r.Index(); index[0].Reason != "" {
				t.Fatalf("Index = %+v", index)
			}
			for photo, wanted := range test.photos {
				got := look(t, r, test.name, outside(t, "images", photo))
				t.Logf("%s: %+v", photo, got)
				for _, want := range wanted {
					all := got
					if got[0].Box == nil {
						all = got[:1] // the first of the classes
					}
					hit := false
					for _, f := range all {
						hit = hit || want.is(f)
					}
					if !hit {
						t.Errorf("%s: no %+v; found %+v", photo, want, got)
					}
				}
			}
		})
	}
}

// The photo is turned on its side and its EXIF says so: the face is where it is
// on the upright photo.
func TestBoxesAreOfTheDisplayedImage(t *testing.T) {
	if _, err := os.Stat(zoo); err != nil {
		t.Skip("the models and photos outside of the repository are not here: ", err)
	}
	m, err := png.Decode(bytes.NewReader(outside(t, "images", "astronaut.png")))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, sideways{m}, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	exif := "\xff\xe1\x00\x22Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
	photo := append([]byte("\xff\xd8"+exif), b.Bytes()[2:]...)
	r := started(t, models.Config{Backends: []infer.Backend{builtin.Backend{}}})
	got := look(t, r, "blazeface", photo)
	if len(got) != 1 || !(thing{"face", .8, []float64{177, 81, 272, 175}}).is(got[0]) {
		t.Errorf("found %+v, want the face of the upright photo", got)
	}
}
