package agent

import (
	"context"

	"primespark/agent/battery/detect"
	"primespark/agent/battery/gauge"
	"primespark/agent/battery/gpioline"
	"primespark/agent/battery/i2cdev"
	"primespark/agent/config"
)

// Detect looks which UPS board this node may have. The agent may run meanwhile: the
// kernel does one transfer after the other, and a line that the agent has shows as taken.
func Detect(ctx context.Context, cfg config.Config) (detect.Report, error) {
	bus := i2cdev.New(cfg.I2C.Bus)
	at := gpioline.Config{Chip: cfg.Battery.Line.Chip, Offset: cfg.Battery.Line.Offset, Bias: gpioline.Bias(cfg.Battery.Line.Bias)}
	line := gpioline.New(at)
	server := gauge.Config{NUT: cfg.Battery.NUT.Server}
	r := detect.Finder{
		Bus: bus, BusName: cfg.I2C.Bus, Usual: cfg.I2C.Bus == config.Default().I2C.Bus,
		LineAt: at, Level: line.Present,
		Supplies: func() []string { return gauge.Supplies("") },
		UPSes:    func(ctx context.Context) ([]string, error) { return gauge.UPSes(ctx, server) }, Server: cfg.Battery.NUT.Server,
	}.Find(ctx)
	if err := line.Close(); err != nil {
		return r, err
	}
	return r, bus.Close()
}
