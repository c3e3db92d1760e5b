// Package sensors measures the host: processor, memory, disk, network and
// temperature, and of a Raspberry Pi its supply, throttling and cooling, each as a
// stream of samples. It reads Linux's /proc and /sys, through gopsutil where that does
// not open many files for one figure, and asks the Pi's firmware.
//
// A sensor that fails is told of when it begins and when it ends; the others go
// on. A host without a thermal sensor, as most virtual machines are, simply has
// no temperature.
package sensors

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/shirou/gopsutil/v3/common"
	"primespark/shared/firmware"

	"primespark/shared/hostmetrics"
	"primespark/shared/procfile"
	"primespark/shared/run"
	"primespark/shared/telemetry"
)

// A Recorder takes what was measured.
type Recorder interface {
	Record(telemetry.Stream, telemetry.Value) error
}

// Figures are what others want to know of the host at a glance.
type Figures struct {
	CPU         float64         // 0 to 1, of all cores, over the last interval
	Memory      float64         // 0 to 1, used: what is not available to programs
	Temperature *float64        // °C of the processor; nil without a sensor
	Supply      firmware.Supply // of a Pi 5; zero where it is not known
}

// Config says what to measure. The zero value measures the real host each 10 s.
type Config struct {
	Every    time.Duration
	Path     string           // the disk that holds this file or folder is measured; "/" if empty
	Proc     string           // in place of /proc
	Sys      string           // in place of /sys
	Firmware firmware.Mailbox // of a Raspberry Pi
	// Supplied: who watches the battery records the supply, too, in the same samples.
	Supplied bool
}

// A Monitor measures while it runs.
type Monitor struct {
	every   time.Duration
	files   []*procfile.File // that stay open while it runs
	env     common.EnvMap    // where gopsutil reads
	sensors []sensor
	record  Recorder
	log     *slog.Logger

	mu    sync.Mutex
	host  Figures
	fault map[telemetry.Stream]bool // what has failed and is told of
}

var _ run.Part = (*Monitor)(nil)

// A sensor reads one stream. It answers errNotYet where a rate needs a second
// reading, and errNone where the host has no such thing.
type sensor struct {
	stream telemetry.Stream
	silent bool // its value is kept and not recorded
	read   func(ctx context.Context, now time.Time) (telemetry.Value, error)
	again  time.Time // when to look next on a host that has no such thing
}

// absent is how long a host is believed that has no such thing: to look costs more than to
// read, and few sensors come while a host runs.
const absent = 30 * time.Second

var (
	errNotYet = errors.New("a rate needs two readings")
	errNone   = errors.New("not on this host")
)

// New returns a monitor that measures nothing yet.
func New(c Config, record Recorder, log *slog.Logger) *Monitor {
	m := &Monitor{every: c.Every, record: record, log: log, fault: map[telemetry.Stream]bool{}, env: common.EnvMap{}}
	if m.every <= 0 {
		m.every = 10 * time.Second
	}
	if c.Path == "" {
		c.Path = "/"
	}
	if c.Proc == "" {
		c.Proc = "/proc"
	}
	if c.Sys == "" {
		c.Sys = "/sys"
	}
	m.env[common.HostProcEnvKey], m.env[common.HostSysEnvKey] = c.Proc, c.Sys
	proc := func(name string) *procfile.File {
		f := procfile.New(filepath.Join(c.Proc, name))
		m.files = append(m.files, f)
		return f
	}
	pi := &board{sys: c.Sys, firmware: c.Firmware}
	m.sensors = []sensor{
		{stream: telemetry.CPU, read: (&cpuSensor{stat: proc("stat")}).read},
		{stream: telemetry.Memory, read: readMemory},
		{stream: telemetry.Disk, read: (&diskSensor{path: c.Path, stats: proc("diskstats"), disks: hostmetrics.NewCounting(c.Sys)}).read},
		{stream: telemetry.Network, read: (&networkSensor{sys: c.Sys, dev: proc("net/dev")}).read},
		{stream: telemetry.Temperature, read: (&thermometers{sys: c.Sys}).read},
		{stream: telemetry.Cooling, read: pi.cooling},
		{stream: telemetry.Throttle, read: pi.throttle},
		{stream: telemetry.Power, silent: c.Supplied, read: pi.supply},
	}
	return m
}

// Host returns the newest figures; zero before the first readings.
func (m *Monitor) Host() Figures {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.host
}

// Run measures at once and then at every interval, until ctx ends.
func (m *Monitor) Run(ctx context.Context) error {
	tick := time.NewTimer(run.Due(m.every))
	defer tick.Stop()
	defer func() {
		for _, f := range m.files {
			f.Close()
		}
	}()
	ctx = context.WithValue(ctx, common.EnvKey, m.env)
	for {
		m.measure(ctx)
		select {
		case <-tick.C:
			tick.Reset(run.Due(m.every))
		case <-ctx.Done():
			return nil
		}
	}
}

func (m *Monitor) String() string { return "sensors" }

func (m *Monitor) measure(ctx context.Context) {
	for i := range m.sensors {
		s, now := &m.sensors[i], time.Now()
		if now.Before(s.again) {
			continue
		}
		v, err := s.read(ctx, now)
		if errors.Is(err, errNone) {
			s.again = now.Add(absent)
		}
		if err == nil {
			m.note(s.stream, v)
			if !s.silent {
				err = m.record.Record(s.stream, v)
			}
		}
		m.say(ctx, s.stream, err)
	}
}

// note keeps the figures that the host is known by.
func (m *Monitor) note(stream telemetry.Stream, v telemetry.Value) {
	m.mu.Lock()
	defer m.mu.Unlock()
	used, _ := v.Field("used")
	switch stream {
	case telemetry.CPU:
		m.host.CPU = used
	case telemetry.Memory:
		m.host.Memory = used
	case telemetry.Temperature:
		celsius := v.Number()
		m.host.Temperature = &celsius
	case telemetry.Power:
		m.host.Supply.Volts, _ = v.Field("supply_volts")
		m.host.Supply.Watts, _ = v.Field("board_watts")
	}
}

// forget drops the figures of a sensor that fails.
func (m *Monitor) forget(stream telemetry.Stream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch stream {
	case telemetry.Temperature:
		m.host.Temperature = nil
	case telemetry.Power:
		m.host.Supply = firmware.Supply{}
	}
}

// say tells of a fault when it begins and when it ends. What is no more known
// is not reported as it was last.
func (m *Monitor) say(ctx context.Context, stream telemetry.Stream, err error) {
	if errors.Is(err, errNotYet) || ctx.Err() != nil {
		return
	}
	if err != nil {
		m.forget(stream)
	}
	failed := err != nil && !errors.Is(err, errNone)
	switch was := m.fault[stream]; {
	case failed && !was:
		m.log.Warn("sensor fails", "stream", stream, "err", err, "next", "it is read again at the next interval")
	case !failed && was:
		m.log.Info("sensor works again", "stream", stream)
	}
	m.fault[stream] = failed
}
