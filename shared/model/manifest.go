package model

import (
	"maps"
	"slices"
	"strings"

	"primespark/shared/conf"
	"primespark/shared/tensor"
)

// ManifestFile is the name of the manifest in a package.
const ManifestFile = "model.yaml"

// A Manifest says how a model is made up: what runs it, what goes in and comes
// out, and how an image becomes a tensor and the tensors become an answer. It is
// the model.yaml of a package. ParseManifest returns only those that hold together.
type Manifest struct {
	APIVersion string `yaml:"apiVersion"` // "edge/v1"
	Kind       string `yaml:"kind"`       // "Model"
	Name       string `yaml:"name"`       // ValidName
	Version    string `yaml:"version"`    // ValidName; "1" if the file has none
	License    string `yaml:"license"`    // an SPDX expression, for people
	Task       string `yaml:"task"`       // for people: "object-detection"

	Variants []Variant `yaml:"variants"` // at least one; tried in order
	Inputs   []Input   `yaml:"inputs"`   // empty: as the engine says
	Outputs  []Output  `yaml:"outputs"`

	Preprocess  *Preprocess  `yaml:"preprocess"`  // nil: the model takes no images
	Postprocess *Postprocess `yaml:"postprocess"` // nil: kind raw

	Labels    string            `yaml:"labels"`   // file of class names, one a line; empty: none
	Files     map[string]string `yaml:"files"`    // SHA-256 in hex of further files, by name
	Selftest  *Selftest         `yaml:"selftest"` // nil: a model is ready once it ran
	Resources Resources         `yaml:"resources"`
	Batching  *Batching         `yaml:"batching"` // nil: each request is a run of its own
}

// A Variant is one file that can serve the model, and the engine it is for.
type Variant struct {
	Engine string `yaml:"engine"` // "builtin", "onnxruntime", "hailo"
	Arch   string `yaml:"arch"`   // of the accelerator: "hailo8"; empty for processors
	File   string `yaml:"file"`   // plain name within the package
	SHA256 string `yaml:"sha256"` // of the file, 64 lower-case hexadecimal digits
}

// An Output is a tensor that comes out.
type Output struct {
	Name  string      `yaml:"name"`
	Type  tensor.Type `yaml:"datatype"`
	Shape []int       `yaml:"shape"` // -1 for a dimension that the data decide, as that of boxes found
	// MaxElements is how many a tensor with -1 in its shape may have; 0: 4 MiB of them, or
	// what the first inference gave.
	MaxElements int `yaml:"max_elements"`
}

// Spec is the output in the words of the protocol.
func (o Output) Spec() tensor.Spec {
	return tensor.Spec{Name: o.Name, Type: o.Type, Shape: o.Shape, Most: o.MaxElements}
}

// A Layout is the order of an image tensor's dimensions.
type Layout string

// The layouts.
const (
	NCHW Layout = "NCHW"
	NHWC Layout = "NHWC"
)

// An Input is a tensor that goes in. Layout matters for images only; where the
// file has none it follows from where the channels stand.
type Input struct {
	Name   string      `yaml:"name"`
	Type   tensor.Type `yaml:"datatype"`
	Shape  []int       `yaml:"shape"` // fixed dimensions
	Layout Layout      `yaml:"layout"`
	// Sample is what each element is in the inference that a model is tried out with before
	// it is ready. Zeros lead some astray, such as those that choose a part by a number.
	Sample float64 `yaml:"sample"`
}

// Spec is the input in the words of the protocol.
func (in Input) Spec() tensor.Spec {
	return tensor.Spec{Name: in.Name, Type: in.Type, Shape: in.Shape, Sample: in.Sample}
}

// Size returns the width, height and channels of an image input, or zeros.
func (in Input) Size() (width, height, channels int) {
	if len(in.Shape) != 4 {
		return 0, 0, 0
	}
	if in.Layout == NHWC {
		return in.Shape[2], in.Shape[1], in.Shape[3]
	}
	return in.Shape[3], in.Shape[2], in.Shape[1]
}

// Resize says how an image of another shape is fitted to the input.
type Resize string

// The ways to fit an image.
const (
	Letterbox Resize = "letterbox" // whole image, sides kept in proportion, the rest padded
	Stretch   Resize = "stretch"   // whole image, sides out of proportion
	Crop      Resize = "crop"      // the largest part that has the input's proportions
)

// Anchor says where the image stands within the padding, or the part within
// the image.
type Anchor string

// The anchors.
const (
	TopLeft Anchor = "top-left"
	Center  Anchor = "center"
)

// Color is what the channels are, in order.
type Color string

// The orders.
const (
	RGB  Color = "RGB"
	BGR  Color = "BGR"
	Gray Color = "GRAY"
)

// Preprocess says how an image becomes the model's one input: resized with
// bilinear interpolation, then each channel's value v, 0 to 255, becomes
// (v - mean) * scale.
type Preprocess struct {
	Resize Resize    `yaml:"resize"` // default letterbox
	Anchor Anchor    `yaml:"anchor"` // default center
	Pad    float64   `yaml:"pad"`    // value of the padding, 0 to 255, before mean and scale
	Filter string    `yaml:"filter"` // "bilinear"
	Color  Color     `yaml:"color"`  // default RGB
	Mean   []float64 `yaml:"mean"`   // one per channel, in the order of Color; default 0
	Scale  []float64 `yaml:"scale"`  // one per channel, in the order of Color; default 1
}

