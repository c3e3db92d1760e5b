package frame_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"primespark/shared/tensor"
	"primespark/shared/worker/frame"
)

// The bytes on the wire, which workers in other languages are written against.
func TestEncodeIsAsDocumented(t *testing.T) {
	m := frame.Message{Header: frame.Header{
		Type: frame.Infer, Reply: true, Seq: 0x01020304, Status: -6, Model: 7, A: 0x1122334455667788, B: 9,
	}, Payload: []byte("{}")}
	got, err := m.Encode()
	want := "50535731" + "0500" + "0100" + "04030201" + "faffffff" + "02000000" + "07000000" +
		"8877665544332211" + "0900000000000000" + "7b7d"
	if hex.EncodeToString(got) != want || err != nil {
		t.Errorf("got  %x, %v\nwant %s", got, err, want)
	}
	back, err := frame.Decode(got)
	if err != nil || !reflect.DeepEqual(back, m) {
		t.Errorf("decoded %+v, %v, want %+v", back, err, m)
	}
}

func TestEncodeRefusesTooMuch(t *testing.T) {
	if _, err := (frame.Message{Payload: make([]byte, frame.MaxPayload+1)}).Encode(); err == nil {
		t.Error("a payload over the bound passed")
	}
}

func TestDecodeRefuses(t *testing.T) {
	good, err := frame.Message{Header: frame.Header{Type: frame.Ping}, Payload: []byte("abc")}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	change := func(at int, to byte) []byte { b := bytes.Clone(good); b[at] = to; return b }
	for want, packet := range map[string][]byte{
		"a header alone":   good[:39],
		"begins with":      change(0, 'X'),
		"unknown flags":    change(6, 2),
		"payload and has":  good[:42],
		"4 bytes of paylo": change(16, 4),
		"at most":          longPacket(),
	} {
		if _, err := frame.Decode(packet); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
}

// longPacket is one whose payload is right but over the bound.
func longPacket() []byte {
	b, err := frame.Message{Payload: make([]byte, frame.MaxPayload)}.Encode()
	if err != nil {
		panic(err)
	}
	b = append(b, 0)
	b[16]++
	return b
}

func FuzzDecode(f *testing.F) {
	f.Add(longPacket()[:64])
	good, err := frame.Message{Header: frame.Header{Type: frame.Load, Reply: true, Status: 4}, Payload: []byte(`{"call":"x"}`)}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, packet []byte) {
		m, err := frame.Decode(packet)
		if err != nil {
			return
		}
		if back, err := m.Encode(); err != nil || !bytes.Equal(back, packet) {
			t.Errorf("%x is encoded as %x, %v", packet, back, err)
		}
		if (m.Err() == nil) != (m.Status == 0) {
			t.Errorf("status %d is the error %v", m.Status, m.Err())
		}
	})
}

func TestFailure(t *testing.T) {
	ask := frame.Message{Header: frame.Header{Type: frame.Load, Seq: 3}}
	err := ask.Fail(frame.Failure{Status: 76, Call: "hailo_create_vdevice", Text: "HAILO_INVALID_DRIVER_VERSION"}).Err()
	fail, ok := errors.AsType[*frame.Failure](err)
	if !ok || fail.Status != 76 || fail.Type != frame.Load || fail.Call != "hailo_create_vdevice" {
		t.Errorf("%#v, want what was said", err)
	}
	if want := "worker: load: hailo_create_vdevice: status 76 (HAILO_INVALID_DRIVER_VERSION)"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
	if err := ask.Answer([]byte("{}")).Err(); err != nil {
		t.Errorf("an answer is the error %v", err)
	}
}

func loaded() *frame.LoadReply {
	return &frame.LoadReply{
		Inputs:  []frame.Tensor{{Name: "in", Type: tensor.Uint8, Shape: []int{4, 4, 3}, Layout: "nhwc", Bytes: 48, Scale: 1}},
		Outputs: []frame.Tensor{{Name: "out", Type: tensor.Float32, Shape: []int{10}, Layout: "nc", Bytes: 40, Scale: 1}},
	}
}

