package frame

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A LoadRequest says how to load a model; its file comes along as a descriptor.
type LoadRequest struct {
	Name    string        // for messages to people; at most MaxName bytes
	Depth   int           // inferences at a time, 1 to MaxDepth
	Timeout time.Duration // after which the engine itself gives an inference up; whole milliseconds
	Raw     bool          // outputs as the accelerator stores them, instead of float32
	// How the engine shares the accelerator among models; 0 leaves it as it is.
	SchedulerTimeout   time.Duration // how long a model may wait for Threshold frames
	SchedulerThreshold int           // frames to wait for before it is switched in
	SchedulerPriority  int           // 0 to 31, the engine's own; higher goes first
	// Facts are what the model's file itself says of its tensors. The worker holds
	// what the library says against them and refuses with Layout if they differ.
	Facts []Fact
	// Shapes close what the file leaves open of the inputs so named.
	Shapes []Shape
	// Outputs say which dimensions of the outputs so named the data decide.
	Outputs []Output
}

// An Output is one whose sizes somebody knows something of.
type Output struct {
	Name string
	Most int    // elements; 0 for as many as the engine finds right
	Open []bool // for each dimension, whether the data decide it; at most MaxDims
}

// A Shape is that of one input. A dimension that the file fixes must be the same.
type Shape struct {
	Name string
	Dims []int // 1 to MaxDims
	// Sample is what each element is when the worker tries the model out, to see what
	// its outputs are like.
	Sample float64
}

// A Fact is a tensor as the model's file describes it.
type Fact struct {
	Output        bool
	Name          string
	Shape         [3]int // height, width, features; for NMS classes, boxes per class, 0
	NMS           bool
	Scale, Zero   float64
	Unquantizable bool // the file has no single scale and zero for it, so they are not compared
}

// Lines is the request's payload: a "key value" for each line.
func (r LoadRequest) Lines() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("load request: %w", err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "name %s\ndepth %d\ntimeout_ms %d\n", r.Name, r.Depth, r.Timeout.Milliseconds())
	for _, f := range []struct {
		key   string
		value int64
	}{
		{"raw", int64(number(r.Raw))},
		{"scheduler_timeout_ms", r.SchedulerTimeout.Milliseconds()},
		{"scheduler_threshold", int64(r.SchedulerThreshold)},
		{"scheduler_priority", int64(r.SchedulerPriority)},
	} {
		if f.value != 0 {
			fmt.Fprintf(&b, "%s %d\n", f.key, f.value)
		}
	}
	for _, f := range r.Facts {
		// fact OUTPUT NMS QUANTIZED H W C SCALE ZERO NAME
		fmt.Fprintf(&b, "fact %d %d %d %d %d %d %s %s %s\n", number(f.Output), number(f.NMS), number(!f.Unquantizable),
			f.Shape[0], f.Shape[1], f.Shape[2], decimal(f.Scale), decimal(f.Zero), f.Name)
	}
	for _, shape := range r.Shapes {
		// shape D,D,... NAME
		fmt.Fprintf(&b, "shape %s %s\n", strings.Join(strings.Fields(strings.Trim(fmt.Sprint(shape.Dims), "[]")), ","), shape.Name)
		if shape.Sample != 0 { // sample VALUE, of the shape before it
			fmt.Fprintf(&b, "sample %s\n", strconv.FormatFloat(shape.Sample, 'g', -1, 64))
		}
	}
	for _, o := range r.Outputs {
		// output MOST OPEN NAME, with a bit for each dimension
		open := 0
		for i, is := range o.Open {
			open |= number(is) << i
		}
		fmt.Fprintf(&b, "output %d %d %s\n", o.Most, open, o.Name)
	}
	if b.Len() > MaxPayload {
		return nil, fmt.Errorf("load request: %d bytes, at most %d", b.Len(), MaxPayload)
	}
	return b.Bytes(), nil
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'g', -1, 32) }

func (r LoadRequest) check() error {
	switch {
	case !plain(r.Name):
		return fmt.Errorf("name %.127q: want 1 to %d printable characters", r.Name, MaxName)
	case r.Depth < 1 || r.Depth > MaxDepth:
		return fmt.Errorf("depth %d: want 1 to %d", r.Depth, MaxDepth)
	case r.Timeout < time.Millisecond || r.Timeout > time.Hour:
		return fmt.Errorf("timeout %v: want 1ms to 1h", r.Timeout)
	case r.SchedulerTimeout < 0 || r.SchedulerTimeout > time.Hour:
		return fmt.Errorf("scheduler timeout %v: want 0 to 1h", r.SchedulerTimeout)
	case r.SchedulerThreshold < 0 || r.SchedulerThreshold > 1000:
		return fmt.Errorf("scheduler threshold %d: want 0 to 1000", r.SchedulerThreshold)
	case r.SchedulerPriority < 0 || r.SchedulerPriority > 31:
		return fmt.Errorf("scheduler priority %d: want 0 to 31", r.SchedulerPriority)
	case len(r.Facts) > MaxTensors:
		return fmt.Errorf("%d tensors, at most %d", len(r.Facts), MaxTensors)
	}
	for _, f := range r.Facts {
		if !plain(f.Name) {
			return fmt.Errorf("tensor %.127q: want 1 to %d printable characters", f.Name, MaxName)
		}
		if bad(f.Scale) || bad(f.Zero) {
			return fmt.Errorf("tensor %s: scale %v and zero %v are no numbers", f.Name, f.Scale, f.Zero)
		}
		for _, d := range f.Shape {
			if d < 0 || d > MaxArena {
				return fmt.Errorf("tensor %s: dimension %d", f.Name, d)
			}
		}
	}
	return errors.Join(checkShapes(r.Shapes), checkOutputs(r.Outputs))
}

