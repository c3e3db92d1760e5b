package frame

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"primespark/shared/tensor"
)

// HelloReply says who answers. A worker that cannot use its engine still says
// hello, with why in Fault.
type HelloReply struct {
	Worker  string   `json:"worker"`            // "hailo-c", "hailo-python"
	PID     int      `json:"pid"`               // as the worker sees it
	Library string   `json:"library,omitempty"` // version of the engine's library: "4.23.0"
	Path    string   `json:"path,omitempty"`    // where it was found
	Layout  string   `json:"layout,omitempty"`  // which row of the worker's table fits: "4.20"
	Fault   Status   `json:"fault,omitempty"`   // what every Load will be answered with
	Why     string   `json:"why,omitempty"`     // in words
	Missing []string `json:"missing,omitempty"` // functions that the library lacks
	// Confined says that the kernel refuses the worker what it does not need: network,
	// other programs, files to write.
	Confined bool `json:"confined,omitempty"`
}

// DeviceReply says which accelerator the engine uses.
type DeviceReply struct {
	Devices  int    `json:"devices"` // how many there are; the first is used
	ID       string `json:"id,omitempty"`
	Arch     int    `json:"arch"` // as the library numbers it
	Firmware string `json:"firmware,omitempty"`
	Board    string `json:"board,omitempty"`
	Serial   string `json:"serial,omitempty"`
	Part     string `json:"part,omitempty"`
}

// SenseReply is what the accelerator measures. A nil slice or pointer means that
// it did not answer, for the reason that the status beside it has.
type SenseReply struct {
	TemperatureC      []float64 `json:"temperature_c"` // one for each sensor, °C
	TemperatureStatus Status    `json:"temperature_status"`
	PowerW            *float64  `json:"power_w"` // of the whole accelerator
	PowerStatus       Status    `json:"power_status"`
	Protection        *bool     `json:"protection"` // whether it would throttle by itself when hot
}

// PingReply counts since the worker began.
type PingReply struct {
	Frames   uint64 `json:"frames"`   // answered with OK
	Errors   uint64 `json:"errors"`   // answered otherwise
	InFlight int    `json:"inflight"` // asked and not yet answered
	Models   int    `json:"models"`
	RSS      uint64 `json:"rss"` // bytes of memory that the worker has
}

// LoadReply describes the model that was loaded; its number is in the header.
type LoadReply struct {
	Inputs  []Tensor `json:"inputs"`
	Outputs []Tensor `json:"outputs"`
	Millis  float64  `json:"ms"` // how long it took
}

// ByClass is the layout of boxes that the engine has chosen itself; see Tensor.Classes.
const ByClass = "nms_by_class"

// A Tensor is one input or output, as the worker wants or gives it. A dimension of an
// output that is -1 is decided by the data; Bytes are then what there is room for.
type Tensor struct {
	Name      string      `json:"name"`
	Type      tensor.Type `json:"type"`
	Shape     []int       `json:"shape"`
	Layout    string      `json:"layout"` // "nhwc", "nc", "nms_by_class"; "other N" as the engine numbers it
	Bytes     int         `json:"bytes"`
	Scale     float64     `json:"scale"` // value = (stored − zero) · scale, of the quantized tensor
	ZeroPoint float64     `json:"zero"`
	// Classes and PerClass bound an output of layout nms_by_class: for each class a
	// float32 count and then so many times y_min, x_min, y_max, x_max, score, without gaps.
	Classes  int `json:"classes,omitempty"`
	PerClass int `json:"per_class,omitempty"`
}

// Open reports whether the data decide the shape.
func (t Tensor) Open() bool { return slices.Contains(t.Shape, -1) }

// Open reports whether the data decide the shape of an output.
func (r LoadReply) Open() bool { return slices.ContainsFunc(r.Outputs, Tensor.Open) }

