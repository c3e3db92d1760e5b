// Package checkup is what the doctor looks at on a node of an agent only: the UPS board,
// the accelerator, and the engines.
package checkup

import (
	"context"
	"fmt"

	"primespark/hailo"
	"primespark/shared/doctor"
)

// A Hailo is the accelerator of the node.
type Hailo struct {
	Off   bool // by configuration
	Facts hailo.Facts
	// Firmware is the version that the chip runs, as far as a worker has asked it.
	Firmware string
	// More is what the running agent knows besides.
	More []hailo.Finding
}

// Checks are those of the accelerator.
func (h Hailo) Checks() []doctor.Check {
	return []doctor.Check{{Section: "hailo", Name: "accelerator", Look: h.findings}, {Section: "hailo", Name: "versions", Look: h.versions}}
}

func (h Hailo) findings(context.Context) []doctor.Result {
	if h.Off {
		return doctor.One(doctor.Info, "The accelerator is switched off: hailo.enabled is off.", "Set hailo.enabled: auto.")
	}
	var all []doctor.Result
	seen := map[hailo.Code]bool{}
	for _, f := range append(hailo.Diagnose(h.Facts), h.More...) {
		if !seen[f.Code] {
			all = append(all, doctor.Result{Severity: severities[f.Severity], Code: string(f.Code), Detail: f.Detail, Remedy: f.Remedy})
		}
		seen[f.Code] = true
	}
	if len(all) > 0 {
		return all
	}
	if h.Facts.Simulated {
		return doctor.One(doctor.Info, "The accelerator is simulated: hailo.library names a double.", "")
	}
	c, _ := h.Facts.Chip()
	return doctor.One(doctor.OK, fmt.Sprintf("A chip %s at %s, link %s ×%s", c.ID, c.Address, c.LinkSpeed, c.LinkWidth), "")
}

var severities = map[hailo.Severity]doctor.Severity{hailo.Info: doctor.Info, hailo.Warning: doctor.Warning, hailo.Fault: doctor.Fault}

// versions puts the three that have to fit each other side by side.
func (h Hailo) versions(context.Context) []doctor.Result {
	if h.Off || len(h.Facts.Chips) == 0 && len(h.Facts.Libraries) == 0 && len(h.Facts.Modules) == 0 {
		return nil
	}
	driver := "none"
	for _, m := range h.Facts.Modules {
		driver = m.Name + " " + m.Version.String()
	}
	library := "none"
	if l, ok := h.Facts.Library(); ok {
		library = l.Version.String()
	}
	if h.Facts.Simulated {
		library = "a double"
	}
	firmware := h.Firmware
	if firmware == "" {
		firmware = "not asked yet"
	}
	return doctor.One(doctor.OK, fmt.Sprintf("driver %s, HailoRT %s, firmware %s", driver, library, firmware), "")
}
