package sensors_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"primespark/agent/sensors"
	"primespark/shared/telemetry"
)

const adc = "VDD_CORE_A current(7)=2.0A\nVDD_CORE_V volt(15)=0.9V\nEXT5V_V volt(24)=4.95V\n"

// onPi runs a monitor over a board with the firmware of a Pi, which is a folder.
func onPi(t *testing.T, supplied bool, story func(board, *sensors.Monitor, sheet, *bytes.Buffer)) {
	b := newBoard(t)
	b.write("vcio/get_throttled", "throttled=0x50005\n")
	b.write("vcio/pmic_read_adc", adc)
	b.write("sys/class/hwmon/hwmon2/name", "rpi_volt\n")
	b.write("sys/class/hwmon/hwmon2/in0_lcrit_alarm", "0\n")
	b.write("sys/class/hwmon/hwmon3/name", "pwmfan\n")
	b.write("sys/class/hwmon/hwmon3/fan1_input", "3012\n")
	b.write("sys/class/hwmon/hwmon3/pwm1", "51\n")
	b.write("sys/class/hwmon/hwmon4/name", "rp1_adc\n")
	b.write("sys/class/hwmon/hwmon4/temp1_input", "47123\n")
	b.inBubble(sensors.Config{Supplied: supplied}, story)
}

func TestPi(t *testing.T) {
	onPi(t, false, func(b board, m *sensors.Monitor, seen sheet, log *bytes.Buffer) {
		for _, want := range []struct {
			stream telemetry.Stream
			field  string
			x      float64
		}{
			{telemetry.Throttle, "under_voltage", 1},
			{telemetry.Throttle, "throttled", 1},
			{telemetry.Throttle, "frequency_capped", 0},
			{telemetry.Throttle, "soft_temperature_limit", 0},
			{telemetry.Power, "supply_volts", 4.95},
			{telemetry.Power, "board_watts", 1.8*1.1451 + 0.5879},
			{telemetry.Cooling, "fan_rpm", 3012},
			{telemetry.Cooling, "fan_duty", 0.2},
			{telemetry.Cooling, "nvme_celsius", 70},
			{telemetry.Cooling, "io_celsius", 47.123},
		} {
			if got := seen.last(want.stream, want.field); math.Abs(got-want.x) > 1e-9 {
				t.Errorf("%s %s is %v, want %v", want.stream, want.field, got, want.x)
			}
		}
		if s := m.Host().Supply; s.Volts != 4.95 {
			t.Errorf("supply %+v", s)
		}
		// The kernel's alarm is quicker than the word, which is read each 2 s.
		b.write("vcio/get_throttled", "throttled=0x0\n")
		b.write("sys/class/hwmon/hwmon2/in0_lcrit_alarm", "1\n")
		b.write("vcio/pmic_read_adc", "EXT5V_V volt(24)=much\n")
		pass(10 * time.Second)
		if got := seen.last(telemetry.Throttle, "under_voltage"); got != 1 {
			t.Errorf("under-voltage %v while the kernel's alarm is on", got)
		}
		if s := m.Host().Supply; s.Volts != 0 || !strings.Contains(log.String(), `"sensor fails","stream":"power"`) {
			t.Errorf("supply %+v of an answer that makes no sense, log:\n%s", s, log)
		}
	})
}

func TestWhoWatchesTheBatteryRecordsTheSupply(t *testing.T) {
	onPi(t, true, func(b board, m *sensors.Monitor, seen sheet, log *bytes.Buffer) {
		if m.Host().Supply.Volts != 4.95 || len(seen[telemetry.Power]) > 0 {
			t.Errorf("supply %+v, recorded %v", m.Host().Supply, seen[telemetry.Power])
		}
	})
}

func TestAlarmWithoutTheFirmware(t *testing.T) {
	onPi(t, false, func(b board, m *sensors.Monitor, seen sheet, log *bytes.Buffer) {
		if err := os.RemoveAll(filepath.Join(b.dir, "vcio")); err != nil {
			t.Fatal(err)
		}
		b.write("sys/class/hwmon/hwmon2/in0_lcrit_alarm", "1\n")
		pass(10 * time.Second)
		last := seen[telemetry.Throttle][len(seen[telemetry.Throttle])-1].All()
		if len(last) != 1 || last["under_voltage"] != 1 || log.Len() > 0 {
			t.Errorf("throttle %v, log:\n%s", last, log)
		}
	})
}
