// Package rig runs a whole fleet of real processes on this machine: coordinators,
// agents, an MQTT broker. By itself it does so on loopback and without root; whoever
// has more to give says where each node lives (Place). The demo plays on it, the
// figures are taken on it, and the fault suite breaks it.
//
// Nothing of it outlives the process that made it, even if that one is killed:
// the kernel kills the daemons with it (see spawn), and a sweeper removes the
// directory (see Sweep), unless the caller gave one of his own.
package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"primespark/shared/fleet"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

// Options say what fleet to make. Bin and the two numbers are needed.
type Options struct {
	Bin          string // directory of the daemons' programs
	Coordinators int
	Agents       int
	Witnesses    int  // coordinators that only vote, besides
	Page         int  // port of the first coordinator's plain HTTP; 0 for any that is free
	Keep         bool // leave the directory behind

	Accelerator Accelerator // of the first agent; the others have none
	Fault       string      // infer.fault of all agents; none if empty
	Mains       bool        // no agent is on battery; otherwise the second one is

	Profile string // of raft's timing; lan if empty
	MQTT    string // the agents' mqtt.profile; primespark if empty

	Every time.Duration // between the agents' samples; 2 s if 0

	Dir    string                                                      // of the fleet's files, there already and the caller's to remove; empty: a temporary one
	Broker string                                                      // of MQTT, as in tcp://10.0.0.1:1883; empty: the first coordinator embeds one
	Place  func(name string, role fleet.Role) (where Place, err error) // where each node lives; nil: on loopback, in the fleet's directory
}

// An Accelerator is a Hailo that is simulated. The zero value is none.
type Accelerator struct {
	Library string // path of the double
	Worker  string // path of the worker's program
	Models  string // folder of HEF files
}

// A Place is where a node lives.
type Place struct {
	Host     string   // that it listens at, on the ports that are each program's default; empty: loopback, on any ports that are free
	StateDir string   // empty: below the fleet's directory
	Under    []string // the command that the daemon is run by, as in nsenter --net=FILE; empty: none
	Mesh     string   // socket of the prime-spark-mesh there; empty: no part in a mesh
}

// A Rig is a fleet of processes. Its methods are for one goroutine.
type Rig struct {
	Dir          string // everything that the fleet writes, logs too
	Coordinators []*Node
	Agents       []*Node
	Witnesses    []*Node

	bin     string
	keep    bool
	token   string
	ca      []byte
	spawner *spawner
	sweeper *sweeper
	broken  chan error // the first daemon that ended by itself
}

// New makes the directory, finds ports and writes the configurations. Close
// removes all of it.
func New(o Options) (*Rig, error) {
	programs := []string{coordinatorProgram, agentProgram}
	if o.Dir == "" && !o.Keep {
		programs = append(programs, commandProgram) // which sweeps up
	}
	for _, program := range programs {
		if err := present(o.Bin, program); err != nil {
			return nil, err
		}
	}
	r := &Rig{Dir: o.Dir, bin: o.Bin, keep: o.Keep || o.Dir != "", spawner: newSpawner(), broken: make(chan error, 1)}
	if r.Dir == "" {
		dir, err := os.MkdirTemp("", dirPrefix+"*")
		if err != nil {
			return nil, &problem.Error{
				Code: problem.Unexpected, Err: err,
				Detail: "There is no place for the fleet's files.", Remedy: "Make room in " + os.TempDir() + ", or set TMPDIR to a directory that has some.",
			}
		}
		r.Dir = dir
	}
	if err := r.configure(o); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	if !r.keep {
		var err error
		if r.sweeper, err = startSweeper(r.bin, r.Dir); err != nil {
			return nil, errors.Join(err, r.Close())
		}
	}
	return r, nil
}

// present checks that a program is there.
func present(bin, program string) error {
	info, err := os.Stat(filepath.Join(bin, program))
	if err == nil && !info.IsDir() && info.Mode().Perm()&0o111 != 0 {
		return nil
	}
	return &problem.Error{
		Code: problem.NotFound, Err: err,
		Detail: fmt.Sprintf("There is no program %s beside this one, in %s.", program, bin),
		Remedy: "Build all three with make build, and run bin/prime-spark demo.",
	}
}

// Start brings the fleet up as an operator would: the first coordinator makes the
// cluster, the others and the agents join with codes that it gives out. tell is
// called at each step.
func (r *Rig) Start(ctx context.Context, tell func(string)) error {
	first := r.Coordinators[0]
	tell("making the cluster on " + first.Name)
	if err := r.init(ctx, first); err != nil {
		return err
	}
	if err := first.Start(); err != nil {
		return err
	}
	if err := r.until(ctx, first.Name+" to answer", func(ctx context.Context) error {
		_, err := r.Client(first).Status(ctx)
		return err
	}); err != nil {
		return err
	}
	tell(fmt.Sprintf("joining %d coordinators and %d agents with join codes", len(r.Coordinators)-1, len(r.Agents)))
	if err := r.join(ctx, first, fleet.Coordinator, append(r.Coordinators[1:len(r.Coordinators):len(r.Coordinators)], r.Witnesses...)); err != nil {
		return err
	}
	return r.join(ctx, first, fleet.Agent, r.Agents)
}

