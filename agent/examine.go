package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"primespark/agent/api"
	"primespark/agent/checkup"
	"primespark/agent/config"
	"primespark/agent/models/shelf"
	"primespark/hailo"
	"primespark/shared/doctor"
	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/problem"
)

// Examine looks at this node as a support engineer would. The agent may run or
// not; if it does, what it knows is asked for.
func Examine(ctx context.Context, cfg config.Config) doctor.Report {
	running := inspect(ctx, cfg)
	accelerator := checkup.Hailo{Off: cfg.Hailo.Enabled == config.Off, Facts: hailo.Config{Library: cfg.Hailo.Library}.Facts()}
	if h := running.node.Hailo; h != nil {
		accelerator.Firmware, accelerator.More = h.Firmware, h.Findings
		if h.Cause != nil {
			accelerator.More = append(accelerator.More, *h.Cause)
		}
	}
	var checks []doctor.Check
	for _, part := range []interface{ Checks() []doctor.Check }{
		running,
		doctor.Host{},
		upsOf(cfg, running),
		doctor.State{Dir: cfg.StateDir},
		doctor.Membership{
			Role: fleet.Agent, Dir: identityDir(cfg), Running: func(context.Context) bool { return running.err == nil },
			Ports: append(doctor.Gossiping(cfg.Gossip.Listen), doctor.Port{Key: "http.listen", Network: "tcp", Address: cfg.HTTP.Listen}),
		},
		versionsOf(running.node),
		meshOf(cfg, running.node.Mesh),
		accelerator,
		shelved{cfg.Hailo},
		onnxOf(cfg, running.node.ONNX),
	} {
		checks = append(checks, part.Checks()...)
	}
	r := doctor.Run(ctx, cfg.Name, checks)
	r.Tell("hailo", accelerator.Facts)
	if running.err == nil {
		r.Tell("agent", running.node)
	}
	return r
}

// versionsOf is what the running agent hears of the others' versions.
func versionsOf(n api.Self) doctor.Fleet {
	if n.Fleet == nil {
		return doctor.Fleet{}
	}
	return doctor.Fleet{Self: n.Name, Nodes: n.Fleet.Alive, Newest: n.Fleet.Newest, Behind: n.Fleet.Behind}
}

// upsOf is the UPS board of a node, as the configuration and the running agent know it.
func upsOf(cfg config.Config, running runner) checkup.UPS {
	u := checkup.UPS{Source: cfg.Battery.Source, Line: -1, DryRun: cfg.Power.DryRun}
	if lineOf(cfg.Battery) != nil && cfg.Battery.Line.Bias == "up" {
		u.Line = cfg.Battery.Line.Offset
	}
	if p := running.node.Vital.Power; running.err == nil && p.State != "" {
		u.Running = "The agent acts by the battery, now " + strings.ReplaceAll(string(p.State), "_", " ")
		if p.Charge != nil {
			u.Running += fmt.Sprintf(" at %.0f %%", 100**p.Charge)
		}
	}
	return u
}

// A runner is the agent that runs on this host, as it describes itself.
type runner struct {
	err   error // why it cannot be asked; errNobody if none runs
	node  api.Self
	ready struct {
		Ready             bool
		Reasons, Warnings health.List
	}
}

// maxAnswer bounds what is read of the agent's answers, in bytes.
const maxAnswer = 4 << 20

// inspect asks the running agent.
func inspect(ctx context.Context, cfg config.Config) (r runner) {
	if cfg.HTTP.Socket == "" {
		r.err = errNobody
		return r
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	transport := toSocket(cfg)
	defer transport.CloseIdleConnections()
	for path, into := range map[string]any{"/v1/node": &r.node, "/readyz": &r.ready} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
		if err != nil {
			r.err = err
			return r
		}
		res, err := transport.RoundTrip(req)
		if err == nil {
			err = json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(into)
			err = errors.Join(err, res.Body.Close())
		}
		if err != nil {
			r.err = err
			return r
		}
	}
	return r
}

// Checks are those of the running agent.
func (r runner) Checks() []doctor.Check {
	return []doctor.Check{{Section: "agent", Name: "daemon", Look: r.look}}
}

