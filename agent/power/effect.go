package power

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"primespark/shared/identity"
)

// The actions that can be taken while the power is short. All of them are taken back.
const (
	RefuseLoads   = "refuse_loads"   // no model is loaded that is not resident
	PauseRollouts = "pause_rollouts" // no new model versions are fetched
	PauseSync     = "pause_sync"     // samples wait on this node, save those of battery and power
	ShedWork      = "shed_work"      // requests of low priority are refused
	CapCPU        = "cap_cpu"        // the processor's frequency is capped
	ParkHailo     = "park_hailo"     // the accelerator rests, the processor stands in
	FreezeUnits   = "freeze_units"   // units of systemd are frozen
)

// Actions are all there are, in the order in which they are taken.
var Actions = []string{RefuseLoads, PauseRollouts, ShedWork, PauseSync, CapCPU, ParkHailo, FreezeUnits}

// An Effect takes one action, and takes it back. Set may be repeated.
type Effect struct {
	Name string
	Set  func(ctx context.Context, on bool) error
}

// Plans are the actions of each stage. Those of a milder one are taken as well.
type Plans struct {
	OnBattery, Low, Critical []string
}

// of are the actions of a mode.
func (p Plans) of(m Mode) (all []string) {
	for _, stage := range []struct {
		Mode
		actions []string
	}{{OnBattery, p.OnBattery}, {Low, p.Low}, {Critical, p.Critical}} {
		if m.Atleast(stage.Mode) {
			all = append(all, stage.actions...)
		}
	}
	return all
}

// heldFile names the actions that are taken, in the state directory: an agent that
// starts anew takes back what the last one took.
const heldFile = "power-held.json"

// effectRetry is the wait before an action that failed is tried again.
const effectRetry = 30 * time.Second

// effectTime bounds one action, and fileTime what is written to the state directory.
const (
	effectTime = 5 * time.Second
	fileTime   = 5 * time.Second
)

// effects brings the node to the actions that are wanted.
type effects struct {
	all  []Effect
	dir  string
	dry  bool
	log  *slog.Logger
	on   map[string]bool
	fail map[string]time.Time // when to try again
	side map[string]*aside    // where each is done
	file aside
}

func newEffects(all []Effect, dir string, dry bool, log *slog.Logger) *effects {
	e := &effects{all: all, dir: dir, dry: dry, log: log, on: map[string]bool{}, fail: map[string]time.Time{}, side: map[string]*aside{}}
	for _, x := range all {
		e.side[x.Name] = new(aside)
	}
	data, err := readBounded(filepath.Join(dir, heldFile))
	var held []string
	if err == nil {
		err = json.Unmarshal(data, &held)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("what the last agent held back is not known", "err", err, "remedy", "boot the node anew, which takes all of it back")
	}
	for _, name := range held {
		e.on[name] = true
	}
	return e
}

// reconcile takes the actions that are wanted and not taken, and takes back the
// others. One that fails is tried again.
func (e *effects) reconcile(ctx context.Context, want []string, because Mode) {
	changed := false
	for _, x := range e.all {
		on := slices.Contains(want, x.Name)
		if on == e.on[x.Name] || time.Now().Before(e.fail[x.Name]) {
			continue
		}
		log := e.log.With("action", x.Name, "mode", string(because))
		if !e.dry {
			err := e.side[x.Name].do(effectTime, func() error {
				ctx, cancel := context.WithTimeout(ctx, effectTime)
				defer cancel()
				return x.Set(ctx, on)
			})
			if err != nil {
				if e.fail[x.Name].IsZero() {
					log.Warn("power action not taken, trying again", "on", on, "err", err, "again_s", effectRetry.Seconds())
				}
				e.fail[x.Name] = time.Now().Add(effectRetry)
				continue
			}
		}
		delete(e.fail, x.Name)
		e.on[x.Name], changed = on, true
		switch {
		case e.dry:
			log.Info("power action, which dry_run keeps from being taken", "on", on)
		case on:
			log.Info("power action taken")
		default:
			log.Info("power action taken back")
		}
	}
	if changed && !e.dry {
		if err := e.save(); err != nil {
			e.log.Warn("what is held back is not kept", "err", err, "remedy", "see that the disk has room and is writable")
		}
	}
}

// taken are the actions in force, in their order.
func (e *effects) taken() (all []string) {
	for _, name := range Actions {
		if e.on[name] {
			all = append(all, name)
		}
	}
	return all
}

func (e *effects) save() error {
	data, err := json.Marshal(e.taken())
	if err != nil {
		return fmt.Errorf("encode power actions: %w", err)
	}
	return e.file.do(fileTime, func() error { return identity.WriteFile(e.dir, heldFile, data) })
}
