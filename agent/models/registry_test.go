package models_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/agent/infer"
	"primespark/agent/infer/infertest"
	"primespark/agent/models"
	"primespark/shared/model"
	"primespark/shared/problem"
	"primespark/shared/tensor"
	"primespark/shared/testphoto"
)

func contextFor(t testing.TB) (context.Context, context.CancelFunc) {
	return context.WithCancel(context.WithoutCancel(t.Context()))
}

// engine is a fake that takes a tiny image and says that it is a dog for sure.
func engine(name string) *infertest.Fake {
	return &infertest.Fake{
		Name:    name,
		Inputs:  []tensor.Spec{{Name: "image", Type: tensor.Float32, Shape: []int{1, 3, 4, 4}}},
		Outputs: []tensor.Spec{{Name: "scores", Type: tensor.Float32, Shape: []int{1, 2}}},
		Answer: func(_, out []tensor.Tensor) error {
			copy(out[0].Float32s(), []float32{.125, .875})
			return nil
		},
	}
}

// pets is a good package for that engine.
func pets() models.Files {
	return models.Files{
		"net.fake":   []byte(infertest.Model),
		"labels.txt": []byte("cat\ndog\n"),
		"photo.jpg":  testphoto.Astronaut(),
		"model.yaml": fmt.Appendf(nil, `apiVersion: edge/v1
kind: Model
name: pets
version: "3"
variants: [{engine: fake, file: net.fake, sha256: %x}]
inputs: [{name: image, datatype: FP32, shape: [1, 3, 4, 4]}]
outputs: [{name: scores, datatype: FP32, shape: [1, 2]}]
preprocess: {resize: stretch}
postprocess: {kind: classification, top: 1}
labels: labels.txt
files: {labels.txt: %x}
selftest: {image: photo.jpg, expect: [{label: dog, min_score: 0.5}]}
resources: {memory: 10MiB}
`, sha256.Sum256([]byte(infertest.Model)), sha256.Sum256([]byte("cat\ndog\n"))),
	}
}

// edited is pets with one of its files changed.
func edited(name string, edit func([]byte) []byte) models.Files {
	files := maps.Clone(pets())
	if files[name] = edit(files[name]); files[name] == nil {
		delete(files, name)
	}
	return files
}

func replaced(from, to string) models.Files {
	return edited("model.yaml", func(b []byte) []byte { return bytes.Replace(b, []byte(from), []byte(to), 1) })
}

// write puts a package into a folder.
func write(t testing.TB, dir string, files models.Files) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// served is a registry with the package pets and nothing else.
func served(t testing.TB, files models.Files, backends ...infer.Backend) *models.Registry {
	t.Helper()
	return started(t, models.Config{Backends: backends, Embedded: map[string]models.Files{"pets": files}})
}

func TestServe(t *testing.T) {
	r := served(t, pets(), engine(""))
	if got := look(t, r, "pets", testphoto.Astronaut()); len(got) != 1 || got[0].Label != "dog" || got[0].Score != .875 {
		t.Errorf("found %+v, want a dog", got)
	}
	m, err := r.Metadata("pets", "")
	if err != nil || !m.Image || m.Postprocess != "classes" || m.Platform != "onnx_fake" || len(m.Inputs) != 1 || m.Versions[0] != "3" {
		t.Errorf("Metadata = %+v, %v", m, err)
	}
	s := r.Serving()
	if len(s) != 1 || s[0].Name != "pets" || s[0].Backend != "fake" || s[0].Version != "3" || s[0].Millis == 0 {
		t.Errorf("Serving = %+v", s)
	}
	if !r.Ready("pets", "3") || r.Ready("pets", "4") || r.Ready("cats", "") {
		t.Error("Ready is wrong")
	}
}

