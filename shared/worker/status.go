package worker

import "time"

// A Status is what every engine tells of itself. One that is shared is never
// changed.
type Status struct {
	State State `json:"state"`
	// Since is when it became ready.
	Since time.Time `json:"since,omitzero"`
	Cause *Finding  `json:"cause,omitempty"` // why it is not ready; nil if it is

	Library     string `json:"library_version,omitempty"`
	LibraryPath string `json:"library_path,omitempty"`

	Worker      ProcessStatus `json:"worker,omitzero"`
	Restarts    uint64        `json:"restarts"`
	LastRestart string        `json:"last_restart_reason,omitempty"`
	Models      []ModelStatus `json:"models,omitempty"`
}

// A ProcessStatus is the process that serves.
type ProcessStatus struct {
	Kind     string `json:"kind,omitempty"` // "hailo-c", "hailo-python", "onnxruntime"
	PID      int    `json:"pid,omitempty"`
	RSS      uint64 `json:"rss_bytes,omitempty"`
	Layout   string `json:"layout,omitempty"`   // the row of its table of library versions
	Confined bool   `json:"confined,omitempty"` // the kernel keeps it from network, files and programs
	Unit     string `json:"unit,omitempty"`     // of systemd's that it runs in, apart from the agent
}

// A ModelStatus is one model in the worker.
type ModelStatus struct {
	Name     string          `json:"name"`
	Frames   uint64          `json:"frames"`
	FPS      float64         `json:"fps"` // over the last seconds
	InFlight int             `json:"inflight"`
	Errors   map[Code]uint64 `json:"errors,omitempty"`
	Library  Quantiles       `json:"lib_ms"`
	Queue    Quantiles       `json:"queue_ms"` // in the worker
	Contexts int             `json:"contexts,omitempty"`
	// Bottleneck is the compiler's own estimate of frames a second, 0 if it made none.
	Bottleneck float64 `json:"bottleneck_fps,omitempty"`
}

// Quantiles are of the last inferences, in milliseconds; 0 before the first.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
}
