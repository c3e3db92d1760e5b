package hailo

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"primespark/hailo/hef"
	"primespark/shared/watch"
	"primespark/shared/worker"
	"primespark/shared/worker/frame"
)

// How long a request may take that only this engine's worker is asked.
const (
	pythonTime   = 20 * time.Second // Hello of the worker in Python, which reads its modules from an SD card
	deviceTime   = 10 * time.Second // the firmware answers, or its driver gives up after some seconds
	senseEvery   = 10 * time.Second
	senseTime    = 10 * time.Second
	utilizeEvery = 2 * time.Second
)

// An engine is a worker.Engine: the chip, and HailoRT.
type engine struct {
	cfg    Config
	status *watch.Value[Status]

	// Of Look, Meet, Again and Found, which never run at a time:
	last   *Down // that Look found
	link   int64 // errors that PCIe had put right until the worker began
	python bool  // the other worker does not know this version of the library
}

var _ worker.Engine = (*engine)(nil)

// Look probes the host, and decides who is to serve.
func (e *engine) Look() (worker.Program, *Down) {
	if e.last != nil && e.last.Code == Absent && len(e.cfg.Host.chips()) == 0 {
		return worker.Program{}, e.last // most nodes have none, and a whole look costs more
	}
	program, facts, down := e.look()
	e.last = down
	e.status.Update(func(st Status) Status {
		st.Facts, st.Findings = facts, Hints(facts)
		return st
	})
	return program, down
}

func (e *engine) look() (worker.Program, Facts, *Down) {
	facts := e.cfg.Facts()
	for _, f := range Diagnose(facts) {
		if f.Severity == Fault || f.Code == Absent {
			return worker.Program{}, facts, &Down{Finding: f}
		}
	}
	w, err := choose(e.cfg.Workers, facts, e.python)
	if err != nil {
		return worker.Program{}, facts, &Down{Finding: fault(WorkerMissing, "Install the package prime-spark-agent anew, or give the worker's path in hailo.worker.", "The Hailo cannot be served: %v.", err)}
	}
	if chip, ok := facts.Chip(); ok {
		e.link = chip.AERCorrectable
	}
	return e.program(w, facts), facts, nil
}

// program is how the worker is started.
func (e *engine) program(w Worker, facts Facts) worker.Program {
	library := e.cfg.Library
	if l, ok := facts.Library(); ok && library == "" {
		library = l.Path
	}
	p := worker.Program{Kind: w.Kind, Argv: w.command(library, e.cfg.Share), Env: w.environment(e.cfg.Dir)}
	if w.Kind == "python" {
		p.Patience = pythonTime
		return p
	}
	if !e.cfg.Share { // hailort.service wants programs that share its /tmp
		p.Socket = e.cfg.Socket
	}
	if err := e.cfg.Host.monitor(); err != nil {
		e.cfg.Log.Warn("nobody will know how busy the accelerator is", "err", err)
	} else {
		p.Env = append(p.Env, "HAILO_MONITOR=1")
	}
	return p
}

// Meet learns which chip the worker has.
func (e *engine) Meet(ctx context.Context, p *worker.Process) error {
	in, cancel := context.WithTimeout(ctx, deviceTime)
	defer cancel()
	var device frame.DeviceReply
	if err := p.Ask(in, frame.Device, &device); err != nil {
		return late(in, err, frame.Failure{Type: frame.Device, Call: "hailo_identify"})
	}
	e.status.Update(func(st Status) Status {
		st.Chip, st.Firmware, st.Board = hef.Chip(device.Arch), device.Firmware, device.Board
		st.Arch = st.Chip.String()
		st.LinkErrors, st.Utilization = 0, nil
		st.hint()
		return st
	})
	e.cfg.Log.Info("hailo identified", "arch", hef.Chip(device.Arch).String(), "firmware", device.Firmware, "board", device.Board)
	return nil
}

// late is the failure of a library that has not come back from a call within the
// time that it is given; any other error stays what it is.
func late(in context.Context, err error, f frame.Failure) error {
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(in.Err(), context.DeadlineExceeded) {
		return err
	}
	f.Status, f.Detail = statusTimeout, "no answer in time"
	return &f
}

// firmwareHint compares the firmware with the library: a difference is no fault.
func firmwareHint(firmware, library string) []Finding {
	f, l := ParseVersion(firmware), ParseVersion(library)
	if f == l || f == (Version{}) || l == (Version{}) {
		return nil
	}
	return []Finding{warning(FirmwareMismatch, "Power the Pi off and on, so that the driver loads the firmware anew; then sudo apt full-upgrade.",
		"The chip's firmware is %v and HailoRT is %v.", f, l)}
}

// Watch asks the chip for its temperature, and reads how busy it is.
func (e *engine) Watch(ctx context.Context, p *worker.Process) {
	sense, utilize := time.NewTicker(senseEvery), time.NewTicker(utilizeEvery)
	defer sense.Stop()
	defer utilize.Stop()
	e.sense(ctx, p)
	for {
		e.utilized(p)
		select {
		case <-sense.C:
			e.sense(ctx, p)
		case <-utilize.C:
		case <-ctx.Done():
			return
		}
	}
}

// sense asks for the temperature. That the chip does not answer says nothing
// about inferences, and on some boards it never does.
func (e *engine) sense(ctx context.Context, p *worker.Process) {
	var r frame.SenseReply
	in, cancel := context.WithTimeout(ctx, senseTime)
	defer cancel()
	err := p.Ask(in, frame.Sense, &r)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		r = frame.SenseReply{}
	}
	e.sensed(r)
	e.watched()
}

// sensed takes what the chip measured.
func (e *engine) sensed(r frame.SenseReply) {
	celsius := slices.DeleteFunc(slices.Clone(r.TemperatureC), func(t float64) bool { return math.IsNaN(t) || t < -60 || t > 200 })
	e.status.Update(func(st Status) Status {
		st.Temperature, st.Zone, st.PowerW, st.Protection = celsius, e.cfg.zone(celsius), r.PowerW, r.Protection
		return st
	})
}

// watched takes what the host tells of the chip and may change by the minute: its
// link and the supply voltage.
func (e *engine) watched() {
	if e.cfg.simulated() {
		return
	}
	chips, low := e.cfg.Host.chips(), e.cfg.Host.undervoltage()
	if len(chips) == 0 {
		return // it has fallen off the bus, which inferences find out
	}
	e.status.Update(func(st Status) Status {
		st.LinkErrors = max(0, chips[0].AERCorrectable-e.link) // it counts anew after a rescan
		st.Facts.Chips, st.Facts.Undervoltage = chips, low
		st.hint()
		return st
	})
}

// utilized takes how busy the library says the chip was.
func (e *engine) utilized(p *worker.Process) {
	busy := e.cfg.Host.utilization(p.PID)
	e.status.Update(func(st Status) Status {
		st.Utilization = busy
		return st
	})
}

// Update changes what every engine tells of itself.
func (e *engine) Update(change func(*worker.Status)) {
	e.status.Update(func(st Status) Status {
		change(&st.Status)
		if st.Cause != nil {
			st.Utilization = nil
		}
		return st
	})
}

// Now is what every engine tells of itself.
func (e *engine) Now() worker.Status { return e.status.Get().Status }
