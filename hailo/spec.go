package hailo

import (
	"fmt"
	"os"

	"primespark/hailo/hef"
)

// ReadSpec checks a HEF with our own reader and says how to load it. What the
// error says is for people.
func ReadSpec(file *os.File, size int64) (Spec, *hef.File, error) {
	h, err := hef.Read(file, size)
	if err != nil {
		return Spec{}, nil, err
	}
	if len(h.Groups) != 1 {
		return Spec{}, nil, fmt.Errorf("there are %d networks in the file; compile each to a file of its own", len(h.Groups))
	}
	g := h.Groups[0]
	return Spec{Name: g.Name, File: file, Facts: g.Facts(), Contexts: g.Contexts, FPS: g.FPS}, h, nil
}

// Fits refuses a file for another chip, or for a later HailoRT, as far as a worker
// has asked which those are.
func (s Status) Fits(h *hef.File) error {
	if s.Chip != 0 {
		if err := h.Arch.RunsOn(s.Chip); err != nil {
			return err
		}
	}
	if v := ParseVersion(s.Library); v != (Version{}) && hef.Release(v).Less(h.Needs()) {
		return fmt.Errorf("the file needs HailoRT %v, and this one is %v; upgrade HailoRT, or compile the model with an older Dataflow Compiler", h.Needs(), v)
	}
	return nil
}