// Kind names a way to make an answer of output tensors.
type Kind string

// The kinds. Each takes the outputs in the manifest's order.
const (
	Raw            Kind = "raw"            // the tensors are the answer
	Classification Kind = "classification" // one score or logit per class
	YOLOX          Kind = "yolox"          // rows of cx, cy, w, h, objectness, classes, not yet decoded
	// YOLOv8 reads [1, 4 + classes, boxes]: centre, width and height in pixels of the
	// input, then a score for each class, each number of all boxes in a row.
	YOLOv8     Kind = "yolov8"
	SSDDecoded Kind = "ssd-decoded"       // scores [1,N,classes], then boxes [1,N,4] as corners in 0..1
	BlazeFace  Kind = "blazeface-anchors" // a tensor of scores for each stride, then one of boxes for each
	// NMSInModel reads boxes that the model has chosen itself, as HailoRT gives them:
	// [1, classes, 1 + 5 × most boxes of a class]. For each class it holds how many boxes
	// there are, then so many times y_min, x_min, y_max, x_max in 0..1 of the input and the
	// score, the next class following at once.
	NMSInModel Kind = "nms-in-model"
)

// NMS is what becomes of boxes that overlap.
type NMS string

// The ways.
const (
	PlainNMS    NMS = "plain"    // the best of them stays
	WeightedNMS NMS = "weighted" // their mean, weighted by score, stays
)

// Postprocess says how output tensors become detections or classes.
type Postprocess struct {
	Kind    Kind    `yaml:"kind"`
	Score   float64 `yaml:"score"`   // least score that counts, 0 to 1
	IOU     float64 `yaml:"iou"`     // overlap above which two boxes are one; default 0.45
	Max     int     `yaml:"max"`     // most detections; default 100
	NMS     NMS     `yaml:"nms"`     // default plain
	Strides []int   `yaml:"strides"` // yolox, yolov8 (default 8, 16, 32), blazeface-anchors: pixels of the input per cell, by level
	Anchors []int   `yaml:"anchors"` // blazeface-anchors: boxes per cell, by level
	Softmax bool    `yaml:"softmax"` // classification: the output holds logits
	Top     int     `yaml:"top"`     // classification: most classes; default 5
	Offset  int     `yaml:"offset"`  // line of the label file = number of the class + offset; a class before the first line is background
}

// A Selftest is an image with what the model finds on it. A model that does not
// find it is not ready.
type Selftest struct {
	Image  string   `yaml:"image"` // plain name within the package
	Expect []Expect `yaml:"expect"`
}

// An Expect is one thing to be found.
type Expect struct {
	Label    string    `yaml:"label"`
	MinScore float64   `yaml:"min_score"` // 0 to 1
	Box      []float64 `yaml:"box"`       // x1, y1, x2, y2 in pixels of the image; empty: anywhere
	IOU      float64   `yaml:"iou"`       // least overlap with Box; default 0.5
}

// Resources are what a model needs of a node.
type Resources struct {
	Memory   conf.Size     `yaml:"memory"`   // it may take; 0: 64 MiB and 16 times its file
	Deadline conf.Duration `yaml:"deadline"` // of one inference on the device; 0: none
}

// Batching has requests of several clients that wait for the engine run together, and
// lets one request hold several inferences. All tensors then have a first dimension of
// as many as there are. Where a file leaves that open, and the manifest has 1, the model
// is loaded once for each size of a run; where it is fixed to more, runs have that size.
type Batching struct {
	Max       int           `yaml:"max"`       // inferences of a run; default 8, or what the shapes have
	Preferred []int         `yaml:"preferred"` // sizes of runs, ascending to max; default max alone
	Delay     conf.Duration `yaml:"delay"`     // that a request waits for others while the engine is idle; default 0
}

// Sizes are the runs of several that the model is loaded for, ascending.
func (b Batching) Sizes() []int {
	if len(b.Preferred) == 0 || b.Preferred[len(b.Preferred)-1] < b.Max {
		return append(slices.Clone(b.Preferred), b.Max)
	}
	return b.Preferred
}

// FileNames lists the files that the manifest names, by name.
func (m Manifest) FileNames() []string {
	all := map[string]bool{}
	for _, v := range m.Variants {
		all[v.File] = true
	}
	for name := range m.Files {
		all[name] = true
	}
	if m.Labels != "" {
		all[m.Labels] = true
	}
	if m.Selftest != nil {
		all[m.Selftest.Image] = true
	}
	delete(all, ManifestFile) // which is there anyway
	return slices.Sorted(maps.Keys(all))
}

// Sums are the SHA-256 of files, as far as the manifest gives them, in lower-case
// hexadecimal by name.
func (m Manifest) Sums() map[string]string {
	all := map[string]string{}
	for name, sum := range m.Files {
		all[name] = strings.ToLower(sum)
	}
	for _, v := range m.Variants {
		all[v.File] = v.SHA256
	}
	return all
}
