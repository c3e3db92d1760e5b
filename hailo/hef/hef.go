// Package hef reads Hailo Executable Format files, the models of a Hailo
// accelerator, in pure Go: whether a file is whole, which chip and which release
// of HailoRT it is for, and what its tensors are.
//
// HailoRT itself ends the process on malformed files with a valid checksum
// (notes in hailo/DESIGN.md), so a file is read here first, and what HailoRT
// would stumble over is refused. Nothing is believed: every length, count and
// depth has a bound, and what is unknown is skipped.
package hef

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Bounds of what is read.
const (
	MaxSize     = 1 << 30   // bytes of a file
	MaxProto    = 256 << 20 // bytes of its description; old files hold the weights there, too
	maxStreams  = 48        // of one group, so that they fit into one load request
	maxGroups   = 16
	maxContexts = 4096
	maxOps      = 64
	maxExtras   = 256 // extensions, and names of other lists
	maxName     = 127 // bytes; HailoRT has 128 with the zero
	maxSide     = 1 << 20
)

// ErrNotHEF means that a file is something else altogether.
var ErrNotHEF = errors.New("not a HEF file")

// ErrDamaged means that a HEF file is cut off, or does not have its checksum, or
// contradicts itself.
var ErrDamaged = errors.New("HEF file is damaged")

// ErrTooNew means a format that this reader does not know.
var ErrTooNew = errors.New("HEF file is of an unknown format")

// A File is what a HEF says of itself.
type File struct {
	Version    int      `json:"version"` // of the container, 0 to 3
	Size       int64    `json:"size"`    // bytes
	Checksum   string   `json:"checksum"`
	Arch       Arch     `json:"arch"`
	SDK        string   `json:"sdk"` // version of the compiler: "3.31.0"
	Extensions []string `json:"extensions,omitempty"`
	Groups     []Group  `json:"groups"`

	extensions map[uint64]bool
}

// A Group is a network group: what is loaded and run as one. Nearly every file
// has one.
type Group struct {
	Name string `json:"name"`
	// Contexts is how many parts the network is cut into. With more than one, each
	// inference moves weights over PCIe, and batches pay.
	Contexts int `json:"contexts"`
	// FPS is the compiler's own estimate of frames a second on the chip, 0 if it made none.
	FPS     float64  `json:"bottleneck_fps,omitempty"`
	Inputs  []Stream `json:"inputs"`
	Outputs []Stream `json:"outputs"` // of the chip; NMS and Logits come after them
	NMS     []NMS    `json:"nms,omitempty"`
	Logits  []string `json:"logits,omitempty"`  // names of argmax and softmax on the host
	Layouts []uint64 `json:"layouts,omitempty"` // bitmaps of clusters: compiled for several sizes of chip
}

// A Stream is one tensor between host and chip.
type Stream struct {
	Name      string   `json:"name"`
	Originals []string `json:"original_names,omitempty"` // as in the network that was compiled
	Height    int      `json:"height"`
	Width     int      `json:"width"`
	Features  int      `json:"features"`
	DataBytes int      `json:"data_bytes"` // of one element: 1 or 2
	ZeroPoint float64  `json:"zero"`
	Scale     float64  `json:"scale"` // value = (stored − zero) · scale
	// PerFeature is set when each feature has a scale of its own, so that the single one means nothing.
	PerFeature bool `json:"per_feature,omitempty"`
	Transposed bool `json:"transposed,omitempty"`
	ChipNMS    bool `json:"chip_nms,omitempty"` // boxes that the chip itself chose
	Planes     bool `json:"planes,omitempty"`   // an image in several planes, such as NV12
}

// NMS is a choice of boxes that HailoRT makes on the host, in place of the outputs.
type NMS struct {
	Name     string  `json:"name"`
	Kind     string  `json:"kind"` // "yolov8", ...
	Classes  int     `json:"classes"`
	PerClass int     `json:"per_class"` // boxes at most
	Score    float64 `json:"score"`     // threshold
	IoU      float64 `json:"iou"`       // threshold
	// ImageHeight and ImageWidth are of the input that boxes are relative to, 0 if unsaid.
	ImageHeight float64 `json:"image_height,omitempty"`
	ImageWidth  float64 `json:"image_width,omitempty"`
	BoxesOnly   bool    `json:"boxes_only,omitempty"` // decodes, and leaves the choice to the reader
}

// OutputFloats is how many float32 the host gets of n: for each class a count and
// room for its boxes of five numbers.
func (n NMS) OutputFloats() int { return n.Classes * (1 + 5*n.PerClass) }

// An Arch is the architecture that a file was compiled for, as it is numbered
// there (hef.proto, ProtoHEFHwArch).
type Arch int