func TestRefusedPackages(t *testing.T) {
	for name, test := range map[string]struct {
		files    models.Files
		backends []infer.Backend
		want     string
	}{
		"no manifest":       {edited("model.yaml", func([]byte) []byte { return nil }), nil, "there is no model.yaml"},
		"broken manifest":   {replaced("kind: Model", "kin: Model"), nil, `did you mean "kind"?`},
		"another name":      {replaced("name: pets", "name: cats"), nil, `the package says it is "cats"`},
		"half a network":    {edited("net.fake", func(b []byte) []byte { return b[:len(b)/2] }), nil, "net.fake is not the file that the manifest names: its SHA-256 is "},
		"other labels":      {edited("labels.txt", func(b []byte) []byte { return bytes.ToUpper(b) }), nil, "labels.txt is not the file that the manifest names"},
		"no labels":         {edited("labels.txt", func([]byte) []byte { return nil }), nil, "labels.txt is missing"},
		"no photo":          {edited("photo.jpg", func([]byte) []byte { return nil }), nil, "photo.jpg is missing"},
		"no network":        {edited("net.fake", func([]byte) []byte { return nil }), nil, "fake net.fake: the file is missing"},
		"an unknown engine": {replaced("engine: fake", "engine: hailo"), nil, `hailo net.fake: this node has no engine "hailo"`},
		"another input":     {replaced("{name: image, datatype: FP32", "{name: data, datatype: FP32"), nil, `the model has no input "data"; it has image`},
		"another shape":     {replaced("shape: [1, 2]", "shape: [1, 3]"), nil, `output "scores" is FP32 [1 3] in the manifest and FP32 [1 2] in the model`},
		"too few labels":    {replaced("top: 1", "offset: 1"), nil, "2 classes with offset 1 need 3 labels"},
		"failed selftest":   {replaced("min_score: 0.5", "min_score: 0.9"), nil, "selftest on photo.jpg: no dog with a score of 0.9 or more; found dog 0.88"},
		"garbage":           {pets(), []infer.Backend{infer.Faulty(engine(""), infer.Garbage, 0)}, "gave what is no number in tensor scores"},
		"a crash":           {pets(), []infer.Backend{infer.Faulty(engine(""), infer.Crash, 0)}, "first inference: "},
	} {
		t.Run(name, func(t *testing.T) {
			if test.backends == nil {
				test.backends = []infer.Backend{engine("")}
			}
			r := served(t, test.files, test.backends...)
			index := r.Index()
			if len(index) != 1 || index[0].State != model.Unavailable || !strings.Contains(index[0].Reason, test.want) {
				t.Errorf("Index = %+v, want UNAVAILABLE because of %q", index, test.want)
			}
			_, err := r.Infer(t.Context(), "pets", "", infer.Request{})
			if !problem.Is(err, problem.NotReady) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Infer = %v, want NotReady because of %q", err, test.want)
			}
		})
	}
}

func TestVariantsAreTriedInOrder(t *testing.T) {
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(infertest.Model)))
	files := replaced("variants: [", fmt.Sprintf(
		"variants: [{engine: hailo, file: net.hef, sha256: %s}, {engine: first, file: net.fake, sha256: %s}, ", sum, sum))
	r := served(t, files, infer.Faulty(engine("first"), infer.Garbage, 0), engine(""))
	if s := r.Serving(); len(s) != 1 || s[0].Backend != "fake" {
		t.Errorf("Serving = %+v, want the third variant", s)
	}
}

func TestBadRequests(t *testing.T) {
	r := served(t, pets(), engine(""))
	fp32 := func(name string, shape ...int) tensor.Tensor {
		x, err := tensor.New(name, tensor.Float32, shape...)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	short := fp32("image", 1, 3, 4, 4)
	short.Data = short.Data[:8]
	yes := true
	photo := tensor.FromBytes("image", testphoto.Astronaut())
	for name, test := range map[string]struct {
		model, version string
		request        infer.Request
		code           problem.Code
		want           string
	}{
		"unknown model":   {"petz", "", infer.Request{}, problem.NotFound, `no model "petz" here; there are: pets`},
		"unknown version": {"pets", "9", infer.Request{}, problem.NotFound, `no version "9"`},
		"nothing":         {"pets", "", infer.Request{}, problem.Invalid, `input "image" of model pets is missing`},
		"wrong name":      {"pets", "", infer.Request{Inputs: []tensor.Tensor{fp32("picture", 1, 3, 4, 4)}}, problem.Invalid, `no input "picture"`},
		"wrong shape":     {"pets", "", infer.Request{Inputs: []tensor.Tensor{fp32("image", 1, 3, 5, 4)}}, problem.Invalid, `tensor "image" has shape [1 3 5 4], want [1 3 4 4]`},
		"wrong type":      {"pets", "", infer.Request{Inputs: []tensor.Tensor{{Name: "image", Type: tensor.Int64, Shape: []int{1, 3, 4, 4}, Data: make([]byte, 384)}}}, problem.Invalid, `datatype INT64, want FP32`},
		"short data":      {"pets", "", infer.Request{Inputs: []tensor.Tensor{short}}, problem.Invalid, `tensor "image" has 8 bytes`},
		"twice":           {"pets", "", infer.Request{Inputs: []tensor.Tensor{fp32("image", 1, 3, 4, 4), fp32("image", 1, 3, 4, 4)}}, problem.Invalid, "given twice"},
		"two images":      {"pets", "", infer.Request{Inputs: []tensor.Tensor{tensor.FromBytes("image", nil, nil)}}, problem.Invalid, "does not hold one image"},
		"image's name":    {"pets", "", infer.Request{Inputs: []tensor.Tensor{tensor.FromBytes("photo", testphoto.Astronaut())}}, problem.Invalid, `no input "photo"`},
		"no image":        {"pets", "", infer.Request{Inputs: []tensor.Tensor{tensor.FromBytes("image", []byte("hello"))}}, problem.BadMedia, "neither JPEG nor PNG"},
		"broken image":    {"pets", "", infer.Request{Inputs: []tensor.Tensor{tensor.FromBytes("image", testphoto.Astronaut()[:9999])}}, problem.Invalid, "The JPEG is broken"},
		"wrong priority":  {"pets", "", infer.Request{Inputs: []tensor.Tensor{photo}, Priority: 8}, problem.Invalid, "priority 8"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.Infer(t.Context(), test.model, test.version, test.request)
			p, ok := errors.AsType[*problem.Error](err)
			if !ok || p.Code != test.code || !strings.Contains(p.Detail, test.want) || p.Remedy == "" {
				t.Errorf("Infer = %+v, want %s with %q and a remedy", err, test.code, test.want)
			}
		})
	}
	raw := served(t, replaced("postprocess: {kind: classification, top: 1}\n", "postprocess: {kind: raw}\n#"), engine(""))
	_, err := raw.Infer(t.Context(), "pets", "", infer.Request{Inputs: []tensor.Tensor{photo}, Postprocess: &yes})
	if err == nil {
		t.Error("post-processing that the model does not have was done")
	}
}

