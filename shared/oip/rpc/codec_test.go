package rpc

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/semaphore"

	"primespark/shared/problem"
	"primespark/shared/tensor"
)

// sample returns random data for two elements of typ.
func sample(r *rand.Rand, typ tensor.Type) tensor.Tensor {
	t := tensor.Tensor{Name: "x", Type: typ, Shape: []int{1, 2}}
	if typ == tensor.Bytes {
		t.Data = tensor.FromBytes("", fmt.Append(nil, r.Uint64()), nil).Data
		return t
	}
	for range 2 * typ.Size() {
		t.Data = append(t.Data, byte(r.Uint32()))
	}
	if typ == tensor.Bool {
		t.Data = []byte{0, 1}
	}
	return t
}

// What is packed as typed contents is read back as it was, for each datatype.
func TestContentsComeBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for typ := range columns {
		for range 100 {
			want := sample(r, typ)
			b, err := appendContents(nil, 5, want)
			if err != nil {
				t.Fatal(err)
			}
			got, left := want, 1000
			err = fields(b, func(f field) error { return typed(&got, [][]byte{f.data}, &left) })
			if err != nil || !bytes.Equal(got.Data, want.Data) || left != 1000-len(want.Data) {
				t.Fatalf("%s: % x became % x (%v), %d left", typ, want.Data, got.Data, err, left)
			}
		}
	}
}

func TestTimeout(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 0, "1H": time.Hour, "3M": 3 * time.Minute, "20S": 20 * time.Second, "250m": 250 * time.Millisecond,
		"7u": 7 * time.Microsecond, "9n": 9, "0n": 1, "99999999H": 24 * time.Hour,
		"S": -1, "1": -1, "-1S": -1, "1x": -1, "999999999S": -1, "1.5S": -1,
	} {
		got, err := timeout(http.Header{"Grpc-Timeout": {text}}, 24*time.Hour)
		if want == -1 && err == nil || want >= 0 && (err != nil || got != want) {
			t.Errorf("%q is %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestEscape(t *testing.T) {
	if got, want := escape("a%b\n~µ"), "a%25b%0A~%C2%B5"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Every problem has a status of its own choosing, none by default.
func TestEveryProblemHasAStatus(t *testing.T) {
	for _, c := range []problem.Code{
		problem.Invalid, problem.Unauthorized, problem.Forbidden, problem.NotFound, problem.BadMethod, problem.Conflict, problem.StaleLease, problem.TooLarge, problem.BadMedia,
		problem.Busy, problem.Unexpected, problem.Unreachable, problem.NotReady, problem.NoLeader, problem.NoQuorum, problem.NoCapacity, problem.Deadline,
	} {
		if _, ok := codes[c]; !ok {
			t.Errorf("%s has no status", c)
		}
	}
}

func frame(flag byte, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flag}, uint32(len(payload))), payload...)
}

func zipped(payload []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(payload) // into memory
	_ = z.Close()
	return b.Bytes()
}

