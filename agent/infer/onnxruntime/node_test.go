package onnxruntime_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"primespark/agent/infer/infertest"
	"primespark/agent/models/blazeface"
	"primespark/agent/onnxruntime/orttest"
	"primespark/shared/tensor"
	"primespark/shared/worker/nativetest"
)

// threads of both, since how the work is shared could decide about the last bit.
const threads = 2

// A network is a real model, with the shapes that its file leaves open.
type network struct {
	name   string
	file   func(t *testing.T) []byte
	shapes []tensor.Spec
}

// voice is what silero-VAD takes. It has a part for each rate of samples, and none for 0.
var voice = []tensor.Spec{{Name: "input", Shape: []int{1, 512}}, {Name: "state", Shape: []int{2, 1, 128}}, {Name: "sr", Shape: []int{1}, Sample: 16000}}

var networks = []network{
	{"blazeface", func(*testing.T) []byte { return blazeface.Files()["blazeface-front-128.onnx"] }, nil},
	{"PP-OCR direction", ofNPM("ch_ppocr_mobile_v2.0_cls_infer.onnx"), []tensor.Spec{{Name: "x", Shape: []int{1, 3, 48, 192}}}},
	{"silero-VAD 5", ofNPM("silero_vad_v5.onnx"), voice},
	{"silero-VAD 6", ofNPM("silero_vad_v6.onnx"), voice},
	{"PP-OCR detection", ofNPM("ch_PP-OCRv4_det_infer.onnx"), []tensor.Spec{{Name: "x", Shape: []int{1, 3, 160, 160}}}},
}

// ofNPM reads a file that scripts/npm-models.sh fetches.
func ofNPM(name string) func(*testing.T) []byte {
	return func(t *testing.T) []byte {
		dir, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, "prime-spark-models", name))
		if err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skipf("needs scripts/npm-models.sh: %v", err)
		}
		return b
	}
}

// TestAgainstNode gives the same tensors to the worker with a real ONNX Runtime and to
// onnxruntime-node, which has the same library: each bit of their answers is the same.
func TestAgainstNode(t *testing.T) {
	kit, node := orttest.Real(t)
	nativetest.Need(t, "node", "nodejs")
	b, _ := open(t, kit, nil)
	dir := t.TempDir()
	script, err := os.ReadFile("reference.mjs")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "reference.mjs"), script, 0o600)
	}
	if err == nil { // modules are looked for beside the script
		err = os.Symlink(filepath.Join(node, "node_modules"), filepath.Join(dir, "node_modules"))
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range networks {
		t.Run(n.name, func(t *testing.T) {
			file := n.file(t)
			s := infertest.Load(t, b.Shaped(n.shapes, nil), file)
			in, out := infertest.Inputs(t, s), infertest.Outputs(t, s)
			for _, spec := range n.shapes {
				for _, x := range in {
					if x.Name == spec.Name && spec.Sample != 0 {
						x.Fill(spec.Sample)
					}
				}
			}
			if err := s.Infer(t.Context(), in, out); err != nil {
				t.Fatal(err)
			}
			want := reference(t, dir, file, in, len(out))
			for i := range out {
				if !bytes.Equal(out[i].Data, want[i]) {
					t.Errorf("output %s: %d bytes of the worker are not the %d of onnxruntime-node", out[i].Name, len(out[i].Data), len(want[i]))
				}
			}
		})
	}
}

// reference is what onnxruntime-node makes of the inputs.
func reference(t *testing.T, dir string, model []byte, in []tensor.Tensor, outputs int) [][]byte {
	t.Helper()
	type input struct {
		Name string `json:"name"`
		Type string `json:"type"`
		Dims []int  `json:"dims"`
		File string `json:"file"`
	}
	task := struct {
		Model   string   `json:"model"`
		Threads int      `json:"threads"`
		Inputs  []input  `json:"inputs"`
		Outputs []string `json:"outputs"`
	}{Model: filepath.Join(dir, "model.onnx"), Threads: threads}
	write := func(path string, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(task.Model, model)
	types := map[tensor.Type]string{tensor.Float32: "float32", tensor.Int64: "int64", tensor.Uint8: "uint8"}
	for i, x := range in {
		file := filepath.Join(dir, fmt.Sprint("in", i))
		write(file, x.Data)
		task.Inputs = append(task.Inputs, input{x.Name, types[x.Type], x.Shape, file})
	}
	for i := range outputs {
		task.Outputs = append(task.Outputs, filepath.Join(dir, fmt.Sprint("out", i)))
	}
	text, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "reference.mjs", string(text))
	cmd.Dir = dir
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("onnxruntime-node: %v\n%s", err, said)
	}
	all := make([][]byte, outputs)
	for i, path := range task.Outputs {
		if all[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	return all
}
