package hef

import (
	"errors"
	"fmt"
	"math"
)

// The numbers of fields below are those of hailort's hef.proto; they were the
// same in each release from 4.17 to 4.23.

var errTooMany = errors.New("it has more parts than any real file")

func (f *File) parse(proto []byte) error {
	return fields(proto, func(p field) error {
		switch p.number {
		case 1:
			return f.header(p.bytes)
		case 2:
			if len(f.Groups) == maxGroups {
				return errTooMany
			}
			g, err := parseGroup(p.bytes)
			f.Groups = append(f.Groups, g)
			return err
		case 5, 6: // extensions, and those that a reader may ignore
			return f.extension(p.bytes, p.number == 5)
		}
		return nil
	})
}

func (f *File) header(b []byte) error {
	return fields(b, func(p field) (err error) {
		switch p.number {
		case 1:
			f.Arch = Arch(p.count())
		case 3:
			f.SDK, err = p.text()
		}
		return err
	})
}

func (f *File) extension(b []byte, needed bool) error {
	if len(f.Extensions) == maxExtras {
		return errTooMany
	}
	var name string
	var number uint64
	err := fields(b, func(p field) (err error) {
		switch p.number {
		case 1:
			number = p.value
		case 2:
			name, err = p.text()
		}
		return err
	})
	if name == "" {
		name = fmt.Sprintf("extension %d", number)
	}
	f.Extensions = append(f.Extensions, name)
	if needed {
		f.extensions[number] = true
	}
	return err
}

// groupReader gathers what is spread over a group's parts.
type groupReader struct {
	Group
	name, fallback string // of the group itself, and of its metadata
	ops            int
	partial        bool // within the first of several layouts, which is the one read
}

func parseGroup(b []byte) (Group, error) {
	var g groupReader
	ops := false // files of before there were ops describe the core in the group itself
	err := fields(b, func(p field) error { ops = ops || p.number == 8; return nil })
	if err != nil {
		return Group{}, err
	}
	err = fields(b, func(p field) (err error) {
		switch {
		case p.number == 10:
			g.name, err = p.text()
		case p.number == 8:
			err = g.op(p.bytes)
		case p.number == 1:
			err = g.metadata(p.bytes)
		case !ops:
			err = g.core(p)
		}
		return err
	})
	if g.Name = g.fallback; g.Name == "" {
		g.Name = g.name
	}
	return g.Group, err
}

// core reads a field of a core op, which old groups have themselves.
func (g *groupReader) core(p field) error {
	switch p.number {
	case 1:
		return g.metadata(p.bytes)
	case 3:
		return g.context(p.bytes)
	case 7:
		return g.layout(p.bytes)
	}
	return nil
}

func (g *groupReader) metadata(b []byte) error {
	return fields(b, func(p field) (err error) {
		switch p.number {
		case 1:
			if g.fallback == "" {
				g.fallback, err = p.text()
			}
		case 4:
			if fps := p.double(); fps > 0 && !math.IsInf(fps, 0) {
				g.FPS = fps
			}
		}
		return err
	})
}

// layout reads one of the several forms that a network was compiled to, by how
// many clusters of the chip are there. Their tensors are the same, so those of
// the first are taken.
func (g *groupReader) layout(b []byte) error {
	if g.partial || len(g.Layouts) == maxExtras {
		return errTooMany
	}
	first := len(g.Inputs) == 0
	return fields(b, func(p field) error {
		switch {
		case p.number == 1 && first:
			g.partial = true
			defer func() { g.partial = false }()
			return fields(p.bytes, g.core)
		case p.number == 2:
			return fields(p.bytes, func(p field) error {
				if len(g.Layouts) == maxExtras {
					return errTooMany
				}
				g.Layouts = append(g.Layouts, p.value)
				return nil
			})
		}
		return nil
	})
}

func (g *groupReader) op(b []byte) error {
	if g.ops++; g.ops > maxOps {
		return errTooMany
	}
	var name string
	return fields(b, func(p field) (err error) {
		switch p.number {
		case 1:
			name, err = p.text()
		case 4:
			err = fields(p.bytes, g.core)
		case 5:
			nms := NMS{Name: name, Kind: "unknown"}
			err = nms.parse(p.bytes)
			g.NMS = append(g.NMS, nms)
		case 6:
			g.Logits = append(g.Logits, name)
		}
		return err
	})
}

var nmsKinds = map[int]string{7: "yolov5", 8: "yolox", 9: "ssd", 10: "iou", 11: "yolov5-seg", 12: "yolov8"}

func (n *NMS) parse(b []byte) error {
	return fields(b, func(p field) error {
		switch p.number {
		case 1:
			n.Score = p.double()
		case 2:
			n.IoU = p.double()
		case 3:
			n.PerClass = p.count()
		case 4:
			n.Classes = p.count()
		case 13:
			n.BoxesOnly = p.value != 0
		}
		if kind, ok := nmsKinds[p.number]; ok {
			n.Kind = kind
			return fields(p.bytes, func(p field) error {
				switch p.number {
				case 1:
					n.ImageHeight = p.double()
				case 2:
					n.ImageWidth = p.double()
				}
				return nil
			})
		}
		return nil
	})
}

func (g *groupReader) context(b []byte) error {
	if g.Contexts++; g.Contexts > maxContexts {
		return errTooMany
	}
	return fields(b, func(p field) error {
		if p.number != 3 { // its metadata
			return nil
		}
		return fields(p.bytes, func(p field) error {
			if p.number != 2 {
				return nil
			}
			return g.edge(p.bytes)
		})
	})
}
