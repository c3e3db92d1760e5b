package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"primespark/agent/battery"
	"primespark/agent/battery/gauge"
	"primespark/agent/battery/gpioline"
	"primespark/agent/battery/i2cdev"
	"primespark/agent/config"
	"primespark/agent/record"
	"primespark/agent/sensors"
)

// newBattery makes the monitor of the battery that the configuration names. release
// gives its bus and line back. Nothing is opened yet: a node boots without its board.
func newBattery(cfg config.Config, host func() sensors.Figures, recorder *record.Recorder, log *slog.Logger) (m *battery.Monitor, release func(), err error) {
	supply := func() battery.Supply { return battery.Supply(host().Supply) }
	c := battery.Config{Supply: supply, Capacity: cfg.Battery.Capacity / 1000, Every: cfg.Battery.Every.D(), Record: recorder, Log: log}
	if cfg.Battery.Source == "sim" {
		c.Gauge, err = simulated(cfg.Battery)
		return battery.New(c), func() {}, err
	}
	bus := i2cdev.New(cfg.I2C.Bus)
	if c.Gauge, err = gauge.New(gaugeOf(cfg.Battery), bus); err != nil {
		return nil, nil, err
	}
	line := lineOf(cfg.Battery)
	if line != nil {
		c.Line = line
	}
	return battery.New(c), func() {
		err := bus.Close()
		if line != nil {
			err = errors.Join(err, line.Close())
		}
		if err != nil {
			log.Warn("the battery's bus was not given back", "err", err)
		}
	}, nil
}

// pretends reports whether the node's battery is a simulation, or a file in place of
// the bus. The host is not to be switched off for it.
func pretends(cfg config.Config) bool {
	m, _ := gauge.Find(cfg.Battery.Source)
	return cfg.Battery.Source == "sim" || len(m.Addresses) > 0 && !strings.HasPrefix(cfg.I2C.Bus, "/dev/")
}

// gaugeOf is what the drivers want of the configuration.
func gaugeOf(c config.Battery) gauge.Config {
	return gauge.Config{
		Source: c.Source, Address: uint16(c.Address), Cells: c.Cells, Ohm: c.CellOhm, Shunt: c.ShuntOhm,
		Supply: c.Supply, NUT: c.NUT.Server, UPS: c.NUT.UPS,
	}
}

// lineOf is the power-loss line; nil where there is none.
func lineOf(c config.Battery) *gpioline.Line {
	low := c.Line.Mains == "low"
	switch c.Line.Mains {
	case "none":
		return nil
	case config.Auto:
		m, _ := gauge.Find(c.Source)
		if m.Line == nil {
			return nil
		}
		low = m.Line.Low
	}
	return gpioline.New(gpioline.Config{Chip: c.Line.Chip, Offset: c.Line.Offset, Low: low, Bias: gpioline.Bias(c.Line.Bias)})
}

// simulated makes the battery that follows the configuration's script.
func simulated(cfg config.Battery) (*battery.Sim, error) {
	script := make([]battery.Point, len(cfg.Script))
	for i, p := range cfg.Script {
		script[i] = battery.Point{At: p.T.D(), Mains: p.Mains, Charge: battery.Charge(p.SoC), Load: p.Load}
	}
	sim, err := battery.NewSim(script)
	if err != nil {
		return nil, fmt.Errorf("battery.script: %w", err)
	}
	return sim, nil
}
