package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"primespark/agent/battery"
	"primespark/agent/battery/gauge"
	"primespark/agent/battery/i2cdev"
	"primespark/agent/config"
	"primespark/shared/identity"
	"primespark/shared/problem"
)

// cutFile is what is to be written to the board when the host is down, in the state
// directory. It is of one boot alone.
const cutFile = "power-cut.json"

// cutSlack is how long after the host should be down a countdown ends.
const cutSlack = time.Minute

// maxCutFile bounds what is read of it, in bytes.
const maxCutFile = 4 << 10

// A cut is what is to be written, each one transaction.
type cut struct {
	Boot    string   `json:"boot"` // of the kernel
	Bus     string   `json:"bus"`
	Address uint16   `json:"address"`
	Writes  [][]byte `json:"writes"`
}

// cutter tells the board to cut the power after the host is down; nil if it cannot, or
// must not. A countdown begins at once. What cuts soon is left to the very end of
// the shutdown, where PowerCut does it.
func cutter(cfg config.Config) func(ctx context.Context, on bool) error {
	m, ok := gauge.Find(cfg.Battery.Source)
	if !ok || m.Cut == nil || cfg.Power.PowerCut == config.Off {
		return nil
	}
	c := cut{Boot: bootID(), Bus: cfg.I2C.Bus, Address: uint16(cfg.Battery.Address)}
	if c.Address == 0 {
		c.Address = m.Addresses[0]
	}
	return func(ctx context.Context, on bool) error {
		if m.Cut.Countdown {
			after := time.Duration(0) // takes it back
			if on {
				after = cfg.Power.Timing.Shutdown.D() + cutSlack
			}
			c.Writes = m.Cut.Writes(after)
			if least := cfg.Power.MinToStart; on && least > 0 {
				c.Writes = append(m.StartsAt(battery.Charge(least), cfg.Battery.Cells), c.Writes...)
			}
			return c.do(ctx)
		}
		if !on {
			err := os.Remove(filepath.Join(cfg.StateDir, cutFile))
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		c.Writes = m.Cut.Writes(0)
		data, err := json.Marshal(c)
		if err != nil {
			return fmt.Errorf("encode what cuts the power: %w", err)
		}
		return identity.WriteFile(cfg.StateDir, cutFile, data)
	}
}

// do writes to the board.
func (c cut) do(ctx context.Context) error {
	bus := i2cdev.New(c.Bus)
	defer func() { _ = bus.Close() }() // it has been written to, or not
	for _, w := range c.Writes {
		if err := bus.TxContext(ctx, c.Address, w, nil); err != nil {
			return err
		}
	}
	return nil
}

// PowerCut has the UPS board cut the power if an agent of this boot left word that it
// shall. It is for the very end of a shutdown, when no file system is written to any
// more; done is false if there is nothing to do.
func PowerCut(ctx context.Context, cfg config.Config) (done bool, err error) {
	path := filepath.Join(cfg.StateDir, cutFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if info.Size() > maxCutFile {
		return false, problem.New(problem.TooLarge, "Remove the file.", "%s has %d bytes, too many for what cuts the power.", path, info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	c, err := readCut(data)
	if err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	if c.Boot == "" || c.Boot != bootID() {
		return false, nil // of another shutdown
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return true, c.do(ctx)
}

// readCut reads what one agent wrote for the next command: few and short writes.
func readCut(data []byte) (c cut, err error) {
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("decode: %w", err)
	}
	if len(c.Writes) > 8 {
		return c, fmt.Errorf("%d writes are too many", len(c.Writes))
	}
	for _, w := range c.Writes {
		if len(w) == 0 || len(w) > 8 {
			return c, fmt.Errorf("a write of %d bytes cuts no board's power", len(w))
		}
	}
	return c, nil
}