func TestFrames(t *testing.T) {
	large := bytes.Repeat([]byte("a"), 200<<10)
	for name, test := range map[string]struct {
		stream []byte
		gzip   bool
		room   int64
		want   []byte
		says   string
	}{
		"empty message":       {frame(0, nil), false, 1 << 20, nil, ""},
		"message":             {frame(0, large), false, 1 << 20, large, ""},
		"compressed":          {frame(1, zipped(large)), true, 1 << 20, large, ""},
		"no message":          {nil, false, 1 << 20, nil, "no more messages"},
		"half a head":         {[]byte{0, 0}, false, 1 << 20, nil, "did not arrive whole"},
		"half a message":      {frame(0, large)[:1000], false, 1 << 20, nil, "did not arrive whole"},
		"too large":           {frame(0, make([]byte, 300<<10)), false, 1 << 20, nil, "larger than 262144 bytes"},
		"said to be huge":     {[]byte{0, 255, 255, 255, 255}, false, 1 << 20, nil, "larger than 262144 bytes"},
		"compressed unasked":  {frame(1, zipped(large)), false, 1 << 20, nil, "grpc-encoding names nothing"},
		"unknown flag":        {frame(2, nil), true, 1 << 20, nil, "flag 2"},
		"a bomb":              {frame(1, zipped(make([]byte, 10<<20))), true, 1 << 20, nil, "larger than 262144 bytes"},
		"no gzip":             {frame(1, []byte("hello")), true, 1 << 20, nil, "did not arrive whole"},
		"gzip cut short":      {frame(1, zipped(large)[:20]), true, 1 << 20, nil, "did not arrive whole"},
		"no memory for it":    {frame(0, large), false, 100 << 10, nil, "as it has memory for"},
		"memory for the head": {frame(0, large)[:1000], false, 64 << 10, nil, "did not arrive whole"},
	} {
		t.Run(name, func(t *testing.T) {
			room := semaphore.NewWeighted(test.room)
			f := &frames{from: io.MultiReader(bytes.NewReader(test.stream)), gzip: test.gzip, most: 256 << 10, room: room}
			got, err := f.next(nil)
			if test.says == "" && (err != nil || !bytes.Equal(got, test.want)) {
				t.Errorf("%d bytes, %v, want %d", len(got), err, len(test.want))
			}
			if test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
				t.Errorf("%v, want %q", err, test.says)
			}
			f.close()
			if !room.TryAcquire(test.room) {
				t.Error("memory was not given back")
			}
		})
	}
}

// FuzzInference throws messages at the reader of inference requests. What it
// takes is well-formed, within the bounds, and in the memory that it may have.
func FuzzInference(f *testing.F) {
	in := appendShape(appendString(appendString(nil, 1, "x"), 2, "UINT8"), 3, []int{2})
	contents, err := appendContents(nil, 5, tensor.Tensor{Type: tensor.Uint8, Shape: []int{2}, Data: []byte{1, 2}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(appendElement(appendElement(appendString(nil, 1, "m"), 5, in), 7, "ab"))
	f.Add(appendElement(appendString(nil, 1, "m"), 5, append(in, contents...)))
	f.Add(appendParams(appendString(nil, 3, "id"), 4, map[string]any{"a": true, "b": int64(1), "c": "d", "e": 1.5}))
	f.Fuzz(func(t *testing.T, b []byte) {
		const most = 1 << 16
		before := bytes.Clone(b)
		i, err := readInference(b, most)
		if !bytes.Equal(before, b) {
			t.Error("the message was changed")
		}
		if err != nil {
			e := problem.Of(err)
			if e.Code != problem.Invalid && e.Code != problem.TooLarge || e.Remedy == "" || len(e.Detail) > 600 {
				t.Errorf("refused with %s %q, %q", e.Code, e.Detail, e.Remedy)
			}
			return
		}
		size := 0
		for _, in := range i.request.Inputs {
			if err := in.Check(); err != nil {
				t.Errorf("taken, but %v", err)
			}
			size += len(in.Data)
		}
		if size > max(most, len(b)) {
			t.Errorf("%d bytes became %d", len(b), size)
		}
		for _, p := range i.request.Params {
			if v, ok := p.(float64); ok && (math.IsNaN(v) || math.IsInf(v, 0)) {
				t.Errorf("the parameter %v has no form in JSON", v)
			}
		}
	})
}

// FuzzFrames throws bytes at the reader of messages.
func FuzzFrames(f *testing.F) {
	f.Add(append(frame(0, []byte("hello")), frame(1, zipped([]byte("hello")))...))
	f.Fuzz(func(t *testing.T, b []byte) {
		const most = 1 << 16
		room := semaphore.NewWeighted(2 * most)
		in := &frames{from: bytes.NewReader(b), gzip: true, most: most, room: room}
		for {
			m, err := in.next(nil)
			if err != nil {
				break
			}
			if len(m) > most {
				t.Fatalf("a message of %d bytes", len(m))
			}
		}
		in.close()
		if !room.TryAcquire(2 * most) {
			t.Error("memory was not given back")
		}
	})
}
