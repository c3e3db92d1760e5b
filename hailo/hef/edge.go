package hef

import (
	"bytes"
	"errors"
	"fmt"
	"math"
)

// edge reads what crosses the border of a context. Only what the host sends or
// gets is kept, not what goes from one context to the next.
func (g *groupReader) edge(b []byte) error {
	var toHost, inside bool
	var kind int
	var info []byte
	err := fields(b, func(p field) error {
		switch p.number {
		case 1:
			toHost = p.value != 0
		case 3, 4, 8: // a layer, several that share a transfer, an image in planes
			kind, info = p.number, p.bytes
		case 5:
			return fields(p.bytes, func(p field) error {
				if p.number == 3 {
					inside = p.value != 0
				}
				return nil
			})
		}
		return nil
	})
	if err != nil || inside {
		return err
	}
	streams, err := layers(kind, info, 0)
	if err != nil {
		return err
	}
	if toHost {
		g.Outputs = append(g.Outputs, streams...)
	} else {
		g.Inputs = append(g.Inputs, streams...)
	}
	if len(g.Inputs)+len(g.Outputs) > maxStreams {
		return errTooMany
	}
	return nil
}

// layers reads the streams of one edge; kind is the field that it came in.
func layers(kind int, b []byte, depth int) ([]Stream, error) {
	switch {
	case depth > 4:
		return nil, errTooMany
	case kind == 3:
		s, err := layer(b)
		return []Stream{s}, err
	case kind == 8:
		s, err := planes(b)
		return []Stream{s}, err
	case kind != 4:
		return nil, errors.New("an edge of a context has no layer")
	}
	// A mux: what the host sees are the layers that it was put together from.
	var all []Stream
	err := fields(b, func(p field) error {
		if p.number != 5 {
			return nil
		}
		return fields(p.bytes, func(p field) error {
			kinds := map[int]int{1: 3, 2: 4, 3: 8}
			some, err := layers(kinds[p.number], p.bytes, depth+1)
			all = append(all, some...)
			if len(all) > maxStreams {
				return errTooMany
			}
			return err
		})
	})
	return all, err
}

func planes(b []byte) (Stream, error) {
	s := Stream{Planes: true, DataBytes: 1, Scale: 1}
	err := fields(b, func(p field) (err error) {
		switch p.number {
		case 1:
			s.Name, err = p.text()
		case 4:
			s.Height = p.count()
		case 5:
			s.Width = p.count()
		case 6:
			s.Features = p.count()
		}
		return err
	})
	return s, err
}

func layer(b []byte) (Stream, error) {
	var s Stream
	buffers := 0
	err := fields(b, func(p field) (err error) {
		switch p.number {
		case 1:
			s.Name, err = p.text()
		case 2:
			buffers, err = s.base(p.bytes)
		case 3:
			err = s.numeric(p.bytes)
		case 5:
			var name string
			if name, err = p.text(); len(s.Originals) < maxExtras {
				s.Originals = append(s.Originals, name)
			}
		case 6:
			s.Transposed = p.value != 0
		}
		return err
	})
	if err == nil && buffers == 0 {
		// HailoRT reads the first without looking whether there is one.
		err = fmt.Errorf("layer %.60q has no buffer", s.Name)
	}
	return s, err
}

func (s *Stream) base(b []byte) (buffers int, err error) {
	err = fields(b, func(p field) error {
		switch p.number {
		case 1:
			s.Height = p.count()
		case 3:
			s.Width = p.count()
		case 5:
			s.Features = p.count()
		case 11:
			s.ChipNMS = len(p.bytes) > 0
		case 12:
			s.DataBytes = p.count()
		case 13:
			buffers++
		}
		return nil
	})
	return buffers, err
}

func (s *Stream) numeric(b []byte) error {
	return fields(b, func(p field) error {
		switch p.number {
		case 1:
			s.ZeroPoint = p.float()
		case 2:
			s.Scale = p.float()
		case 5, 6: // of each feature; compilers write them also when they are all alike
			s.PerFeature = s.PerFeature || differ(p.bytes)
		}
		return nil
	})
}

// differ reports whether packed doubles are not all the same.
func differ(b []byte) bool {
	for i := 8; i+8 <= len(b); i += 8 {
		if !bytes.Equal(b[:8], b[i:i+8]) {
			return true
		}
	}
	return false
}

// check refuses what parses and still cannot be.
func (f *File) check() error {
	if len(f.Groups) == 0 {
		return errors.New("it holds no network")
	}
	for _, g := range f.Groups {
		if err := g.check(); err != nil {
			return fmt.Errorf("network %.127q: %w", g.Name, err)
		}
	}
	return nil
}

func (g Group) check() error {
	switch {
	case !plain(g.Name):
		return errors.New("it has no name, or no readable one")
	case g.Contexts == 0:
		return errors.New("it has no context")
	case len(g.Inputs) == 0 || len(g.Outputs) == 0:
		return fmt.Errorf("%d inputs and %d outputs, want some of each", len(g.Inputs), len(g.Outputs))
	}
	names := map[string]bool{}
	for _, side := range [][]Stream{g.Inputs, g.Outputs} {
		for _, s := range side {
			if err := s.check(); err != nil {
				return fmt.Errorf("layer %.127q: %w", s.Name, err)
			}
			if names[s.Name] {
				return fmt.Errorf("two layers are named %q", s.Name)
			}
			names[s.Name] = true
		}
	}
	for _, n := range g.NMS {
		if !plain(n.Name) || n.Classes < 1 || n.PerClass < 1 || n.Classes > 1<<16 || n.PerClass > 1<<16 || n.OutputFloats() > 1<<26 {
			return fmt.Errorf("its choice of boxes %.127q has %d classes of %d", n.Name, n.Classes, n.PerClass)
		}
	}
	return nil
}

func (s Stream) check() error {
	switch {
	case !plain(s.Name):
		return errors.New("it has no name, or no readable one")
	case !side(s.Height) || !side(s.Width) || !side(s.Features) || s.Height*s.Width > 1<<28/s.Features:
		return fmt.Errorf("its shape is %d×%d×%d", s.Height, s.Width, s.Features)
	case s.DataBytes != 1 && s.DataBytes != 2:
		return fmt.Errorf("its elements have %d bytes", s.DataBytes)
	case math.IsNaN(s.Scale) || math.IsInf(s.Scale, 0) || math.IsNaN(s.ZeroPoint) || math.IsInf(s.ZeroPoint, 0):
		return errors.New("its scale is no number")
	}
	return nil
}

func side(n int) bool { return n >= 1 && n <= maxSide }

// plain reports whether HailoRT, and people, can live with a name.
func plain(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	for _, c := range []byte(name) {
		if c < 0x20 || c >= 0x7f {
			return false
		}
	}
	return true
}