// The architectures that boards with a Raspberry Pi have.
const (
	ArchHailo8  Arch = 0 // Hailo-8, as very old compilers name it
	ArchHailo8P Arch = 1 // Hailo-8 of today
	ArchHailo8R Arch = 2
	ArchHailo8L Arch = 3
	ArchHailo1X Arch = 103 // Hailo-10H and 15H
)

var archNames = map[Arch]string{
	ArchHailo8: "hailo8", ArchHailo8P: "hailo8", ArchHailo8R: "hailo8r", ArchHailo8L: "hailo8l",
	4: "hailo15m", 5: "hailo10h", 6: "hailo15l", ArchHailo1X: "hailo10h",
}

func (a Arch) String() string {
	if n, ok := archNames[a]; ok {
		return n
	}
	return "arch " + strconv.Itoa(int(a))
}

// MarshalText writes the name.
func (a Arch) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// A Chip is an accelerator as HailoRT numbers it (hailo_device_architecture_t).
type Chip int

// The chips that boards with a Raspberry Pi have.
const (
	Hailo8   Chip = 1
	Hailo8L  Chip = 2
	Hailo10H Chip = 6
)

func (c Chip) String() string {
	switch c {
	case Hailo8:
		return "hailo8"
	case Hailo8L:
		return "hailo8l"
	case Hailo10H:
		return "hailo10h"
	default:
		return "chip " + strconv.Itoa(int(c))
	}
}

// RunsOn says, in a sentence, why files for a do not run on c, or nil. A Hailo-8
// runs files for the 8L, at the speed of one.
func (a Arch) RunsOn(c Chip) error {
	ok := false
	switch c {
	case Hailo8:
		ok = a == ArchHailo8P || a == ArchHailo8R || a == ArchHailo8L
	case Hailo8L:
		ok = a == ArchHailo8L
	case Hailo10H:
		ok = a == ArchHailo1X || a == 5
	}
	if ok {
		return nil
	}
	return fmt.Errorf("the file is for %v and the chip is a %v; use the file that was compiled for it (its name often ends in _h8, _h8l or _h10)", a, c)
}

// A Release is a version of HailoRT.
type Release struct{ Major, Minor, Revision int }

func (r Release) String() string { return fmt.Sprintf("%d.%d.%d", r.Major, r.Minor, r.Revision) }

// MarshalText writes it as 4.23.0.
func (r Release) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Less reports whether r is older than o.
func (r Release) Less(o Release) bool {
	switch {
	case r.Major != o.Major:
		return r.Major < o.Major
	case r.Minor != o.Minor:
		return r.Minor < o.Minor
	default:
		return r.Revision < o.Revision
	}
}

// ParseRelease reads a version such as 4.23.0 or 4.20.
func ParseRelease(s string) (Release, error) {
	var r Release
	parts := strings.Split(s, ".")
	if len(parts) < 2 || len(parts) > 3 {
		return Release{}, fmt.Errorf("%q is no version such as 4.23.0", s)
	}
	for i, to := range []*int{&r.Major, &r.Minor, &r.Revision}[:len(parts)] {
		n, err := strconv.ParseUint(parts[i], 10, 16)
		if err != nil {
			return Release{}, fmt.Errorf("%q is no version such as 4.23.0", s)
		}
		*to = int(n)
	}
	return r, nil
}

// Numbers of extensions that say which release is needed (hef.proto, ProtoHEFExtensionType).
const (
	extPeriphery = 26 // PERIPH_CALCULATION_IN_HAILORT
	extBBox      = 29 // HAILO_NET_FLOW_BBOX_DECODING
	extExternal  = 31 // EXTERNAL_RESOURCES
	extShared    = 32 // SHARED_CONFIG
)

// Needs is the oldest release of HailoRT, of those since 4.17, that reads the
// file (hailort, hef.cpp of each release).
func (f *File) Needs() Release {
	minor := [...]int{17, 18, 20, 21}[f.Version]
	if f.extensions[extBBox] {
		minor = max(minor, 18)
	}
	if f.extensions[extExternal] || f.extensions[extShared] {
		minor = max(minor, 21)
	}
	return Release{4, minor, 0}
}

// Outdated reports whether the file was compiled so long ago that today's HailoRT
// may refuse it, since it leaves a calculation to the chip's tools.
func (f *File) Outdated() bool { return !f.extensions[extPeriphery] }

// Read reads and checks a file of size bytes. The error wraps ErrNotHEF,
// ErrDamaged or ErrTooNew, or is one of reading r.
func Read(r io.ReaderAt, size int64) (*File, error) {
	h, err := readHeader(r, size)
	if err != nil {
		return nil, err
	}
	if err := h.verify(r, size); err != nil {
		return nil, err
	}
	proto := make([]byte, h.proto)
	if _, err := r.ReadAt(proto, h.length); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the description: %w", err)
	}
	f := &File{Version: h.version, Size: size, Checksum: h.checksum(), extensions: map[uint64]bool{}}
	if err := f.parse(proto); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return f, nil
}
