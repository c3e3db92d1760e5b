package config

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"primespark/shared/conf"
)

// Power configures what follows from the battery.
type Power struct {
	DryRun     bool         `yaml:"dry_run"` // everything is told, nothing is done
	Thresholds Thresholds   `yaml:"thresholds"`
	Timing     PowerTiming  `yaml:"timing"`
	Actions    PowerActions `yaml:"actions"`
	Shed       Shed         `yaml:"shed"`
	CPUCap     int          `yaml:"cpu_cap"`   // MHz
	Freeze     []string     `yaml:"freeze"`    // units of systemd
	Restarts   string       `yaml:"restarts"`  // auto, yes or no
	PowerCut   string       `yaml:"power_cut"` // auto or off
	MinToStart float64      `yaml:"min_soc_to_start"`
}

// Thresholds are charges from 0 to 1, volts of a cell under load, and times left.
type Thresholds struct {
	Low             float64       `yaml:"low"`
	LowVolts        float64       `yaml:"v_low"`
	LowMinutes      conf.Duration `yaml:"minutes_low"`
	Critical        float64       `yaml:"critical"`
	CriticalVolts   float64       `yaml:"v_critical"`
	CriticalMinutes conf.Duration `yaml:"minutes_critical"`
	EmergencyVolts  float64       `yaml:"v_emergency"`
	Hysteresis      float64       `yaml:"hysteresis"`
	OverloadVolts   float64       `yaml:"v_overload"` // 0: never
}

// PowerTiming is how long what lasts.
type PowerTiming struct {
	Lost      conf.Duration `yaml:"ac_lost"`
	Back      conf.Duration `yaml:"ac_back"`
	Dwell     conf.Duration `yaml:"dwell"`
	Countdown conf.Duration `yaml:"countdown"`
	BlindMost conf.Duration `yaml:"blind_battery_max"` // 0: for ever
	Grace     conf.Duration `yaml:"boot_grace"`
	Shutdown  conf.Duration `yaml:"shutdown"`
}

// PowerActions are taken stage by stage, each besides those of the stage before.
type PowerActions struct {
	OnBattery []string `yaml:"on_battery"`
	Low       []string `yaml:"low"`
	Critical  []string `yaml:"critical"`
}

// Shed is from which priority on requests are refused; 8: from none.
type Shed struct {
	OnBattery int `yaml:"on_battery"`
	Low       int `yaml:"low"`
	Critical  int `yaml:"critical"`
}

// powerActions are those that there are.
var powerActions = []string{"refuse_loads", "pause_rollouts", "pause_sync", "shed_work", "cap_cpu", "park_hailo", "freeze_units"}

func defaultPower() Power {
	return Power{
		Thresholds: Thresholds{
			Low: 0.25, LowVolts: 3.55, LowMinutes: conf.Duration(20 * time.Minute), Critical: 0.10, CriticalVolts: 3.40, CriticalMinutes: conf.Duration(5 * time.Minute),
			EmergencyVolts: 3.20, Hysteresis: 0.05, OverloadVolts: 3.10,
		},
		Timing: PowerTiming{
			Lost: conf.Duration(3 * time.Second), Back: conf.Duration(10 * time.Second), Dwell: conf.Duration(30 * time.Second), Countdown: conf.Duration(time.Minute),
			BlindMost: conf.Duration(15 * time.Minute), Grace: conf.Duration(2 * time.Minute), Shutdown: conf.Duration(time.Minute),
		},
		Actions:  PowerActions{OnBattery: []string{"refuse_loads", "pause_rollouts", "shed_work", "cap_cpu"}, Low: []string{"pause_sync", "freeze_units"}, Critical: []string{}},
		Shed:     Shed{OnBattery: 6, Low: 4, Critical: 1},
		CPUCap:   1500,
		Freeze:   []string{},
		Restarts: Auto, PowerCut: Auto,
	}
}

var unit = regexp.MustCompile(`^[A-Za-z0-9:_.\\@-]{1,200}\.(service|scope|slice)$`)

