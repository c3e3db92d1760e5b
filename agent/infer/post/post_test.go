package post_test

import (
	"encoding/binary"
	"math"
	"reflect"
	"testing"

	"primespark/agent/infer/image"
	"primespark/agent/infer/post"
	"primespark/shared/model"
	"primespark/shared/tensor"
)

// A rig is a processor for an input of 64 × 64 pixels, and outputs for it.
type rig struct {
	*post.Processor
	out []tensor.Tensor
}

func (r rig) values(i int) []float32 { return r.out[i].Float32s() }

func newRig(t testing.TB, p model.Postprocess, labels []string, shapes ...[]int) rig {
	t.Helper()
	if p.IOU == 0 {
		p.IOU = .45
	}
	p.Max, p.Top = 10, 3
	m := model.Manifest{
		Inputs:      []model.Input{{Name: "in", Type: tensor.Float32, Shape: []int{1, 3, 64, 64}, Layout: model.NCHW}},
		Preprocess:  &model.Preprocess{Color: model.RGB},
		Postprocess: &p,
	}
	var r rig
	for _, shape := range shapes {
		m.Outputs = append(m.Outputs, model.Output{Type: tensor.Float32, Shape: shape})
		x, err := tensor.New("out", tensor.Float32, shape...)
		if err != nil {
			t.Fatal(err)
		}
		r.out = append(r.out, x)
	}
	var err error
	if r.Processor, err = post.New(m, labels); err != nil {
		t.Fatal(err)
	}
	return r
}

// whole is an image of 128 × 128 pixels that fills the input.
var whole = image.Fit{Width: 128, Height: 128, ScaleX: .5, ScaleY: .5}

