package sensors_test

import (
	"bytes"
	"context"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"primespark/agent/sensors"
	"primespark/shared/logs"
	"primespark/shared/telemetry"
)

// A board is a Raspberry Pi made of files.
type board struct {
	t   *testing.T
	dir string
}

func newBoard(t *testing.T) board {
	b := board{t, t.TempDir()}
	b.write("proc/stat", "cpu  1000 0 500 8000 500 0 0 0 0 0\ncpu0 1000 0 500 8000 500 0 0 0 0 0\n")
	b.write("proc/loadavg", "0.75 0.50 0.25 1/100 4242\n")
	b.write("proc/meminfo", "MemTotal: 8000000 kB\nMemFree: 1000000 kB\nMemAvailable: 6000000 kB\nSwapTotal: 2000 kB\nSwapFree: 1500 kB\n")
	b.disk(1000, 2000)
	b.network(5000, 6000)
	b.write("sys/block/mmcblk0/size", "1")
	b.write("sys/block/zram0/size", "1")
	b.write("sys/class/net/eth0/device/vendor", "1")
	b.write("sys/class/hwmon/hwmon0/name", "cpu_thermal\n")
	b.write("sys/class/hwmon/hwmon0/temp1_input", "51500\n")
	b.write("sys/class/hwmon/hwmon1/name", "nvme\n")
	b.write("sys/class/hwmon/hwmon1/temp1_input", "70000\n")
	return b
}

