package hailo

import (
	"slices"

	"primespark/hailo/hef"
	"primespark/shared/worker"
)

// A Status is all that is known of the accelerator. One that is shared is never
// changed.
type Status struct {
	worker.Status
	Findings []Finding `json:"findings,omitempty"` // what is not as it should be besides

	// Simulated says that no chip answers but a double of its library.
	Simulated bool `json:"simulated,omitempty"`

	Chip     hef.Chip `json:"-"`              // as HailoRT numbers it; 0 until a worker has asked
	Arch     string   `json:"arch,omitempty"` // "hailo8", "hailo8l"
	Board    string   `json:"board,omitempty"`
	Firmware string   `json:"firmware_version,omitempty"`
	Facts    Facts    `json:"host"`

	// Temperature is that of each sensor, in °C; nil if the board does not answer.
	Temperature []float64 `json:"temp_c"`
	Zone        string    `json:"temp_zone,omitempty"` // "ok", "warm" or "hot"
	PowerW      *float64  `json:"power_watts,omitempty"`
	Protection  *bool     `json:"throttling_enabled,omitempty"` // whether it would throttle by itself

	// Utilization is how much of the last second the chip worked, from 0 to 1, as
	// the library says; nil if it does not.
	Utilization *float64 `json:"utilization,omitempty"`

	// LinkErrors counts those that PCIe put right since the worker began.
	LinkErrors int64 `json:"aer_correctable_delta"`
}

// What every engine tells of its worker and models.
type (
	WorkerStatus = worker.ProcessStatus
	ModelStatus  = worker.ModelStatus
	Quantiles    = worker.Quantiles
)

// zone is the word for what the sensors measure.
func (c Config) zone(celsius []float64) string {
	if len(celsius) == 0 {
		return ""
	}
	switch hottest := slices.Max(celsius); {
	case hottest >= c.Hot:
		return "hot"
	case hottest >= c.Warm:
		return "warm"
	}
	return "ok"
}

// Hottest is the temperature of the hottest sensor; nil if none answers.
func (s Status) Hottest() *float64 {
	if len(s.Temperature) == 0 {
		return nil
	}
	t := slices.Max(s.Temperature)
	return &t
}

// Sentence says how the accelerator is, for people.
func (s Status) Sentence() string {
	prefix := ""
	if s.Simulated {
		prefix = "Simulated: "
	}
	switch {
	case s.State == StateOff:
		return "The accelerator is switched off by configuration."
	case s.Cause != nil:
		return prefix + s.Cause.Detail
	case s.State == StateReady:
		return prefix + "The " + s.Arch + " is ready, HailoRT " + s.Library + "."
	}
	return prefix + "The accelerator is " + string(s.State) + "."
}

// hint finds anew what is not as it should be.
func (st *Status) hint() {
	st.Findings = append(Hints(st.Facts), firmwareHint(st.Firmware, st.Library)...)
}