// Shapes reads the answer to an Infer of a model that is open: the shape of each output.
// What does not agree with r, or would reach beyond an output's room, is an error.
func (r LoadReply) Shapes(m Message) ([][]int, error) {
	var told struct {
		Shapes [][]int `json:"shapes"`
	}
	if err := m.Body(&told); err != nil {
		return nil, err
	}
	if len(told.Shapes) != len(r.Outputs) {
		return nil, fmt.Errorf("%v reply of the worker: %d shapes of %d outputs", m.Type, len(told.Shapes), len(r.Outputs))
	}
	for i, t := range r.Outputs {
		if n := t.size(told.Shapes[i]); n < 0 || n > t.Bytes {
			return nil, fmt.Errorf("%v reply of the worker: tensor %.127q has shape %v, want %v of at most %d bytes", m.Type, t.Name, told.Shapes[i], t.Shape, t.Bytes)
		}
	}
	return told.Shapes, nil
}

// size is how many bytes the tensor has in a shape; -1 if that is none of it.
func (t Tensor) size(shape []int) int {
	if len(shape) != len(t.Shape) {
		return -1
	}
	for i, d := range shape {
		if d < 0 || t.Shape[i] >= 0 && d != t.Shape[i] {
			return -1
		}
	}
	n, err := tensor.Count(shape)
	if err != nil {
		return -1
	}
	return n * t.Type.Size()
}

// Body reads the payload of a reply into v. A reply that says a failure yields that.
func (m Message) Body(v any) error {
	if err := m.Err(); err != nil {
		return err
	}
	if err := json.Unmarshal(m.Payload, v); err != nil {
		return fmt.Errorf("%v reply of the worker: %w", m.Type, err)
	}
	if c, ok := v.(interface{ check() error }); ok {
		if err := c.check(); err != nil {
			return fmt.Errorf("%v reply of the worker: %w", m.Type, err)
		}
	}
	return nil
}

// check bounds what a worker may claim of a model, before memory is made for it.
func (r *LoadReply) check() error {
	if len(r.Inputs) == 0 || len(r.Outputs) == 0 || len(r.Inputs)+len(r.Outputs) > MaxTensors {
		return fmt.Errorf("%d inputs and %d outputs, want some of each and at most %d in all", len(r.Inputs), len(r.Outputs), MaxTensors)
	}
	for i, side := range [][]Tensor{r.Inputs, r.Outputs} {
		for _, t := range side {
			if i == 0 && t.Open() {
				return fmt.Errorf("input %.127q has shape %v", t.Name, t.Shape)
			}
			if err := t.check(); err != nil {
				return fmt.Errorf("tensor %.127q: %w", t.Name, err)
			}
		}
	}
	return nil
}

func (t Tensor) check() error {
	switch {
	case len(t.Name) == 0 || len(t.Name) > MaxName:
		return errors.New("no name, or too long a one")
	case t.Bytes <= 0 || t.Bytes > MaxArena:
		return fmt.Errorf("%d bytes", t.Bytes)
	case t.Type.Size() == 0:
		return fmt.Errorf("unknown type %q", t.Type)
	case t.Classes < 0 || t.PerClass < 0 || t.Classes > 1<<16 || t.PerClass > 1<<16:
		return fmt.Errorf("%d classes of %d", t.Classes, t.PerClass)
	case len(t.Shape) == 0 || len(t.Shape) > MaxDims:
		return fmt.Errorf("%d dimensions", len(t.Shape))
	case t.Layout == ByClass && (t.Type != tensor.Float32 || t.Bytes != 4*t.Classes*(1+5*t.PerClass)):
		return fmt.Errorf("%d bytes of %v for %d classes of %d boxes", t.Bytes, t.Type, t.Classes, t.PerClass)
	}
	if t.Open() {
		if t.Bytes%t.Type.Size() != 0 {
			return fmt.Errorf("%d bytes are no whole number of %v", t.Bytes, t.Type)
		}
		for _, d := range t.Shape {
			if d < -1 || d == 0 || d > MaxArena {
				return fmt.Errorf("shape %v", t.Shape)
			}
		}
		return nil
	}
	elements := 1
	for _, d := range t.Shape {
		if d < 1 || d > MaxArena || elements > MaxArena/d {
			return fmt.Errorf("shape %v", t.Shape)
		}
		elements *= d
	}
	if elements*t.Type.Size() != t.Bytes {
		return fmt.Errorf("%d bytes, and shape %v of %v has %d", t.Bytes, t.Shape, t.Type, elements*t.Type.Size())
	}
	return nil
}