func (c Power) check(f *conf.File) {
	c.Thresholds.check(f)
	t := c.Timing
	f.CheckEvery("power.timing.ac_lost", t.Lost, time.Second, time.Minute)
	f.CheckEvery("power.timing.ac_back", t.Back, time.Second, 10*time.Minute)
	f.CheckEvery("power.timing.dwell", t.Dwell, 5*time.Second, 10*time.Minute)
	f.CheckEvery("power.timing.countdown", t.Countdown, 5*time.Second, 10*time.Minute)
	if t.BlindMost != 0 {
		f.CheckEvery("power.timing.blind_battery_max", t.BlindMost, time.Minute, 24*time.Hour)
	}
	f.CheckEvery("power.timing.boot_grace", t.Grace, 20*time.Second, 30*time.Minute)
	f.CheckEvery("power.timing.shutdown", t.Shutdown, 5*time.Second, 10*time.Minute)
	for key, all := range map[string][]string{"on_battery": c.Actions.OnBattery, "low": c.Actions.Low, "critical": c.Actions.Critical} {
		for i, action := range all {
			f.CheckOneOf(fmt.Sprintf("power.actions.%s[%d]", key, i), action, powerActions...)
		}
	}
	for key, p := range map[string]int{"on_battery": c.Shed.OnBattery, "low": c.Shed.Low, "critical": c.Shed.Critical} {
		if p < 1 || p > 8 {
			f.Bad("power.shed."+key, "%d is not between 1, which refuses all but priority 0, and 8, which refuses nothing; give 6", p)
		}
	}
	if c.CPUCap < 300 || c.CPUCap > 10_000 {
		f.Bad("power.cpu_cap", "%d MHz is no frequency of a processor; give 1500 for a Raspberry Pi 5", c.CPUCap)
	}
	for i, u := range c.Freeze {
		if !unit.MatchString(u) || slices.Contains([]string{"prime-spark-agent.service", "prime-spark-coordinator.service"}, u) {
			f.Bad(fmt.Sprintf("power.freeze[%d]", i), "%q is not a unit that can be frozen; give the whole name of another one, as in jellyfin.service", u)
		}
	}
	f.CheckOneOf("power.restarts", c.Restarts, Auto, "yes", "no")
	f.CheckOneOf("power.power_cut", c.PowerCut, Auto, Off)
	if !(c.MinToStart >= 0 && c.MinToStart <= 0.9) { // also what is no number
		f.Bad("power.min_soc_to_start", "%v is not a charge from 0 to 0.9; give 0.3, or 0 for starting at once", c.MinToStart)
	}
}

func (t Thresholds) check(f *conf.File) {
	if !(t.Critical >= 0 && t.Critical < t.Low && t.Low <= 0.9) { // also what is no number
		f.Bad("power.thresholds.low", "low %v and critical %v are no charges of which critical is the smaller; give 0.25 and 0.1", t.Low, t.Critical)
	}
	if !(t.Hysteresis >= 0 && t.Low+t.Hysteresis <= 1) {
		f.Bad("power.thresholds.hysteresis", "%v is not a charge that fits above low, %v; give 0.05", t.Hysteresis, t.Low)
	}
	if !(t.EmergencyVolts >= 2.5 && t.EmergencyVolts < t.CriticalVolts && t.CriticalVolts < t.LowVolts && t.LowVolts < 4.2) {
		f.Bad("power.thresholds.v_low", "v_low %v, v_critical %v and v_emergency %v are not voltages of a cell that fall from one to the next; give 3.55, 3.4 and 3.2",
			t.LowVolts, t.CriticalVolts, t.EmergencyVolts)
	}
	if t.OverloadVolts != 0 && !(t.OverloadVolts >= 2.5 && t.OverloadVolts <= t.CriticalVolts) {
		f.Bad("power.thresholds.v_overload", "%v V is not between 2.5 and v_critical, %v; give 3.1, or 0 for never", t.OverloadVolts, t.CriticalVolts)
	}
	f.CheckEvery("power.thresholds.minutes_low", t.LowMinutes, time.Minute, 24*time.Hour)
	f.CheckEvery("power.thresholds.minutes_critical", t.CriticalMinutes, time.Minute, 12*time.Hour)
	if t.CriticalMinutes >= t.LowMinutes {
		f.Bad("power.thresholds.minutes_critical", "%v is not less than minutes_low, %v; give 5m", t.CriticalMinutes, t.LowMinutes)
	}
}