func TestYOLOX(t *testing.T) {
	r := newRig(t, model.Postprocess{Kind: model.YOLOX, Score: .3, Strides: []int{32}}, []string{"cat", "dog"}, []int{1, 4, 7})
	v := r.values(0)
	copy(v[3*7:], []float32{.5, .5, float32(math.Log(.5)), float32(math.Log(1)), .9, .1, .8})   // cell 1,1: centre 48,48, 16 × 32 pixels
	copy(v[2*7:], []float32{1.5, .5, float32(math.Log(.5)), float32(math.Log(1)), .9, .1, .6})  // cell 0,1: the same place, weaker
	copy(v[1*7:], []float32{-.5, 1.5, float32(math.Log(.5)), float32(math.Log(1)), .9, .7, .1}) // cell 1,0: a cat elsewhere
	copy(v[0*7:], []float32{.5, .5, 0, 0, .2, 1, 1})                                            // not there
	got := r.Find(r.out, whole)
	want := []post.Found{
		{Label: "dog", Score: .72, Box: []float64{80, 64, 112, 128}},
		{Label: "cat", Score: .63, Box: []float64{16, 64, 48, 128}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("found %+v, want %+v", got, want)
	}
}

func TestYOLOv8(t *testing.T) {
	r := newRig(t, model.Postprocess{Kind: model.YOLOv8, Score: .3}, []string{"cat", "dog"}, []int{1, 6, 4})
	copy(r.values(0), []float32{
		48, 48, 16, float32(math.NaN()), // centres
		48, 48, 40, 8,
		16, 16, 8, 8, // sizes
		32, 32, 16, 8,
		.1, .2, .7, .9, // cat
		.8, .6, .1, .2, // dog: the first two are the same one
	})
	got := r.Find(r.out, whole)
	want := []post.Found{
		{Label: "dog", Score: .8, Box: []float64{80, 64, 112, 128}},
		{Label: "cat", Score: .7, Box: []float64{24, 64, 40, 96}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("found %+v, want %+v", got, want)
	}
}

func TestBoxesThatOverlapAreOneOnlyWithinAClass(t *testing.T) {
	r := newRig(t, model.Postprocess{Kind: model.SSDDecoded, Score: .5, Offset: -1}, []string{"face", "mask"}, []int{1, 4, 3}, []int{1, 4, 4})
	copy(r.values(0), []float32{.99, .9, 0, 0, .8, 0, .1, .2, .7, .1, .4, .2}) // background counts for nothing
	copy(r.values(1), []float32{.25, .25, .5, .5, .25, .25, .5, .5, .25, .25, .5, .5, .5, .5, 1, 1})
	got := r.Find(r.out, whole)
	box := []float64{32, 32, 64, 64}
	want := []post.Found{{Label: "face", Score: .9, Box: box}, {Label: "mask", Score: .7, Box: box}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("found %+v, want %+v", got, want)
	}
}

func TestBlazeFaceWeighsByScore(t *testing.T) {
	r := newRig(t, model.Postprocess{Kind: model.BlazeFace, Score: .5, IOU: .3, NMS: model.WeightedNMS, Strides: []int{32}, Anchors: []int{2}},
		[]string{"face"}, []int{1, 8, 1}, []int{1, 8, 16})
	scores, rows := r.values(0), r.values(1)
	for i := range scores {
		scores[i] = -200 // clipped, not overflown
	}
	scores[2], scores[3] = 200, 0                           // cell 1,0: surely a face, and perhaps one
	copy(rows[2*16:], []float32{0, 0, 32, 32, 4, -4})       // 32..64, 0..32
	copy(rows[3*16:], []float32{-3, 0, 32, 32, 4, -4, 999}) // the same, 3 pixels to the left
	got := r.Find(r.out, whole)
	if len(got) != 1 || got[0].Score != 1 || got[0].Label != "face" {
		t.Fatalf("found %+v, want one face", got)
	}
	if want := []float64{62, 0, 126, 64}; !reflect.DeepEqual(got[0].Box, want) { // 3 × 0.5 / 1.5 = 1 pixel of the input
		t.Errorf("Box = %v, want %v", got[0].Box, want)
	}
	if len(got[0].Keypoints) != 6 || got[0].Keypoints[0] != [2]float64{104, 24} {
		t.Errorf("Keypoints = %v, want six, the first at 104, 24", got[0].Keypoints)
	}
}

func TestClassification(t *testing.T) {
	for name, test := range map[string]struct {
		how    model.Postprocess
		labels []string
		out    []float32
		want   []post.Found
	}{
		"probabilities": {
			model.Postprocess{},
			[]string{"a", "b", "c", "d"},
			[]float32{.1, .4, .3, .2},
			[]post.Found{{Label: "b", Score: .4}, {Label: "c", Score: .3}, {Label: "d", Score: .2}},
		},
		"logits": {
			model.Postprocess{Softmax: true, Score: .01},
			[]string{"a", "b"},
			[]float32{1000, 1000, -1000},
			[]post.Found{{Label: "a", Score: .5}, {Label: "b", Score: .5}},
		},
		"offset":     {model.Postprocess{Offset: 1, Score: .5}, []string{"background", "a", "b"}, []float32{.1, .9}, []post.Found{{Label: "b", Score: .9}}},
		"background": {model.Postprocess{Offset: -1, Score: .1}, []string{"a"}, []float32{.8, .2}, []post.Found{{Label: "a", Score: .2}}},
		"no labels":  {model.Postprocess{Score: .5}, nil, []float32{.1, .9}, []post.Found{{Label: "class 1", Score: .9}}},
		"not a number": {
			model.Postprocess{Score: .1},
			nil,
			[]float32{float32(math.NaN()), float32(math.Inf(1)), .2},
			[]post.Found{{Label: "class 2", Score: .2}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			labels := test.labels
			if name == "logits" {
				labels = []string{"a", "b", "c"}
			}
			test.how.Kind = model.Classification
			r := newRig(t, test.how, labels, []int{1, len(test.out)})
			copy(r.values(0), test.out)
			if got := r.Find(r.out, image.Fit{}); !reflect.DeepEqual(got, test.want) {
				t.Errorf("found %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestNewWantsALabelForEachClass(t *testing.T) {
	m := model.Manifest{
		Outputs: []model.Output{{Type: tensor.Float32, Shape: []int{1, 3}}}, Labels: "two.txt",
		Postprocess: &model.Postprocess{Kind: model.Classification},
	}
	if _, err := post.New(m, []string{"a", "b"}); err == nil {
		t.Error("two labels for three classes were taken")
	}
}

func TestTensor(t *testing.T) {
	got, err := post.Tensor(post.Detections, []post.Found{{Label: `a "cat"`, Score: .5, Box: []float64{1, 2, 3, 4.5}}})
	if err != nil {
		t.Fatal(err)
	}
	elements, err := got.Elements()
	if want := `{"label":"a \"cat\"","score":0.5,"box":[1,2,3,4.5]}`; err != nil || len(elements) != 1 || string(elements[0]) != want {
		t.Errorf("%s, want %s", elements, want)
	}
	if empty, err := post.Tensor(post.Detections, nil); err != nil || empty.Check() != nil || empty.Shape[0] != 0 {
		t.Errorf("nothing found gives %+v, %v, want an empty tensor", empty, err)
	}
}

// Whatever an engine gives, what is found is in the image and can be told.
func FuzzFind(f *testing.F) {
	f.Add([]byte{0, 0, 0x80, 0x7f, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x80, 0x3f})
	f.Add([]byte("some bytes that make odd numbers, again and again"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 4 {
			return
		}
		for _, r := range []rig{
			newRig(t, model.Postprocess{Kind: model.YOLOX, Score: .3, Strides: []int{8, 16}}, nil, []int{1, 80, 7}),
			newRig(t, model.Postprocess{Kind: model.SSDDecoded, Score: .3}, nil, []int{1, 30, 3}, []int{1, 30, 4}),
			newRig(t, model.Postprocess{Kind: model.BlazeFace, Score: .3, NMS: model.WeightedNMS, Strides: []int{8, 16}, Anchors: []int{2, 6}}, nil,
				[]int{1, 128, 1}, []int{1, 96, 1}, []int{1, 128, 16}, []int{1, 96, 16}),
			newRig(t, model.Postprocess{Kind: model.Classification, Softmax: true}, nil, []int{1, 30}),
			newRig(t, model.Postprocess{Kind: model.NMSInModel, Score: .3}, nil, []int{1, 8, 16}),
			newRig(t, model.Postprocess{Kind: model.YOLOv8, Score: .3}, nil, []int{1, 7, 84}),
		} {
			n := 0
			for i := range r.out {
				for j := range r.values(i) {
					var word [4]byte
					for k := range word {
						word[k] = data[n%len(data)]
						n++
					}
					r.values(i)[j] = math.Float32frombits(binary.LittleEndian.Uint32(word[:]))
				}
			}
			found := r.Find(r.out, whole)
			if _, err := post.Tensor(r.Output(), found); err != nil {
				t.Errorf("%+v cannot be told: %v", found, err)
			}
			for _, f := range found {
				if f.Box != nil && !(f.Box[0] >= 0 && f.Box[2] <= 128 && f.Box[0] <= f.Box[2] && f.Box[1] >= 0 && f.Box[3] <= 128) {
					t.Errorf("box %v lies outside of the image", f.Box)
				}
			}
		}
	})
}

func BenchmarkYOLOX(b *testing.B) {
	r := newRig(b, model.Postprocess{Kind: model.YOLOX, Score: .3, Strides: []int{1}}, nil, []int{1, 4096, 85})
	for i := range r.values(0) { // everything is found everywhere
		r.values(0)[i] = .9
	}
	for b.Loop() {
		r.Find(r.out, whole)
	}
}

func TestNMSInModel(t *testing.T) {
	r := newRig(t, model.Postprocess{Kind: model.NMSInModel, Score: .3}, []string{"cat", "dog", "cow"}, []int{1, 3, 11})
	v := r.values(0)
	copy(v, []float32{
		1, .25, .5, .5, .75, .6, // one cat
		0,                                         // no dog
		2, 0, 0, .5, .5, .9, .01, .01, .5, .5, .2, // a cow, and one too weak; those that overlap were chosen from
	})
	want := []post.Found{
		{Label: "cow", Score: .9, Box: []float64{0, 0, 64, 64}},
		{Label: "cat", Score: .6, Box: []float64{64, 32, 96, 64}},
	}
	if got := r.Find(r.out, whole); !reflect.DeepEqual(got, want) {
		t.Errorf("found %+v, want %+v", got, want)
	}
	for name, count := range map[string]float32{"NaN": float32(math.NaN()), "too many": 3, "negative": -1, "infinite": float32(math.Inf(1))} {
		v[0] = count
		if got := r.Find(r.out, whole); len(got) != 0 {
			t.Errorf("a count that is %s: found %+v", name, got)
		}
	}
}