func checkOutputs(outputs []Output) error {
	if len(outputs) > MaxTensors {
		return fmt.Errorf("%d outputs, at most %d", len(outputs), MaxTensors)
	}
	for _, o := range outputs {
		if !plain(o.Name) || len(o.Open) > MaxDims || o.Most < 0 || o.Most > MaxArena {
			return fmt.Errorf("output %.127q: want a name of 1 to %d printable characters, at most %d dimensions, and 0 to %d elements", o.Name, MaxName, MaxDims, MaxArena)
		}
	}
	return nil
}

func checkShapes(shapes []Shape) error {
	if len(shapes) > MaxTensors {
		return fmt.Errorf("%d shapes, at most %d", len(shapes), MaxTensors)
	}
	for _, s := range shapes {
		if !plain(s.Name) || len(s.Dims) < 1 || len(s.Dims) > MaxDims {
			return fmt.Errorf("shape of %.127q: want a name of 1 to %d printable characters and 1 to %d dimensions", s.Name, MaxName, MaxDims)
		}
		if math.IsNaN(s.Sample) || math.IsInf(s.Sample, 0) {
			return fmt.Errorf("shape of %s: the sample %v is no number", s.Name, s.Sample)
		}
		for _, d := range s.Dims {
			if d < 1 || d > MaxArena {
				return fmt.Errorf("shape of %s: dimension %d", s.Name, d)
			}
		}
	}
	return nil
}

func bad(f float64) bool { return math.IsNaN(f) || math.Abs(f) > math.MaxFloat32 }

// plain reports whether a name can stand at the end of a line.
func plain(name string) bool {
	return name != "" && len(name) <= MaxName && !strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f })
}

// ParseLoad reads a payload of Lines, for workers in Go and for tests.
func ParseLoad(payload []byte) (LoadRequest, error) {
	var r LoadRequest
	for line := range strings.Lines(string(payload)) {
		key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !ok {
			return LoadRequest{}, fmt.Errorf("load request: %.80q is no key and value", line)
		}
		if err := r.set(key, value); err != nil {
			return LoadRequest{}, fmt.Errorf("load request: %.30s: %w", key, err)
		}
	}
	if err := r.check(); err != nil {
		return LoadRequest{}, fmt.Errorf("load request: %w", err)
	}
	return r, nil
}

func (r *LoadRequest) set(key, value string) error {
	switch key {
	case "name":
		r.Name = value
		return nil
	case "fact":
		f, err := parseFact(value)
		r.Facts = append(r.Facts, f)
		return err
	case "shape":
		shape, err := parseShape(value)
		r.Shapes = append(r.Shapes, shape)
		return err
	case "output":
		o, err := parseOutput(value)
		r.Outputs = append(r.Outputs, o)
		return err
	case "sample":
		if len(r.Shapes) == 0 {
			return errors.New("no shape before it")
		}
		v, err := strconv.ParseFloat(value, 64)
		r.Shapes[len(r.Shapes)-1].Sample = v
		return err
	}
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil {
		return err
	}
	switch key {
	case "depth":
		r.Depth = int(n)
	case "timeout_ms":
		r.Timeout = time.Duration(n) * time.Millisecond
	case "raw":
		r.Raw = n != 0
	case "scheduler_timeout_ms":
		r.SchedulerTimeout = time.Duration(n) * time.Millisecond
	case "scheduler_threshold":
		r.SchedulerThreshold = int(n)
	case "scheduler_priority":
		r.SchedulerPriority = int(n)
	default:
		return errors.New("unknown key")
	}
	return nil
}

func parseShape(value string) (Shape, error) {
	dims, name, ok := strings.Cut(value, " ")
	if !ok {
		return Shape{}, errors.New("no name")
	}
	s := Shape{Name: name}
	for word := range strings.SplitSeq(dims, ",") {
		n, err := strconv.Atoi(word)
		if err != nil {
			return Shape{}, err
		}
		s.Dims = append(s.Dims, n)
	}
	return s, nil
}

func parseOutput(value string) (Output, error) {
	words := strings.SplitN(value, " ", 3)
	if len(words) != 3 {
		return Output{}, fmt.Errorf("%d words, want 3", len(words))
	}
	most, err := strconv.Atoi(words[0])
	if err != nil {
		return Output{}, err
	}
	open, err := strconv.ParseUint(words[1], 10, MaxDims)
	if err != nil {
		return Output{}, err
	}
	o := Output{Name: words[2], Most: most}
	for ; open > 0; open >>= 1 {
		o.Open = append(o.Open, open&1 != 0)
	}
	return o, nil
}

func parseFact(value string) (Fact, error) {
	words := strings.SplitN(value, " ", 9)
	if len(words) != 9 {
		return Fact{}, fmt.Errorf("%d words, want 9", len(words))
	}
	var n [6]int
	for i := range n {
		v, err := strconv.Atoi(words[i])
		if err != nil {
			return Fact{}, err
		}
		n[i] = v
	}
	scale, err := strconv.ParseFloat(words[6], 32)
	if err != nil {
		return Fact{}, err
	}
	zero, err := strconv.ParseFloat(words[7], 32)
	if err != nil {
		return Fact{}, err
	}
	return Fact{
		Output: n[0] != 0, NMS: n[1] != 0, Unquantizable: n[2] == 0, Shape: [3]int(n[3:6]),
		Scale: scale, Zero: zero, Name: words[8],
	}, nil
}