func TestTensorsInAndOut(t *testing.T) {
	r := served(t, pets(), engine(""))
	in, err := tensor.New("image", tensor.Float32, 1, 3, 4, 4)
	if err != nil {
		t.Fatal(err)
	}
	first, err := r.Infer(t.Context(), "pets", "", infer.Request{Inputs: []tensor.Tensor{in}})
	if !slices.Equal(first.Labels, []string{"cat", "dog"}) {
		t.Errorf("labels %q, want cat and dog", first.Labels)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(first.Outputs) != 1 || first.Outputs[0].Name != "scores" || first.Outputs[0].Float32s()[1] != .875 {
		t.Errorf("Outputs = %+v, want the tensor scores", first.Outputs)
	}
	first.Outputs[0].Float32s()[1] = 0 // the answer is the caller's: nobody else's changes
	yes := true
	second, err := r.Infer(t.Context(), "pets", "3", infer.Request{Inputs: []tensor.Tensor{in}, Postprocess: &yes})
	if err != nil {
		t.Fatal(err)
	}
	if got := found(t, second); len(got) != 1 || got[0].Label != "dog" {
		t.Errorf("found %+v, want a dog", got)
	}
}

func TestFaultsOfTheEngine(t *testing.T) {
	in := tensor.FromBytes("image", testphoto.Astronaut())
	for fault, want := range map[infer.Fault]problem.Code{
		infer.Crash: problem.Unexpected, infer.Hang: problem.Deadline, infer.Garbage: problem.Unexpected,
	} {
		t.Run(string(fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := served(t, pets(), infer.Faulty(engine(""), fault, 2)) // good while it proves itself
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := r.Infer(ctx, "pets", "", infer.Request{Inputs: []tensor.Tensor{in}})
				if !problem.Is(err, want) {
					t.Errorf("Infer = %v, want %s", err, want)
				}
			})
		})
	}
}

