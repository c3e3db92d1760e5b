package hef_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"primespark/hailo/hef"
	"primespark/hailo/hef/synth"
	"primespark/shared/worker/frame"
)

func read(b []byte) (*hef.File, error) { return hef.Read(bytes.NewReader(b), int64(len(b))) }

// model has something of everything.
func model(version int) synth.Model {
	m := synth.Detector("yolo", 640, 80, 100)
	m.Version, m.Contexts = version, 3
	m.Outputs = append(m.Outputs, hef.Stream{
		Name: "yolo/conv42", Originals: []string{"Conv_1", "Relu_2"}, Height: 20, Width: 40, Features: 80, Scale: 0.25, ZeroPoint: 7, PerFeature: true,
	})
	return m
}

func TestReadWhatWasWritten(t *testing.T) {
	for version, sum := range []string{"md5", "crc32", "xxh3", "xxh3"} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			m := model(version)
			b := m.Bytes()
			got, err := read(b)
			if err != nil {
				t.Fatal(err)
			}
			for _, side := range [][]hef.Stream{m.Inputs, m.Outputs} {
				for i := range side {
					side[i].DataBytes = 1
				}
			}
			want := &hef.File{
				Version: version, Size: int64(len(b)), Checksum: sum, Arch: hef.ArchHailo8P, SDK: "3.31.0",
				Extensions: []string{"EXTENSION", "EXTENSION", "EXTENSION", "EXTENSION", "EXTENSION"}, Groups: []hef.Group{m.Group},
			}
			close := cmpopts.EquateApprox(1e-6, 0) // scales are float32 in the file
			if diff := cmp.Diff(want, got, close, cmpopts.IgnoreUnexported(hef.File{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDamageIsFound(t *testing.T) {
	for version := range 4 {
		good := model(version).Bytes()
		for n := range len(good) {
			if _, err := read(good[:n]); !errors.Is(err, hef.ErrDamaged) && !errors.Is(err, hef.ErrNotHEF) {
				t.Fatalf("V%d cut after %d bytes: %v", version, n, err)
			}
		}
		if _, err := read(append(good, 0)); !errors.Is(err, hef.ErrDamaged) {
			t.Errorf("V%d with a byte too many: %v", version, err)
		}
		header := []int{32, 28, 44, 56}[version]
		for i := header; i < len(good); i++ {
			good[i] ^= 1 << (i % 8)
			if _, err := read(good); !errors.Is(err, hef.ErrDamaged) {
				t.Fatalf("V%d with a flipped bit in byte %d: %v", version, i, err)
			}
			good[i] ^= 1 << (i % 8)
		}
	}
}

func TestWhatIsNoHEF(t *testing.T) {
	future := model(1).Bytes()
	future[7] = 4
	huge := model(3).Bytes()
	binary.BigEndian.PutUint64(huge[20:], 1<<63)
	for name, test := range map[string]struct {
		file []byte
		is   error
		want string
	}{
		"empty":   {nil, hef.ErrNotHEF, `begins with ""`},
		"photo":   {[]byte("\xff\xd8\xff\xe0 and more"), hef.ErrNotHEF, "begins with"},
		"git lfs": {[]byte("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4101596\n"), hef.ErrNotHEF, "git lfs pull"},
		"future":  {future, hef.ErrTooNew, "version 4"},
		"huge":    {huge, hef.ErrDamaged, "weights"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := read(test.file); !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %v with %q", err, test.is, test.want)
			}
		})
	}
}

// What parses and has its checksum, and would still end HailoRT.
func TestContradictionsAreRefused(t *testing.T) {
	for want, change := range map[string]func(*synth.Model){
		"no readable one":      func(m *synth.Model) { m.Name = "" },
		"no context":           func(m *synth.Model) { m.Contexts = 0 },
		"0 inputs":             func(m *synth.Model) { m.Inputs = nil },
		"shape is 0×":          func(m *synth.Model) { m.Inputs[0].Height = 0 },
		"shape is 1048576×":    func(m *synth.Model) { m.Inputs[0].Height, m.Inputs[0].Width = 1<<20, 1<<20 },
		"two layers are named": func(m *synth.Model) { m.Outputs[1].Name = m.Outputs[0].Name },
		"choice of boxes":      func(m *synth.Model) { m.NMS[0].Classes = 0 },
		"1000000 classes":      func(m *synth.Model) { m.NMS[0].Classes = 1000000 },
		"name in it is too":    func(m *synth.Model) { m.Outputs[0].Name = strings.Repeat("x", 1000) },
		"more parts":           func(m *synth.Model) { m.Outputs = many(49) },
		"than any real file":   func(m *synth.Model) { m.Extensions = make([]uint64, 300) },
	} {
		t.Run(want, func(t *testing.T) {
			m := model(1)
			change(&m)
			if _, err := read(m.Bytes()); !errors.Is(err, hef.ErrDamaged) || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want ErrDamaged with %q", err, want)
			}
		})
	}
}

func many(n int) []hef.Stream {
	s := make([]hef.Stream, n)
	for i := range s {
		s[i] = hef.Stream{Name: fmt.Sprint("out", i), Height: 1, Width: 1, Features: 1, Scale: 1}
	}
	return s
}

func TestNeeds(t *testing.T) {
	for _, test := range []struct {
		version    int
		extensions []uint64
		want       string
		outdated   bool
	}{
		{0, []uint64{26}, "4.17.0", false},
		{1, []uint64{26}, "4.18.0", false},
		{2, []uint64{26}, "4.20.0", false},
		{3, []uint64{26}, "4.21.0", false},
		{0, []uint64{26, 29}, "4.18.0", false},
		{2, []uint64{26, 31}, "4.21.0", false},
		{2, []uint64{32}, "4.21.0", true},
	} {
		m := model(test.version)
		m.Extensions = test.extensions
		f, err := read(m.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if f.Needs().String() != test.want || f.Outdated() != test.outdated {
			t.Errorf("V%d %v needs %v, outdated %v, want %v, %v", test.version, test.extensions, f.Needs(), f.Outdated(), test.want, test.outdated)
		}
	}
}

func TestRunsOn(t *testing.T) {
	for arch, chips := range map[hef.Arch]string{
		hef.ArchHailo8: "", hef.ArchHailo8P: "hailo8", hef.ArchHailo8R: "hailo8", hef.ArchHailo8L: "hailo8 hailo8l",
		hef.ArchHailo1X: "hailo10h", 77: "",
	} {
		var got []string
		for _, c := range []hef.Chip{hef.Hailo8, hef.Hailo8L, hef.Hailo10H, 0} {
			if err := arch.RunsOn(c); err == nil {
				got = append(got, c.String())
			} else if !strings.Contains(err.Error(), c.String()) {
				t.Errorf("%q does not name the chip %v", err, c)
			}
		}
		if strings.Join(got, " ") != chips {
			t.Errorf("%v runs on %v, want %q", arch, got, chips)
		}
	}
}

func TestParseRelease(t *testing.T) {
	for in, want := range map[string]string{"4.23.0": "4.23.0", "4.20": "4.20.0", "4": "", "4.x": "", "4.2.3.4": "", "-1.2": "", "": ""} {
		r, err := hef.ParseRelease(in)
		if (err == nil) != (want != "") || err == nil && r.String() != want {
			t.Errorf("%q is %v, %v, want %q", in, r, err, want)
		}
	}
	a, b := hef.Release{4, 9, 9}, hef.Release{4, 10, 0}
	if !a.Less(b) || b.Less(a) || a.Less(a) {
		t.Error("4.9.9 is not older than 4.10.0")
	}
}

func TestFacts(t *testing.T) {
	tensors := synth.Tensors("res", 224, 2, 100)
	tensors.Outputs[1].PerFeature = true
	want := []frame.Fact{
		{Name: "res/input_layer1", Shape: [3]int{224, 224, 3}, Scale: 1},
		{Output: true, Name: "res/fc1", Shape: [3]int{1, 1, 100}, Scale: 0.5},
		{Output: true, Name: "res/fc2", Shape: [3]int{1, 1, 200}, Scale: 0.25, Zero: 10, Unquantizable: true},
	}
	if diff := cmp.Diff(want, tensors.Facts()); diff != "" {
		t.Error(diff)
	}
	boxes := model(1).Facts()
	if len(boxes) != 2 || !boxes[1].NMS || boxes[1].Shape != [3]int{80, 100, 0} {
		t.Errorf("%+v, want the input and the boxes, instead of what the chip gives", boxes)
	}
	softmax := synth.Tensors("res", 224, 1, 100)
	softmax.Logits = []string{"res/softmax1"}
	if got := softmax.Facts(); len(got) != 1 {
		t.Errorf("%+v, want the input alone", got)
	}
}

// FuzzRead gives the parser descriptions with a right checksum, and the bytes as
// they are to the rest.
func FuzzRead(f *testing.F) {
	for v := range 4 {
		f.Add(model(v).Bytes())
	}
	f.Add(model(1).Bytes()[28:])
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, file := range [][]byte{b, wrap(b)} {
			got, err := read(file)
			if err != nil {
				continue
			}
			for _, g := range got.Groups {
				r := frame.LoadRequest{Name: "fuzz", Depth: 1, Timeout: 1e9, Facts: g.Facts()}
				if _, err := r.Lines(); err != nil {
					t.Errorf("what was read cannot be told to a worker: %v", err)
				}
			}
		}
	})
}

// wrap makes a V1 file of a description.
func wrap(proto []byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte("\x01HEF\x00\x00\x00\x01"), uint32(len(proto)))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(proto))
	return append(append(b, make([]byte, 12)...), proto...)
}