// join lets nodes in and starts them, all at the same time.
func (r *Rig) join(ctx context.Context, by *Node, role fleet.Role, nodes []*Node) error {
	if len(nodes) == 0 {
		return nil
	}
	code, err := r.Client(by).CreateJoinCode(ctx, wire.JoinCodeRequest{Role: role, TTL: "5m", Uses: len(nodes)})
	if err != nil {
		return fmt.Errorf("make a join code: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, n := range nodes {
		g.Go(func() error {
			if _, err := n.Command(ctx, code.Code+"\n", "join", "--code-file", "-"); err != nil {
				return err
			}
			return n.Start()
		})
	}
	return g.Wait()
}

// Client talks to those coordinators over HTTPS, with the admin's token, the
// first one first.
func (r *Rig) Client(coordinators ...*Node) *wire.Client {
	var servers []string
	for _, n := range coordinators {
		servers = append(servers, "https://"+n.API)
	}
	return wire.Pinned(servers, r.token, r.ca)
}

// Access is what a client of another make needs: the admin's token, and the
// certificate of the cluster's authority in PEM. It is there after Start.
func (r *Rig) Access() (token string, ca []byte) { return r.token, r.ca }

// Token is the admin's.
func (r *Rig) Token() string { return r.token }

// Healthy waits until every coordinator votes, has what the leader had and sees
// the whole fleet, and every agent is ready with the model.
func (r *Rig) Healthy(ctx context.Context, model string) (wire.StatusBody, error) {
	var status wire.StatusBody
	client := r.Client(r.Coordinators...)
	err := r.until(ctx, "the fleet to be healthy", func(ctx context.Context) (err error) {
		if status, err = client.Status(ctx); err != nil {
			return err
		}
		for _, n := range r.Coordinators {
			if err := r.agrees(ctx, n, status); err != nil {
				return fmt.Errorf("%s: %w", n.Name, err)
			}
		}
		if len(r.Agents) == 0 {
			return nil
		}
		route, err := client.Route(ctx, model)
		if err == nil && len(route.Candidates) != len(r.Agents) {
			err = fmt.Errorf("%d of %d agents have %s loaded", len(route.Candidates), len(r.Agents), model)
		}
		return err
	})
	return status, err
}

// agrees checks that a coordinator has caught up with status and sees the whole
// fleet. It is asked itself: what others say of one that was just killed, and
// what one that was just started knows of the others, may be some seconds old.
func (r *Rig) agrees(ctx context.Context, n *Node, status wire.StatusBody) error {
	client := r.Client(n)
	client.Stale = true
	own, err := client.Status(ctx)
	switch s := own.Summary; {
	case err != nil:
		return err
	case own.Leader == "" || own.Leader != status.Leader:
		return fmt.Errorf("it follows %q, and others %q", own.Leader, status.Leader)
	case own.AppliedIndex < status.AppliedIndex:
		return fmt.Errorf("it has change %d of %d", own.AppliedIndex, status.AppliedIndex)
	case s.QuorumHave != len(r.Coordinators)+len(r.Witnesses) || s.Voters != len(r.Coordinators)+len(r.Witnesses):
		return fmt.Errorf("%d of %d coordinators vote and are alive", min(s.QuorumHave, s.Voters), len(r.Coordinators)+len(r.Witnesses))
	case s.AgentsHealthy != len(r.Agents):
		return fmt.Errorf("%d of %d agents are healthy", s.AgentsHealthy, len(r.Agents))
	}
	return nil
}

// Leader returns the coordinator that leads, as the others among those that run
// see it.
func (r *Rig) Leader(ctx context.Context) (*Node, error) {
	status, err := r.Client(r.Coordinators...).Status(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range r.Coordinators {
		if n.Name == status.Leader {
			return n, nil
		}
	}
	return nil, problem.New(problem.NoLeader, "See its log in "+r.Dir+".", "The coordinators name no leader of theirs: %q.", status.Leader)
}

// until tries ok every 100 ms. It gives up when ctx ends or a daemon ends by
// itself, and then says what was still missing.
func (r *Rig) until(ctx context.Context, what string, ok func(context.Context) error) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := ok(try)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case broke := <-r.broken:
			return broke
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return &problem.Error{
				Code: problem.Deadline, Err: err,
				Detail: "Time ran out waiting for " + what + ".",
				Remedy: "The machine may be busy; try again, or look into the logs that --keep-dir keeps.",
			}
		}
	}
}

// Broken gives the error of the first daemon that ended by itself.
func (r *Rig) Broken() <-chan error { return r.broken }

// Close ends all daemons, those that will not go by force, and removes the
// directory, unless it is to be kept.
func (r *Rig) Close() error {
	all := slices.Concat(r.Agents, r.Witnesses, r.Coordinators)
	for _, n := range all {
		n.terminate()
	}
	patience := time.After(grace)
	for _, n := range all {
		n.gone(patience)
	}
	r.spawner.close()
	if r.sweeper != nil {
		r.sweeper.dismiss()
	}
	if r.keep {
		return nil
	}
	if err := os.RemoveAll(r.Dir); err != nil {
		return fmt.Errorf("remove the fleet's directory: %w", err)
	}
	return nil
}