// TestDeadlineOfTheManifest holds an inference to what the manifest gives it, however long
// the request would wait, and does not count the queue.
func TestDeadlineOfTheManifest(t *testing.T) {
	photo := infer.Request{Inputs: []tensor.Tensor{tensor.FromBytes("image", testphoto.Astronaut())}}
	files := replaced("memory: 10MiB", "memory: 10MiB, deadline: 3s")
	synctest.Test(t, func(t *testing.T) {
		r := served(t, files, infer.Faulty(engine(""), infer.Hang, 2))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		_, err := r.Infer(ctx, "pets", "", photo)
		if took := time.Since(start); !problem.Is(err, problem.Deadline) || !strings.Contains(err.Error(), "longer than the 3s") || took != 3*time.Second {
			t.Errorf("Infer = %v after %v, want Deadline after 3s", err, took)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Infer(short, "pets", "", photo); !problem.Is(err, problem.Deadline) || strings.Contains(err.Error(), "manifest") {
			t.Errorf("Infer = %v, want the request's own deadline", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		slow := engine("")
		slow.Cost = 2 * time.Second
		r := served(t, files, slow)
		var wg sync.WaitGroup
		for range 3 { // the last one waits for 4 s
			wg.Go(func() {
				if _, err := r.Infer(t.Context(), "pets", "", photo); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

func TestFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := engine("")
		slow.Cost = time.Second
		r := started(t, models.Config{Backends: []infer.Backend{slow}, Queue: 2, Embedded: map[string]models.Files{"pets": pets()}})
		in, err := tensor.New("image", tensor.Float32, 1, 3, 4, 4)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				answer, err := r.Infer(t.Context(), "pets", "", infer.Request{Inputs: []tensor.Tensor{in}})
				if err != nil || answer.Timing.Infer != time.Second || answer.Backend != "fake" {
					t.Errorf("Infer = %+v, %v", answer, err)
				}
			})
		}
		synctest.Wait()
		if r.InFlight() != 1 || r.Queue() != 2 {
			t.Errorf("%d in flight and %d waiting, want 1 and 2", r.InFlight(), r.Queue())
		}
		broken := tensor.FromBytes("image", []byte("never looked at"))
		_, err = r.Infer(t.Context(), "pets", "", infer.Request{Inputs: []tensor.Tensor{broken}})
		if !problem.Is(err, problem.Busy) || !errors.Is(err, infer.ErrBusy) {
			t.Errorf("Infer = %v, want Busy before the image is decoded", err)
		}
		wg.Wait()
	})
}

func TestUnloadWaitsForAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := engine("")
		slow.Cost = time.Second
		r := served(t, pets(), slow)
		in, err := tensor.New("image", tensor.Float32, 1, 3, 4, 4)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := r.Infer(t.Context(), "pets", "", infer.Request{Inputs: []tensor.Tensor{in}}); err != nil {
				t.Errorf("the answer under way was lost: %v", err)
			}
		})
		synctest.Wait()
		start := time.Now()
		if err := r.Unload(t.Context(), "pets"); err != nil || time.Since(start) != time.Second {
			t.Errorf("Unload = %v after %v, want nil after 1s", err, time.Since(start))
		}
		wg.Wait()
		if _, err := r.Metadata("pets", ""); !problem.Is(err, problem.NotReady) || !strings.Contains(err.Error(), "unloaded") {
			t.Errorf("Metadata = %v, want NotReady", err)
		}
		if err := r.Unload(t.Context(), "nothing"); !problem.Is(err, problem.NotFound) {
			t.Errorf("Unload = %v, want NotFound", err)
		}
		if err := r.Load(t.Context(), "pets"); err != nil || !r.Ready("pets", "") {
			t.Errorf("Load = %v", err)
		}
	})
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "pets"), pets())
	write(t, filepath.Join(dir, ".hidden"), pets())
	write(t, filepath.Join(dir, "Not A Name"), pets())
	outside := t.TempDir()
	write(t, outside, pets())
	write(t, filepath.Join(dir, "linked"), replaced("name: pets", "name: linked"))
	if err := errors.Join(os.Remove(filepath.Join(dir, "linked", "net.fake")),
		os.Symlink(filepath.Join(outside, "net.fake"), filepath.Join(dir, "linked", "net.fake"))); err != nil {
		t.Fatal(err)
	}
	r := started(t, models.Config{Backends: []infer.Backend{engine("")}, Dir: dir, Embedded: map[string]models.Files{}})
	if !r.Ready("pets", "") {
		t.Errorf("Index = %+v, want pets to be ready", r.Index())
	}
	var names []string
	for _, s := range r.Index() {
		names = append(names, s.Name)
		if s.Name == "linked" && (s.State != model.Unavailable || !strings.Contains(s.Reason, "escapes")) {
			t.Errorf("a link that leads out of the package: %+v", s)
		}
	}
	if want := []string{"linked", "pets"}; !slices.Equal(names, want) {
		t.Errorf("the index has %v, want %v", names, want)
	}

	// A package that comes later is loaded on demand, and a newer one replaces it.
	write(t, filepath.Join(dir, "late"), replaced("name: pets", "name: late"))
	if err := r.Load(t.Context(), "late"); err != nil {
		t.Error(err)
	}
	newer := edited("model.yaml", func(b []byte) []byte {
		return bytes.Replace(bytes.Replace(b, []byte("name: pets"), []byte("name: late"), 1), []byte(`"3"`), []byte(`"4"`), 1)
	})
	write(t, filepath.Join(dir, "late"), newer)
	if err := r.Load(t.Context(), "late"); err != nil || !r.Ready("late", "4") {
		t.Errorf("Load = %v, index %+v", err, r.Index())
	}
	// One that is broken does not: the old one goes on, and the index says so.
	write(t, filepath.Join(dir, "late"), models.Files{"model.yaml": []byte("kind: Model")})
	if err := r.Load(t.Context(), "late"); !problem.Is(err, problem.Conflict) || !r.Ready("late", "4") {
		t.Errorf("Load = %v, index %+v", err, r.Index())
	}
	if err := r.Load(t.Context(), "never"); !problem.Is(err, problem.NotFound) {
		t.Errorf("Load = %v, want NotFound", err)
	}
}

func TestEmbeddedAnswersForABrokenFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "pets"), edited("net.fake", func(b []byte) []byte { return b[:len(b)/2] }))
	r := started(t, models.Config{Backends: []infer.Backend{engine("")}, Dir: dir, Embedded: map[string]models.Files{"pets": pets()}})
	s := r.Index()[0]
	if s.State != model.Ready || !strings.Contains(s.Reason, "the embedded package answers") || !strings.Contains(s.Reason, "net.fake is not the file") {
		t.Errorf("Index = %+v, want READY with the reason why it is the embedded one", s)
	}
	if got := look(t, r, "pets", testphoto.Astronaut()); len(got) != 1 {
		t.Errorf("found %+v, want a dog", got)
	}
	// Mended, the folder takes its place.
	write(t, filepath.Join(dir, "pets"), replaced(`"3"`, `"4"`))
	if err := r.Load(t.Context(), "pets"); err != nil || !r.Ready("pets", "4") || r.Index()[0].Reason != "" {
		t.Errorf("Load = %v, index %+v", err, r.Index())
	}
	// Asked for by name, a broken folder is told of, also when the embedded one answers.
	write(t, filepath.Join(dir, "pets"), models.Files{"model.yaml": []byte("kind: Model")})
	if err := r.Unload(t.Context(), "pets"); err != nil {
		t.Fatal(err)
	}
	if err := r.Load(t.Context(), "pets"); !problem.Is(err, problem.Conflict) || !r.Ready("pets", "3") {
		t.Errorf("Load = %v, index %+v", err, r.Index())
	}
}

func TestMemoryIsBounded(t *testing.T) {
	metrics := prometheus.NewRegistry()
	r := started(t, models.Config{
		Backends: []infer.Backend{engine("")}, Memory: 15 << 20, Metrics: metrics,
		Embedded: map[string]models.Files{"pets": pets(), "quiet": replaced("name: pets", "name: quiet"), "vast": edited("model.yaml", func(b []byte) []byte {
			return []byte(strings.NewReplacer("name: pets", "name: vast", "memory: 10MiB", "memory: 16MiB").Replace(string(b)))
		})},
	})
	err := r.Load(t.Context(), "vast")
	if !problem.Is(err, problem.NoCapacity) || !strings.Contains(err.Error(), "needs 16MiB, and 5MiB of 15MiB are left") || !r.Ready("pets", "") {
		t.Errorf("Load = %v, want NoCapacity, and nobody unloaded for what never fits", err)
	}
	if err := r.Load(t.Context(), "quiet"); err != nil {
		t.Errorf("Load = %v, want room for it now", err)
	}
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "primespark_models_memory_bytes" && f.GetMetric()[0].GetGauge().GetValue() != 10<<20 {
			t.Errorf("%v", f)
		}
	}
}

func TestNotReadyBeforeRun(t *testing.T) {
	r, err := models.New(models.Config{Backends: []infer.Backend{engine("")}, Embedded: map[string]models.Files{"pets": pets()}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Metadata("pets", ""); !problem.Is(err, problem.NotReady) {
		t.Errorf("Metadata = %v, want NotReady", err)
	}
	if index := r.Index(); len(index) != 1 || index[0].State != model.Loading {
		t.Errorf("Index = %+v, want LOADING", index)
	}
}

func TestConcurrentUse(t *testing.T) {
	r := served(t, pets(), engine(""))
	in := tensor.FromBytes("image", testphoto.Astronaut())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				_, err := r.Infer(t.Context(), "pets", "", infer.Request{Inputs: []tensor.Tensor{in}})
				if err != nil && !problem.Is(err, problem.NotReady) {
					t.Error(err)
				}
				r.Index()
				r.Serving()
			}
		})
	}
	wg.Go(func() {
		for range 3 {
			if err := errors.Join(r.Unload(t.Context(), "pets"), r.Load(t.Context(), "pets")); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
}
