package lab_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"primespark/scripts/lab/machine"
	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/rig"
	"primespark/shared/wire"
)

// model is the one that every agent has embedded.
const model = "blazeface"

// A lab is a fleet of real processes on a network of its own.
type lab struct {
	*rig.Rig
	build  build
	net    *machine.Net
	hosts  map[string]*machine.Host
	disks  map[string]*machine.Disk // of the coordinators, if they have any
	broker *exec.Cmd                // nil: the first coordinator embeds one
	where  *machine.Host            // the broker's
}

// A plan says what fleet to found.
type plan struct {
	build  build
	agents int
	disks  bool     // a disk of its own for each coordinator
	broker bool     // mosquitto, in a process of its own
	under  []string // a command that each daemon is run by
}

var founded atomic.Int64

// found brings a fleet of three coordinators up. Whoever calls it closes it.
func found(ctx context.Context, p plan) (l *lab, err error) {
	run, err := theRun()
	if err != nil {
		return nil, err
	}
	bin, err := p.build.bin()
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("fleet%d", founded.Add(1))
	dir := filepath.Join(run.Dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	l = &lab{build: p.build, hosts: map[string]*machine.Host{}, disks: map[string]*machine.Disk{}}
	if l.net, err = run.Net(); err != nil {
		return nil, err
	}
	o := rig.Options{Bin: bin, Coordinators: 3, Agents: p.agents, Dir: dir}
	if p.broker {
		if err := l.newBroker(dir); err != nil {
			return nil, err
		}
		o.Broker = "tcp://" + l.where.Address + ":1883"
	}
	o.Place = func(node string, role fleet.Role) (rig.Place, error) {
		host, err := l.net.Host()
		if err != nil {
			return rig.Place{}, err
		}
		l.hosts[node] = host
		place := rig.Place{Host: host.Address, Under: host.Under(p.under...)}
		if p.disks && role == fleet.Coordinator {
			if l.disks[node], err = run.Disk(name + "-" + node); err != nil {
				return place, err
			}
			place.StateDir = filepath.Join(l.disks[node].Dir, "state")
		}
		return place, nil
	}
	if l.Rig, err = rig.New(o); err != nil {
		return nil, errors.Join(err, l.stopBroker())
	}
	begun := l
	defer func() {
		if err != nil {
			err = errors.Join(err, begun.close())
		}
	}()
	if err := l.startBroker(); err != nil {
		return nil, err
	}
	if err := l.Start(ctx, func(string) {}); err != nil {
		return nil, err
	}
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if _, err := l.Healthy(limit, model); err != nil {
		return nil, fmt.Errorf("found a fleet: %w\n%s", err, l.lastWords())
	}
	return l, nil
}

// close ends the fleet; its files stay until the run ends.
func (l *lab) close() error { return errors.Join(l.Close(), l.stopBroker()) }

// done closes the fleet when its suite is over. Of one that went wrong the logs are
// kept, and err says where.
func (l *lab) done(err *error) {
	if *err != nil && l.build == "" { // of a sabotaged one it is no news
		*err = errors.Join(*err, l.keep())
	}
	*err = errors.Join(*err, l.close())
}

// keep copies the logs to where they outlive the run, with what each coordinator was
// doing at the end (SIGQUIT makes it say so), and how busy the machine was.
func (l *lab) keep() error {
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err
	}
	for _, n := range l.Coordinators {
		n.MayEnd()
		if pid := n.PID(); pid != 0 {
			_ = syscall.Kill(pid, syscall.SIGQUIT) // one that is gone has said it all
		}
		select {
		case <-n.Ended():
		case <-time.After(2 * time.Second):
		}
	}
	dir, err := os.MkdirTemp("", "prime-spark-chaos-logs-")
	if err != nil {
		return err
	}
	for _, n := range append(slices.Clone(l.Coordinators), l.Agents...) {
		raw, err := os.ReadFile(n.Log())
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, n.Name+".log"), raw, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("the logs are in %s; load averages: %s", dir, strings.TrimSpace(string(load)))
}

// lastWords are the ends of all logs, for an error.
func (l *lab) lastWords() string {
	var b strings.Builder
	for _, n := range l.Coordinators {
		raw, err := os.ReadFile(n.Log())
		if err != nil {
			raw = []byte(err.Error())
		}
		lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
		fmt.Fprintf(&b, "--- %s\n%s\n", n.Name, strings.Join(lines[max(0, len(lines)-12):], "\n"))
	}
	return b.String()
}

func (l *lab) newBroker(dir string) (err error) {
	if l.where, err = l.net.Host(); err != nil {
		return err
	}
	config := filepath.Join(dir, "mosquitto.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, "listener 1883 %s\nallow_anonymous true\n", l.where.Address), 0o644); err != nil {
		return err
	}
	line := l.where.Under("env", "PATH=/usr/sbin:/usr/bin", "mosquitto", "-c", config)
	l.broker = exec.Command(line[0], line[1:]...)
	return nil
}

// startBroker runs the broker, the first time or again.
func (l *lab) startBroker() error {
	if l.broker == nil {
		return nil
	}
	l.broker = exec.Command(l.broker.Args[0], l.broker.Args[1:]...)
	l.broker.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // of a thread that Go does not end
	return l.broker.Start()
}