func (r runner) look(context.Context) []doctor.Result {
	switch {
	case errors.Is(r.err, errNobody) && errors.Is(r.err, os.ErrPermission):
		return []doctor.Result{{Severity: doctor.Info, Detail: "An agent runs here, and this user may not ask it.", Remedy: "Run it with sudo."}}
	case errors.Is(r.err, errNobody):
		return []doctor.Result{{Severity: doctor.Info, Detail: "No agent runs here now.", Remedy: "sudo systemctl start prime-spark-agent, or prime-spark-agent run."}}
	case r.err != nil:
		return []doctor.Result{{Severity: doctor.Fault, Detail: "The agent that runs here does not answer: " + r.err.Error() + ".", Remedy: "journalctl -u prime-spark-agent -n 50, then sudo systemctl restart prime-spark-agent."}}
	}
	found := []doctor.Result{{Severity: doctor.OK, Detail: fmt.Sprintf("%s runs, mode %s, %d models", r.node.Name, r.node.Mode, len(r.node.Vital.Models))}}
	for _, c := range r.ready.Reasons {
		found = append(found, doctor.Result{Severity: doctor.Fault, Code: string(c.Code), Detail: c.Detail, Remedy: c.Remedy})
	}
	for _, c := range r.ready.Warnings {
		if c.Code != health.Accelerator { // it has its own section
			found = append(found, doctor.Result{Severity: doctor.Warning, Code: string(c.Code), Detail: c.Detail, Remedy: c.Remedy})
		}
	}
	return found
}

// A shelved is the HEF files of the node.
type shelved struct{ cfg config.Hailo }

// Checks are those of the HEF files.
func (s shelved) Checks() []doctor.Check {
	return []doctor.Check{{Section: "hailo", Name: "models", Look: s.look}}
}

func (s shelved) look(context.Context) []doctor.Result {
	chips := hailo.Probe(hailo.Host{}).Chips
	names := shelf.Shelf{Dir: s.cfg.Models}.Names()
	missing := slices.DeleteFunc(slices.Clone(s.cfg.Load), func(name string) bool { return slices.Contains(names, name) })
	switch {
	case s.cfg.Enabled == config.Off:
		return nil
	case len(missing) > 0:
		return []doctor.Result{{
			Severity: doctor.Warning, Detail: fmt.Sprintf("hailo.load names %s, and no file in %s is of it.", strings.Join(missing, ", "), s.cfg.Models),
			Remedy: "Correct hailo.load; there are: " + strings.Join(names, ", ") + ". Or sudo apt install hailo-models.",
		}}
	case len(chips) == 0 && len(names) == 0:
		return nil
	case len(names) == 0:
		return []doctor.Result{{Severity: doctor.Info, Detail: "There is no HEF file in " + s.cfg.Models + ".", Remedy: "sudo apt install hailo-models"}}
	}
	return []doctor.Result{{Severity: doctor.OK, Detail: fmt.Sprintf("%d in %s", len(names), s.cfg.Models)}}
}

// Selftest tries the accelerator of this node with a HEF file, or with the
// best-known one that is installed if file is empty. An agent that runs has the
// chip, and has to be stopped first.
func Selftest(ctx context.Context, cfg config.Config, file string, frames int, say func(hailo.Step)) (hailo.Selftest, error) {
	if r := inspect(ctx, cfg); r.err == nil && r.node.Hailo != nil && r.node.Hailo.Worker.PID != 0 {
		return hailo.Selftest{}, problem.New(problem.Conflict, "sudo systemctl stop prime-spark-agent, run this, and start it again.", "The agent that runs here uses the Hailo.")
	}
	files := []string{file}
	if file == "" {
		files = favourites(cfg.Hailo.Models)
	}
	dir, err := os.MkdirTemp("", "prime-spark-hailo-")
	if err != nil {
		return hailo.Selftest{}, fmt.Errorf("make a directory for the worker: %w", err)
	}
	t := hailo.RunSelftest(ctx, hailo.Config{
		Library: cfg.Hailo.Library, Workers: hailo.FindWorkers(cfg.Hailo.Worker), Share: cfg.Hailo.Share == config.Service, Dir: dir, Depth: cfg.Hailo.Depth,
		Warm: cfg.Hailo.Warm, Hot: cfg.Hailo.Hot,
	}, files, frames, say)
	return t, os.RemoveAll(dir)
}

// favourites are the files of the favourite model, for each chip there is one for.
func favourites(dir string) (files []string) {
	s := shelf.Shelf{Dir: dir}
	if name := s.Favourite(); name != "" {
		files = s.Files(name)
	}
	return files
}
