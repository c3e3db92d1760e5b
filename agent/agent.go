// Package agent is a node of the fleet: it wires the parts of the daemon.
// DESIGN.md tells how they work together.
package agent

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/agent/api"
	"primespark/agent/config"
	"primespark/agent/duties"
	"primespark/agent/models"
	"primespark/agent/outbox"
	"primespark/agent/plan"
	"primespark/agent/power/logind"
	"primespark/agent/record"
	"primespark/agent/sensors"
	"primespark/agent/upload"
	"primespark/shared/clock"
	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/identity"
	"primespark/shared/logs"
	"primespark/shared/meshnet"
	"primespark/shared/netaddr"
	"primespark/shared/run"
	"primespark/shared/statedir"
	"primespark/shared/version"
	"primespark/shared/watch"
)

// farewell is how long a node that stops still answers, so that gossip has told
// everybody to ask another one.
const farewell = time.Second

// Run runs a node until ctx ends. It is straight-line wiring. What needs no
// network comes first and waits for nothing: a node that boots with no uplink
// serves its own host at once.
func Run(ctx context.Context, cfg config.Config, out Outside) error {
	if err := statedir.Refuse(cfg.StateDir, "prime-spark-agent"); err != nil {
		return err
	}
	id := membership(cfg, part(out.Log, "identity"))
	if id != nil {
		cfg.Name = id.ID().Name // a node is who its certificate says
	}
	log := out.Log.With("node", cfg.Name)
	for _, m := range cfg.Moved {
		log.Warn("the configuration has a key of an earlier release", "key", m.Key, "now", m.Now, "remedy", "prime-spark-agent check --migrate")
	}
	metrics := prometheus.NewRegistry()
	release, err := claim(cfg.StateDir, log)
	if err != nil {
		return err
	}
	defer func() { _ = release() }() // nothing was written to it

	ctx, end := context.WithCancel(ctx)
	defer end()
	conditions := health.New(nil)
	if cfg.SafeMode {
		conditions.Set(health.SafeMode, health.Warning, "The agent crashed again and again, and runs in safe mode: the embedded model only, no tasks, no uplink.",
			"Find out why with journalctl -u prime-spark-agent, then run systemctl start prime-spark-agent.")
	}
	sensed := &latest{} // of the battery, once there is one
	held := newBrakes()
	since := life{time.Now(), out.Clock}
	box, wear, err := openOutbox(cfg, id, thrift{sensed.battery, held.sync}, since, conditions, part(log, "outbox"), metrics)
	if err != nil {
		return err
	}
	var keeper record.Keeper
	if box != nil {
		defer func() { _ = box.Close() }() // its Run has committed all there was
		keeper = box
	}
	recorder := record.ByClock(since.boot, keeper, since.clock)
	chip, err := newAccelerator(cfg, part(log, "hailo"), metrics)
	if err != nil {
		return err
	}
	shelf, load := chip.on()
	onnx, err := newONNX(cfg, part(log, "onnxruntime"), metrics)
	if err != nil {
		return err
	}
	backends := engines(cfg.Infer, chip, onnx, out)
	stock := openStock(cfg, id, part(out.Log, "model supply"))
	results, err := openResults(cfg, part(out.Log, "result cache"), metrics)
	if err != nil {
		return err
	}
	registry, err := models.New(models.Config{
		Backends: backends, Prefer: cfg.Infer.Engines, Stock: stock.models(), Results: results.models(), Hold: held.cold, Free: out.Free, Shelf: shelf, Load: load, Dir: cfg.Models.Dir, Memory: int64(cfg.Models.Memory), Queue: cfg.Infer.Queue,
		Log: part(log, "models"), Metrics: metrics,
	})
	if err != nil {
		return err
	}
	host := sensors.New(sensors.Config{Every: cfg.Telemetry.Every.D(), Path: cfg.StateDir, Supplied: cfg.Battery.Source != "none"}, recorder, part(log, "sensors"))
	parts := append([]run.Part{conditions, clock.Watch(out.Clock, conditions, part(log, "clock"))}, chip.parts(cfg.Telemetry.Every.D(), held.chip, recorder, conditions, part(log, "hailo"))...)
	parts = append(parts, onnx.parts()...)
	parts = append(parts, results.parts(out.Log)...)
	parts = append(parts,
		registry,
		readiness(registry, conditions),
		run.Restart(host, part(log, "sensors")),
		workload(registry, recorder, cfg.Telemetry.Every.D(), part(log, "workload")),
	)
	self := node{
		cfg: cfg, started: time.Now(), view: noView, notes: noNotes, registry: registry, host: calm(host.Host), power: noPower, newest: recorder.Newest().Get,
		conditions: conditions, vital: watch.New(fleet.Vital{}), addresses: nowhere, chip: chip, onnx: onnx, alive: func() error { return nil },
	}
	if err := self.register(metrics, id, recorder.Newest().Get); err != nil {
		return err
	}
	if cfg.Battery.Source != "none" {
		monitor, release, err := newBattery(cfg, host.Host, recorder, part(log, "battery"))
		if err != nil {
			return err
		}
		defer release()
		watcher := newPower(cfg, monitor.Samples(), held, func() fleet.View { return self.view() }, self.goodbye, end, out, conditions, part(log, "power"))
		self.power, self.state = powerOf(monitor.Power().Get, watcher.Status()), watcher.Status()
		sensed.get.Store(&self.power)
		self.alive = func() error { return errors.Join(watcher.Alive(), monitor.Alive()) }
		parts = append(parts, run.Restart(monitor, part(log, "battery")), watcher)
		if before := watcher.Before(); id != nil && len(before) > 0 {
			parts = append(parts, comeBack(before, func() fleet.View { return self.view() }, conditions))
		}
		if realHost(cfg, out) {
			parts = append(parts, logind.Delay{Goodbye: self.goodbye, Log: part(log, "power")})
		}
	}

	if box != nil {
		parts = append([]run.Part{box, wear}, parts...) // first, so that it ends last: the sensors keep until they stop
		self.outbox = func() *api.Outbox {
			return &api.Outbox{Waiting: box.Waiting(), Daily: wear.Daily(), Budget: outbox.DailyBudget}
		}
	}

	var follower *plan.Follower
	if id != nil { // before the doors open: it knows whom to refuse
		follower = plan.New(plan.Config{
			Identity: id, Dir: cfg.StateDir, IdentityDir: identityDir(cfg), View: func() fleet.View { return self.view() }, Dial: out.Dial, Conditions: conditions, Log: part(log, "plan"),
		})
	}
	doors, err := open(ctx, cfg.HTTP, id, out, part(log, "api"))
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // asked to stop before it was up
	}
	if err != nil {
		return err
	}
	defer closeAll(doors)
	var announce func(fleet.Vital) error
	if id != nil {
		member, tunnels, err := openMesh(cfg, id, follower, meshnet.PortOf(doors[len(doors)-1].Addr().String()), part(log, "mesh"))
		if err != nil {
			log.Error("this node takes no part in the mesh", "err", err) // and serves all the same
		}
		self.mesh = member
		if tunnels != nil {
			parts = append(parts, run.Restart(member, part(log, "mesh")), run.Restart(tunnels, part(log, "mesh")), linkSamples(member, recorder, cfg.Telemetry.Every.D(), part(log, "mesh")))
		} else if !cfg.Mesh.Enabled {
			parts = append(parts, leaveMesh(cfg, id, follower, part(log, "mesh")))
		}
		place := &presence{
			cfg: cfg, id: id, door: doors[len(doors)-1], out: out, log: part(log, "gossip"), metrics: metrics, own: netaddr.Own,
			fleet: follower.Fleet, seeds: follower.Seeds, mesh: member,
		}
		if supplier, err := stock.supply(follower, registry, backends, metrics); err != nil {
			return err
		} else if supplier != nil {
			self.notes = supplier.Notes
			parts = append(parts, resting{Part: run.Restart(supplier, part(log, "model supply")), held: held.fetch})
		}
		beater := heart(id, follower, place, self.vital.Get, member, out, part(log, "heartbeat"))
		announce, self.addresses = place.Announce, place.Addresses
		self.view = func() fleet.View { return proved(place.View(), follower.Coordinators(), beater.Connected()) }
		parts = append(parts, run.Restart(place, part(log, "gossip")), follower, beater, &identity.Renewal{
			Identity: id, Dir: identityDir(cfg), Ask: follower.Renew, Conditions: conditions, Log: part(log, "identity"),
		})
		if cfg.MQTT.Broker == "" && box != nil && !cfg.SafeMode {
			up, err := upload.New(box, follower, part(log, "upload"), metrics)
			if err != nil {
				return err
			}
			parts = append(parts, run.Restart(up, part(log, "upload")))
		}
		if cfg.MQTT.Broker != "" {
			up, err := newUplink(cfg, self, id, recorder, box, part(log, "uplink"), metrics)
			if err != nil {
				log.Error("samples stay on this node", "err", err) // which serves all the same
			} else {
				parts = append(parts, run.Restart(up, part(log, "uplink")))
			}
		}
		if cfg.MQTT.Broker != "" && cfg.MQTT.Profile == "sparkplug" {
			edge, err := newSparkplug(cfg, self, id, held.spare(recorder.Newest().Get), part(log, "sparkplug"), metrics)
			if err != nil {
				log.Error("Sparkplug hosts are not told of this node", "err", err) // which serves all the same
			} else {
				parts = append(parts, run.Restart(edge, part(log, "sparkplug")))
			}
		}
	}
	var notice time.Duration
	if id != nil {
		notice = farewell
	}
	front, err := api.New(api.Config{Node: cfg.Name, MaxBody: int64(cfg.HTTP.MaxBody), Deadline: cfg.Infer.Deadline.D(), Notice: notice}, api.Outside{
		Models: frugal{registry, held}, Health: conditions, Self: self.describe, Metrics: metrics, Log: part(log, "api"), Serve: doors,
		Power: func() (float64, int) { return drawn(recorder.Newest().Get(), time.Now()), registry.InFlight() },
	})
	if err != nil {
		return err
	}
	parts = append(parts, vitals{self.collect, self.vital, announce, out.Service, self.alive, part(log, "vitals")}, front)
	if id != nil && !cfg.SafeMode { // last, so that it ends first: tasks are given back while the others can still be reached
		queue := duties.NewRemote(cfg.Name, func() []string { return duties.Coordinators(cfg.Name, self.view(), id.Peers().API) }, out.Dial, id.ClientTLS(fleet.Coordinator))
		defer queue.Close()
		work, err := duties.New(queue, self.able, duties.Work(frugal{registry, held}.Infer, queue.Object, cfg.Infer.Deadline.D()), part(log, "duties"), metrics)
		if err != nil {
			return err
		}
		parts = append(parts, run.Restart(work, part(log, "duties")))
	}

	log.Info("node is up", "doors", addresses(doors), "joined", id != nil, "models_dir", cfg.Models.Dir, "version", version.Get().String())
	err = run.All(ctx, parts...)
	log.Info("node has stopped")
	return err
}

// part names the part in its log.
func part(log *slog.Logger, name string) *slog.Logger { return log.With(logs.PartKey, name) }

// able are the models with which the node can do tasks now: none while it is not
// ready, or while requests wait, which somebody else waits for in turn.
func (n node) able() (models []string) {
	if len(n.conditions.Reasons()) > 0 || n.registry.Queue() > 0 {
		return nil
	}
	for _, m := range n.registry.Serving() {
		if !m.Cold { // a task would be given back
			models = append(models, m.Name)
		}
	}
	return models
}