// stopBroker kills it.
func (l *lab) stopBroker() error {
	if l.broker == nil || l.broker.Process == nil {
		return nil
	}
	err := l.broker.Process.Kill()
	_ = l.broker.Wait() // its error is that it was killed
	l.broker.Process = nil
	return err
}

// follower returns a coordinator that does not lead.
func (l *lab) follower(leader *rig.Node) *rig.Node { return l.others(leader)[0] }

// others are the coordinators without one.
func (l *lab) others(one *rig.Node) (all []*rig.Node) {
	for _, n := range l.Coordinators {
		if n != one {
			all = append(all, n)
		}
	}
	return all
}

// hostsOf are the hosts of nodes.
func (l *lab) hostsOf(nodes ...*rig.Node) (all []*machine.Host) {
	for _, n := range nodes {
		all = append(all, l.hosts[n.Name])
	}
	return all
}

// leader waits for one.
func (l *lab) leader(ctx context.Context) (n *rig.Node, err error) {
	err = within(ctx, 20*time.Second, "a leader", func(ctx context.Context) error {
		n, err = l.Leader(ctx)
		return err
	})
	return n, err
}

// leads waits until one of nodes leads, in the eyes of all of them.
func (l *lab) leads(ctx context.Context, limit time.Duration, among ...*rig.Node) error {
	var clients []*wire.Client
	for _, n := range among {
		c := l.Client(n)
		c.Stale = true
		clients = append(clients, c)
	}
	return promised(ctx, limit, "a leader among the others", func(ctx context.Context) error {
		for _, c := range clients {
			s, err := c.Status(ctx)
			if err != nil {
				return err
			}
			if !named(among, s.Leader) {
				return fmt.Errorf("%q leads", s.Leader)
			}
		}
		return nil
	})
}

func named(nodes []*rig.Node, name string) bool {
	for _, n := range nodes {
		if n.Name == name {
			return true
		}
	}
	return false
}

// agree waits until all coordinators are healthy and have all that any of them had at
// first; when nobody writes, that is the same state at the same index. Different
// states at one index are a violation, whenever they are seen.
func (l *lab) agree(ctx context.Context, limit time.Duration) error {
	healthy, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if _, err := l.Healthy(healthy, model); err != nil {
		if ctx.Err() != nil {
			return err
		}
		return broken("not healthy after %v: %v", limit, err)
	}
	var clients []*wire.Client
	for _, n := range l.Coordinators {
		c := l.Client(n)
		c.Stale = true
		clients = append(clients, c)
	}
	sums, newest := map[uint64]string{}, uint64(0)
	return promised(ctx, limit, "equal states", func(ctx context.Context) error {
		var all []uint64
		for i, c := range clients {
			s, err := c.Status(ctx)
			if err != nil {
				return err
			}
			if sum, seen := sums[s.AppliedIndex]; seen && sum != s.StateChecksum {
				return broken("%s has another state at index %d: %s, not %s", l.Coordinators[i].Name, s.AppliedIndex, s.StateChecksum, sum)
			}
			sums[s.AppliedIndex] = s.StateChecksum
			all = append(all, s.AppliedIndex)
		}
		if newest == 0 {
			newest = slices.Max(all)
		}
		if slices.Min(all) < newest {
			return fmt.Errorf("the indexes are still different: %d, and %d was seen before", all, newest)
		}
		return nil
	})
}

// term is the newest that any coordinator knows.
func (l *lab) term(ctx context.Context) (uint64, error) {
	s, err := l.Client(l.Coordinators...).Status(ctx)
	return s.Term, err
}

// enroll makes a node of the cluster that is no process: its certificate is for
// whoever wants to talk like an agent.
func (l *lab) enroll(ctx context.Context, name string) (*identity.Identity, error) {
	made, err := l.Client(l.Coordinators...).CreateJoinCode(ctx, wire.JoinCodeRequest{Role: fleet.Agent, TTL: "5m", Uses: 1})
	if err != nil {
		return nil, fmt.Errorf("enroll %s: %w", name, err)
	}
	code, err := identity.ParseJoinCode(made.Code)
	if err != nil {
		return nil, fmt.Errorf("enroll %s: %w", name, err)
	}
	c, err := identity.Join(ctx, &net.Dialer{}, code, identity.JoinRequest{Name: name, Version: "lab"})
	if err != nil {
		return nil, fmt.Errorf("enroll %s: %w", name, err)
	}
	return identity.New(c)
}

// callers are clients that ask one coordinator each, with a token or a certificate.
func (l *lab) callers(id *identity.Identity) (all []*wire.Client) {
	for _, n := range l.Coordinators {
		c := l.Client(n)
		if id != nil {
			c = &wire.Client{BaseURLs: c.BaseURLs, HTTP: &http.Client{Transport: &http.Transport{
				TLSClientConfig: id.ClientTLS(fleet.Coordinator), ForceAttemptHTTP2: true, TLSHandshakeTimeout: 3 * time.Second,
				DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
			}}}
		}
		all = append(all, c)
	}
	return all
}