func (b board) write(name, text string) {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func (b board) remove(name string) {
	b.t.Helper()
	if err := os.RemoveAll(filepath.Join(b.dir, name)); err != nil {
		b.t.Fatal(err)
	}
}

// disk sets what the SD card has read and written, in sectors of 512 bytes. Its
// partition and the compressed memory must not count.
func (b board) disk(read, written int) {
	line := func(name string) string {
		return strings.NewReplacer("NAME", name, "READ", strconv.Itoa(read), "WRITTEN", strconv.Itoa(written)).
			Replace(" 179 0 NAME 10 0 READ 5 10 0 WRITTEN 5 0 5 5 0 0 0 0\n")
	}
	b.write("proc/diskstats", line("mmcblk0")+line("mmcblk0p1")+line("zram0"))
}

// network sets what eth0 has received and sent, in bytes. Loopback and the
// tunnel must not count.
func (b board) network(received, sent int) {
	line := func(name string) string {
		return name + ": " + strconv.Itoa(received) + " 10 0 0 0 0 0 0 " + strconv.Itoa(sent) + " 10 0 0 0 0 0 0\n"
	}
	b.write("proc/net/dev", "Inter-| Receive | Transmit\n face |bytes |bytes\n"+line("lo")+line("eth0")+line("em0"))
}

// turn orders what a story looked at before what is recorded after it, which the time of
// a bubble does not.
var turn sync.Mutex

// A sheet notes what is recorded.
type sheet map[telemetry.Stream][]telemetry.Value

func (s sheet) Record(stream telemetry.Stream, v telemetry.Value) error {
	turn.Lock()
	defer turn.Unlock()
	s[stream] = append(s[stream], v)
	return v.Check()
}

// last returns a field of the newest value of a stream.
func (s sheet) last(stream telemetry.Stream, field string) float64 {
	if len(s[stream]) == 0 {
		return math.NaN()
	}
	x, ok := s[stream][len(s[stream])-1].Field(field)
	if !ok {
		return math.NaN()
	}
	return x
}

// inBubble runs a monitor over the board while the story is told.
func inBubble(t *testing.T, story func(board, *sensors.Monitor, sheet, *bytes.Buffer)) {
	newBoard(t).inBubble(sensors.Config{}, story)
}

func (b board) inBubble(c sensors.Config, story func(board, *sensors.Monitor, sheet, *bytes.Buffer)) {
	c.Every, c.Path = 10*time.Second, b.dir
	c.Proc, c.Sys = filepath.Join(b.dir, "proc"), filepath.Join(b.dir, "sys")
	c.Firmware.Path = filepath.Join(b.dir, "vcio")
	synctest.Test(b.t, func(t *testing.T) {
		seen, log := sheet{}, new(bytes.Buffer)
		m := sensors.New(c, seen, logs.New(log, logs.Options{}))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		pass(time.Second) // the first readings are in
		story(b, m, seen, log)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// pass lets time pass, and what it brings be done.
func pass(d time.Duration) {
	func() { turn.Lock(); defer turn.Unlock() }()
	time.Sleep(d)
	synctest.Wait()
}

func TestFigures(t *testing.T) {
	inBubble(t, func(b board, m *sensors.Monitor, seen sheet, log *bytes.Buffer) {
		b.write("proc/stat", "cpu  1150 50 600 8600 600 0 0 0 0 0\n") // 300 of 1000 ticks busy
		b.disk(1000+200, 2000+400)
		b.network(5000+1000, 6000+2000)
		pass(10 * time.Second)
		for _, want := range []struct {
			stream telemetry.Stream
			field  string
			x      float64
		}{
			{telemetry.CPU, "used", 0.3},
			{telemetry.CPU, "load_1m", 0.75},
			{telemetry.Memory, "used", 0.25},
			{telemetry.Memory, "used_bytes", 2e6 * 1024},
			{telemetry.Memory, "swap_used_bytes", 500 * 1024},
			{telemetry.Disk, "read_bytes_per_second", 200 * 512 / 10},
			{telemetry.Disk, "write_bytes_per_second", 400 * 512 / 10},
			{telemetry.Network, "received_bytes_per_second", 100},
			{telemetry.Network, "sent_bytes_per_second", 200},
			{telemetry.Network, "errors_per_second", 0},
		} {
			if got := seen.last(want.stream, want.field); math.Abs(got-want.x) > 1e-9 {
				t.Errorf("%s %s is %v, want %v", want.stream, want.field, got, want.x)
			}
		}
		if got := seen.last(telemetry.Disk, "used"); !(got >= 0 && got <= 1) {
			t.Errorf("disk used %v", got)
		}
		h := m.Host()
		if math.Abs(h.CPU-0.3) > 1e-9 || h.Memory != 0.25 || h.Temperature == nil || *h.Temperature != 51.5 {
			t.Errorf("host %+v, want the processor's 51.5 °C, 30 %% busy", h)
		}
		if len(seen[telemetry.CPU]) != 1 || len(seen[telemetry.Memory]) != 2 {
			t.Errorf("%d of cpu and %d of memory; a rate begins with the second reading", len(seen[telemetry.CPU]), len(seen[telemetry.Memory]))
		}
		if log.Len() > 0 {
			t.Errorf("logged:\n%s", log)
		}
	})
}

func TestAFaultIsToldOnce(t *testing.T) {
	inBubble(t, func(b board, m *sensors.Monitor, seen sheet, log *bytes.Buffer) {
		b.write("proc/net/dev", "Inter-|\n face |\neth0: many\n")
		pass(time.Minute)
		if got := strings.Count(log.String(), "\n"); got != 1 || !strings.Contains(log.String(), `"sensor fails","stream":"network"`) {
			t.Errorf("in a minute of faults %d lines:\n%s", got, log)
		}
		if got := len(seen[telemetry.Memory]); got != 7 {
			t.Errorf("%d readings of memory meanwhile, want 7", got)
		}
		log.Reset()
		b.network(0, 0)
		pass(time.Minute)
		if got := strings.Count(log.String(), "\n"); got != 1 || !strings.Contains(log.String(), "works again") {
			t.Errorf("after it %d lines:\n%s", got, log)
		}
		for _, v := range seen[telemetry.Network] {
			if got, _ := v.Field("received_bytes_per_second"); got != 0 {
				t.Errorf("counters that were reset give %v", got)
			}
		}
	})
}

func TestNoThermometer(t *testing.T) {
	inBubble(t, func(b board, m *sensors.Monitor, seen sheet, log *bytes.Buffer) {
		b.remove("sys/class/hwmon")
		pass(10 * time.Second)
		if got := m.Host().Temperature; got != nil {
			t.Errorf("temperature %v of a host without a sensor", *got)
		}
		b.write("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n")
		b.write("sys/class/thermal/thermal_zone0/temp", "48312\n")
		pass(10 * time.Second)
		if got := m.Host().Temperature; got != nil {
			t.Errorf("temperature %v: what a host has not is looked for at each interval", *got)
		}
		pass(20 * time.Second)
		if got := m.Host().Temperature; got == nil || *got != 48.312 {
			t.Errorf("temperature %v, want 48.312 of the thermal zone", got)
		}
		if log.Len() > 0 {
			t.Errorf("a host without a sensor is no fault:\n%s", log)
		}
	})
}

func TestRealHost(t *testing.T) {
	seen := sheet{}
	var log bytes.Buffer
	m := sensors.New(sensors.Config{Every: 100 * time.Millisecond}, seen, logs.New(&log, logs.Options{}))
	ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
	defer cancel()
	if err := m.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if h := m.Host(); h.Memory <= 0 || h.Memory > 1 || h.CPU < 0 || h.CPU > 1 {
		t.Errorf("host %+v", h)
	}
	if log.Len() > 0 {
		t.Errorf("logged:\n%s", &log)
	}
}