func TestBodyRefusesWhatCannotBe(t *testing.T) {
	good := `{"name":"a","type":"UINT8","shape":[2,3],"bytes":6}`
	for name, test := range map[string]struct{ in, out, want string }{
		"good":          {good, good, ""},
		"nothing out":   {good, "", "1 inputs and 0 outputs"},
		"many":          {good, strings.Repeat(good+",", 64) + good, "at most 64"},
		"no name":       {`{"type":"UINT8","shape":[1],"bytes":1}`, good, "no name"},
		"no bytes":      {`{"name":"a","type":"UINT8","shape":[1]}`, good, "0 bytes"},
		"type":          {`{"name":"a","type":"BYTES","shape":[1],"bytes":1}`, good, "unknown type"},
		"other size":    {`{"name":"a","type":"UINT16","shape":[2,3],"bytes":6}`, good, "has 12"},
		"overflow":      {`{"name":"a","type":"UINT8","shape":[1073741824,1073741824,1073741824],"bytes":6}`, good, "shape"},
		"negative":      {`{"name":"a","type":"UINT8","shape":[-2,-3],"bytes":6}`, good, "shape"},
		"many classes":  {`{"name":"a","type":"UINT8","shape":[6],"bytes":6,"classes":70000}`, good, "70000 classes"},
		"boxes":         {good, `{"name":"a","type":"FP32","shape":[33],"bytes":132,"layout":"nms_by_class","classes":3,"per_class":2}`, ""},
		"more boxes":    {good, `{"name":"a","type":"FP32","shape":[33],"bytes":132,"layout":"nms_by_class","classes":60000,"per_class":60000}`, "60000 classes of 60000 boxes"},
		"boxes of what": {good, `{"name":"a","type":"UINT8","shape":[132],"bytes":132,"layout":"nms_by_class","classes":3,"per_class":2}`, "132 bytes of UINT8"},
		"open":          {good, `{"name":"a","type":"FP32","shape":[-1,6],"bytes":96}`, ""},
		"open input":    {`{"name":"a","type":"UINT8","shape":[-1],"bytes":6}`, good, "input \"a\" has shape [-1]"},
		"open and none": {good, `{"name":"a","type":"UINT8","shape":[-1,0],"bytes":6}`, "shape"},
		"open and odd":  {good, `{"name":"a","type":"UINT16","shape":[-1],"bytes":7}`, "7 bytes are no whole number"},
		"open and huge": {good, `{"name":"a","type":"UINT8","shape":[-1],"bytes":2147483648}`, "2147483648 bytes"},
		"no shape":      {`{"name":"a","type":"UINT8","bytes":1}`, good, "0 dimensions"},
	} {
		t.Run(name, func(t *testing.T) {
			m := frame.Message{Header: frame.Header{Type: frame.Load}, Payload: []byte(`{"inputs":[` + test.in + `],"outputs":[` + test.out + `]}`)}
			err := m.Body(&frame.LoadReply{})
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

func request() frame.LoadRequest {
	return frame.LoadRequest{
		Name: "yolov8s", Depth: 4, Timeout: 10 * time.Second, SchedulerThreshold: 2, SchedulerTimeout: 5 * time.Millisecond,
		Facts: []frame.Fact{
			{Name: "net/input 1", Shape: [3]int{640, 640, 3}, Scale: 0.25, Zero: 3},
			{Name: "net/nms", Output: true, NMS: true, Shape: [3]int{80, 100, 0}, Unquantizable: true},
		},
		Shapes:  []frame.Shape{{Name: "open input", Dims: []int{1, 640, 3}, Sample: 16000.5}},
		Outputs: []frame.Output{{Name: "boxes found", Most: 600, Open: []bool{false, true}}},
	}
}

func TestLoadLines(t *testing.T) {
	got, err := request().Lines()
	want := `name yolov8s
depth 4
timeout_ms 10000
scheduler_timeout_ms 5
scheduler_threshold 2
fact 0 0 1 640 640 3 0.25 3 net/input 1
fact 1 1 0 80 100 0 0 0 net/nms
shape 1,640,3 open input
sample 16000.5
output 600 2 boxes found
`
	if string(got) != want || err != nil {
		t.Errorf("got\n%s%v, want\n%s", got, err, want)
	}
	back, err := frame.ParseLoad(got)
	if err != nil || !reflect.DeepEqual(back, request()) {
		t.Errorf("parsed %+v, %v, want %+v", back, err, request())
	}
}

func TestLoadLinesRefuses(t *testing.T) {
	for want, change := range map[string]func(*frame.LoadRequest){
		"depth 0":          func(r *frame.LoadRequest) { r.Depth = 0 },
		"depth 33":         func(r *frame.LoadRequest) { r.Depth = 33 },
		`name ""`:          func(r *frame.LoadRequest) { r.Name = "" },
		`name "a\nraw 1"`:  func(r *frame.LoadRequest) { r.Name = "a\nraw 1" },
		"timeout 0s":       func(r *frame.LoadRequest) { r.Timeout = 0 },
		"priority 32":      func(r *frame.LoadRequest) { r.SchedulerPriority = 32 },
		"threshold -1":     func(r *frame.LoadRequest) { r.SchedulerThreshold = -1 },
		"65 tensors":       func(r *frame.LoadRequest) { r.Facts = make([]frame.Fact, 65) },
		`tensor "\x00"`:    func(r *frame.LoadRequest) { r.Facts[0].Name = "\x00" },
		"dimension -1":     func(r *frame.LoadRequest) { r.Facts[0].Shape[0] = -1 },
		"are no numbers":   func(r *frame.LoadRequest) { r.Facts[0].Scale = 1e300 },
		"dimension 0":      func(r *frame.LoadRequest) { r.Shapes[0].Dims[1] = 0 },
		"8 dimensions":     func(r *frame.LoadRequest) { r.Shapes[0].Dims = make([]int, 9) },
		"sample NaN":       func(r *frame.LoadRequest) { r.Shapes[0].Sample = math.NaN() },
		"65 shapes":        func(r *frame.LoadRequest) { r.Shapes = make([]frame.Shape, 65) },
		`shape of "a\nb"`:  func(r *frame.LoadRequest) { r.Shapes[0].Name = "a\nb" },
		`output "a\nb"`:    func(r *frame.LoadRequest) { r.Outputs[0].Name = "a\nb" },
		`output "boxes`:    func(r *frame.LoadRequest) { r.Outputs[0].Open = make([]bool, 9) },
		"65 outputs":       func(r *frame.LoadRequest) { r.Outputs = make([]frame.Output, 65) },
		"scheduler timeou": func(r *frame.LoadRequest) { r.SchedulerTimeout = 2 * time.Hour },
	} {
		r := request()
		change(&r)
		if _, err := r.Lines(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
}

func FuzzParseLoad(f *testing.F) {
	lines, err := request().Lines()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(lines)
	f.Add([]byte("name a\ndepth 1\ntimeout_ms 1\nshape 1,,2 x\n"))
	f.Add([]byte("name a\ndepth 1\ntimeout_ms 1\nsample 1\nshape 1 x\nsample 2\n"))
	f.Add([]byte("name a\ndepth 1\ntimeout_ms 1\noutput 0 256 x\noutput -1 1 y\n"))
	f.Add([]byte("name a\ndepth 1\ntimeout_ms 1\nfact 1 0 1 1 1 1 nan 0 x\n"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		r, err := frame.ParseLoad(payload)
		if err != nil {
			return
		}
		lines, err := r.Lines()
		if err != nil {
			t.Fatalf("%q is understood as %+v, which is refused: %v", payload, r, err)
		}
		if back, err := frame.ParseLoad(lines); err != nil || !reflect.DeepEqual(back, r) {
			t.Errorf("%+v comes back as %+v, %v", r, back, err)
		}
	})
}
