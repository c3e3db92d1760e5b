package hailo

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"primespark/hailo/frame"
	"primespark/hailo/hef"
)

// A Status is all that is known of the accelerator. One that is shared is never
// changed.
type Status struct {
	State State `json:"state"`
	// Since is when it became ready.
	Since    time.Time `json:"since,omitzero"`
	Cause    *Finding  `json:"cause,omitempty"`    // why it is not ready; nil if it is
	Findings []Finding `json:"findings,omitempty"` // what is not as it should be besides

	// Simulated says that no chip answers but a double of its library.
	Simulated bool `json:"simulated,omitempty"`

	Chip        hef.Chip `json:"-"`              // as HailoRT numbers it; 0 until a worker has asked
	Arch        string   `json:"arch,omitempty"` // "hailo8", "hailo8l"
	Board       string   `json:"board,omitempty"`
	Firmware    string   `json:"firmware_version,omitempty"`
	Library     string   `json:"library_version,omitempty"`
	LibraryPath string   `json:"library_path,omitempty"`
	Facts       Facts    `json:"host"`

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

	Worker      WorkerStatus  `json:"worker,omitzero"`
	Restarts    uint64        `json:"restarts"`
	LastRestart string        `json:"last_restart_reason,omitempty"`
	Models      []ModelStatus `json:"models,omitempty"`
}

// A WorkerStatus is the process that has the chip.
type WorkerStatus struct {
	Kind   string `json:"kind,omitempty"` // "hailo-c", "hailo-python"
	PID    int    `json:"pid,omitempty"`
	RSS    uint64 `json:"rss_bytes,omitempty"`
	Layout string `json:"layout,omitempty"` // the row of its table of library versions
}

// A ModelStatus is one model on the chip.
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

// sensed takes what the chip measured.
func (s *Supervisor) sensed(r frame.SenseReply) {
	celsius := slices.DeleteFunc(slices.Clone(r.TemperatureC), func(t float64) bool { return math.IsNaN(t) || t < -60 || t > 200 })
	s.status.Update(func(st Status) Status {
		st.Temperature, st.Zone, st.PowerW, st.Protection = celsius, s.cfg.zone(celsius), r.PowerW, r.Protection
		return st
	})
}

// watched takes what the host tells of the chip and may change by the minute: its
// link and the supply voltage.
func (s *Supervisor) watched(g *generation) {
	if s.cfg.simulated() {
		return
	}
	chips, low := s.cfg.Host.chips(), s.cfg.Host.undervoltage()
	if len(chips) == 0 {
		return // it has fallen off the bus, which inferences find out
	}
	s.status.Update(func(st Status) Status {
		st.LinkErrors = max(0, chips[0].AERCorrectable-g.errors) // it counts anew after a rescan
		st.Facts.Chips, st.Facts.Undervoltage = chips, low
		st.hint()
		return st
	})
}

// hint finds anew what is not as it should be.
func (st *Status) hint() {
	st.Findings = append(Hints(st.Facts), firmwareHint(st.Firmware, st.Library)...)
}

// counted takes what the worker counted, and puts the figures of the models together.
func (s *Supervisor) counted(g *generation, p frame.PingReply) {
	busy := s.cfg.Host.utilization(g.proc.pid)
	s.mu.Lock()
	models := slices.Clone(s.models)
	s.mu.Unlock()
	var all []ModelStatus
	for _, m := range models {
		st := m.status()
		// While one is replaced by another of its name, the newer one is told of.
		all = append(slices.DeleteFunc(all, func(o ModelStatus) bool { return o.Name == st.Name }), st)
	}
	s.status.Update(func(st Status) Status {
		st.Worker.RSS, st.Models, st.Utilization = p.RSS, all, busy
		return st
	})
}

func (m *Model) status() ModelStatus {
	st := m.counts.status()
	st.Name, st.Contexts, st.Bottleneck = m.spec.Name, m.spec.Contexts, m.spec.FPS
	m.sup.mu.Lock()
	defer m.sup.mu.Unlock()
	if m.place != nil {
		st.InFlight = m.place.slots.taken()
	}
	return st
}

// A counts keeps what is told of a model. The zero value has seen nothing.
type counts struct {
	mu      sync.Mutex
	frames  uint64
	errors  map[Code]uint64
	library ring
	queue   ring
	seen    uint64 // frames at the last look
	looked  time.Time
}

// add takes one inference in. One that was cancelled is nobody's fault.
func (c *counts) add(t Timing, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.frames++
		c.library.add(t.Library)
		c.queue.add(t.Queue)
		return
	}
	code := Code("")
	if down, ok := errors.AsType[*Down](err); ok {
		code = down.Code
	} else if refused, ok := errors.AsType[*Refused](err); ok {
		code = refused.Code
	} else if errors.Is(err, context.DeadlineExceeded) {
		code = InferTimeout
	}
	if code != "" {
		if c.errors == nil {
			c.errors = map[Code]uint64{}
		}
		c.errors[code]++
	}
}

// status is what there is to tell since the last look.
func (c *counts) status() ModelStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	st := ModelStatus{Frames: c.frames, Library: c.library.quantiles(), Queue: c.queue.quantiles()}
	for code, n := range c.errors {
		if st.Errors == nil {
			st.Errors = map[Code]uint64{}
		}
		st.Errors[code] = n
	}
	if !c.looked.IsZero() {
		st.FPS = math.Round(10*float64(c.frames-c.seen)/max(now.Sub(c.looked).Seconds(), 1e-3)) / 10
	}
	c.seen, c.looked = c.frames, now
	return st
}

// patience is how long an inference may take before the chip is taken to hang:
// many times what they took lately, and never more than most.
func (c *counts) patience(most time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	const times, least = 50, time.Second
	if c.library.n < 8 {
		return most // nobody knows yet how long they take
	}
	return min(most, max(least, times*(c.library.longest()+c.queue.longest())))
}

// A ring keeps the durations of the last inferences.
type ring struct {
	last [128]time.Duration
	n    int // that were added, ever
}

func (r *ring) add(d time.Duration) {
	r.last[r.n%len(r.last)] = d
	r.n++
}

func (r *ring) kept() []time.Duration { return r.last[:min(r.n, len(r.last))] }

func (r *ring) longest() time.Duration {
	if r.n == 0 {
		return 0
	}
	return slices.Max(r.kept())
}

func (r *ring) quantiles() Quantiles {
	if r.n == 0 {
		return Quantiles{}
	}
	sorted := slices.Sorted(slices.Values(r.kept()))
	at := func(share float64) float64 {
		return float64(sorted[int(share*float64(len(sorted)-1))].Microseconds()) / 1000
	}
	return Quantiles{at(.5), at(.95)}
}
