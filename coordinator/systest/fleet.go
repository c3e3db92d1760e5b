// Package systest runs whole fleets in one process: real coordinators and real
// agents, with raft, gossip, TLS and inference, on a network that can be cut and
// under a clock that waits for nobody. It is for tests only.
package systest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"primespark/agent"
	agentconfig "primespark/agent/config"
	"primespark/coordinator"
	"primespark/coordinator/config"
	"primespark/coordinator/enroll"
	"primespark/shared/conf"
	"primespark/shared/fleet"
	"primespark/shared/gossip"
	"primespark/shared/gossiptest"
	"primespark/shared/identity"
	"primespark/shared/pipenet"
	"primespark/shared/run"
	"primespark/shared/wire"
)

// Model is the one that every agent has.
const Model = "blazeface"

// The ports of every host.
const apiPort, raftPort, gossipPort, agentPort = ":7480", ":7481", ":7482", ":7490"

// A Fleet is coordinators c1, c2, ... and agents pi-1, pi-2, ..., each on a host
// of its own.
type Fleet struct {
	t      *testing.T
	net    pipenet.Net
	gossip *gossiptest.Net
	dir    string
	token  string // the operator's
	roots  *x509.CertPool
	nodes  map[string]*process
	log    *lockedBuffer
	life   time.Duration // of certificates; 0: as always
}

// A process is one node, running or not.
type process struct {
	name, dir string
	role      fleet.Role
	host      *pipenet.Host
	stop      context.CancelFunc
	done      chan struct{}
	killed    *atomic.Bool  // nobody minds what Run returns then
	disk      Disk          // that the watchdog sees
	broker    bool          // embedded; from the next start on
	every     time.Duration // between samples of an agent; an hour if 0
	witness   bool          // a coordinator that only votes
	companion string        // the agent on a coordinator's host; from the next start on
	battery   bool          // an agent has one and no mains; from the next start on

	tune      func(*config.Config) // of a coordinator, from the next start on
	outside   func(*coordinator.Outside)
	tuneAgent func(*agentconfig.Config) // of an agent
}

// Test runs a story in a bubble with a fleet that has come up: all agents are
// alive and ready, and all coordinators vote and hear everybody. At its end the fleet stops; a node
// that failed, or a goroutine that stays, fails the test.
func Test(t *testing.T, coordinators, agents int, story func(t *testing.T, f *Fleet)) {
	t.Helper()
	TestLife(t, 0, coordinators, agents, story)
}

// TestLife is Test with certificates that live so long instead of 30 days, of
// which no test has the time.
func TestLife(t *testing.T, life time.Duration, coordinators, agents int, story func(t *testing.T, f *Fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &Fleet{t: t, gossip: gossiptest.New(0, 1), dir: t.TempDir(), nodes: map[string]*process{}, log: &lockedBuffer{}, life: life}
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("the nodes' logs:\n%s", f.log)
			}
		})
		defer f.stop()
		f.found()
		for i := 2; i <= coordinators; i++ {
			f.join(fmt.Sprintf("c%d", i), fleet.Coordinator)
		}
		for i := 1; i <= agents; i++ {
			f.join(fmt.Sprintf("pi-%d", i), fleet.Agent)
		}
		f.WaitHealthy(coordinators, agents)
		f.settle()
		story(t, f)
	})
}

// found makes the cluster on c1 and starts it.
func (f *Fleet) found() {
	f.t.Helper()
	p := f.process("c1", fleet.Coordinator)
	made, err := enroll.Init(enroll.Founding{
		Dir: filepath.Join(p.dir, "identity"), Cluster: "test", Name: p.name, Addresses: p.addresses(), Life: f.life,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.token = made.Token
	id, err := identity.Load(filepath.Join(p.dir, "identity"))
	if err != nil {
		f.t.Fatal(err)
	}
	f.roots = x509.NewCertPool()
	f.roots.AddCert(id.CA())
	f.Start("c1")
}

// join makes a node a member by a join code and starts it.
func (f *Fleet) join(name string, role fleet.Role) {
	f.t.Helper()
	f.enter(f.process(name, role))
}

// enter has a node join that has a host, and starts it.
func (f *Fleet) enter(p *process) {
	f.t.Helper()
	name, role := p.name, p.role
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	made := retry(ctx, f, "make a join code", func() (wire.JoinCodeBody, error) {
		return f.client().CreateJoinCode(ctx, wire.JoinCodeRequest{Role: role})
	})
	code, err := identity.ParseJoinCode(made.Code)
	if err != nil {
		f.t.Fatal(err)
	}
	got, err := identity.Join(ctx, dialer{p.host}, code, identity.JoinRequest{Name: name, Addresses: p.addresses()})
	if err != nil {
		f.t.Fatalf("%s cannot join: %v", name, err)
	}
	if err := got.Save(filepath.Join(p.dir, "identity")); err != nil {
		f.t.Fatal(err)
	}
	f.Start(name)
}

// process makes the host of a node.
func (f *Fleet) process(name string, role fleet.Role) *process {
	p := &process{name: name, role: role, dir: filepath.Join(f.dir, name), host: f.net.Host(fmt.Sprintf("10.77.0.%d", len(f.nodes)+1))}
	f.nodes[name] = p
	return p
}

func (p *process) addresses() identity.Addresses {
	ip := p.host.Name()
	if p.witness {
		return identity.Addresses{Raft: ip + raftPort, Gossip: ip + gossipPort}
	}
	if p.role == fleet.Agent {
		return identity.Addresses{API: ip + agentPort, Gossip: ip + gossipPort}
	}
	return identity.Addresses{API: ip + apiPort, Raft: ip + raftPort, Gossip: ip + gossipPort}
}

// Start runs a node that does not run.
func (f *Fleet) Start(name string) {
	f.t.Helper()
	p := f.nodes[name]
	if p.done != nil {
		<-p.done // its last life may still be putting its things away
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.stop, p.done, p.killed = cancel, make(chan struct{}), new(atomic.Bool)
	log := slog.New(slog.NewTextHandler(f.log, nil))
	talk := func(c *gossip.Config) {
		transport, err := f.gossip.Transport(p.host, gossipPort)
		if err != nil {
			f.t.Errorf("gossip of %s: %v", name, err)
			return
		}
		c.Transport = transport
		f.underlay(c, p)
	}
	go func() { // waited for by Kill and stop
		defer close(p.done)
		var err error
		if p.role == fleet.Coordinator {
			out := coordinator.Outside{Log: log, CertificateLife: f.life, Listen: p.host.Listen, Dial: p.host.Dial, Gossip: talk, Disk: &p.disk}
			if p.outside != nil {
				p.outside(&out)
			}
			err = coordinator.Run(ctx, p.coordinator(), out)
		} else {
			err = agent.Run(ctx, p.agent(), agent.Outside{Log: log, Listen: p.host.Listen, Dial: p.host.Dial, Gossip: talk})
		}
		if err != nil && !p.killed.Load() {
			f.t.Errorf("%s failed: %v", name, err)
		}
	}()
}

func (p *process) coordinator() config.Config {
	c := config.Default()
	a := p.addresses()
	c.Name, c.StateDir = p.name, p.dir
	c.HTTP.Advertise, c.Raft.Advertise, c.Gossip.Advertise = a.API, a.Raft, a.Gossip
	c.MQTT.Embedded, c.Node = p.broker, p.companion
	if p.witness {
		c.Role, c.HTTP.Loopback = config.Witness, probesPort
	}
	if p.tune != nil {
		p.tune(&c)
	}
	return c
}

func (p *process) agent() agentconfig.Config {
	c := agentconfig.Default()
	// A fleet of this host's has no business with its chip, or its libraries.
	c.Hailo.Enabled, c.ONNX.Enabled = agentconfig.Off, agentconfig.Off
	a := p.addresses()
	c.Name, c.StateDir, c.HTTP.Socket = p.name, p.dir, ""
	c.HTTP.Advertise, c.Gossip.Advertise = a.API, a.Gossip
	c.Infer.Threads = 1
	if p.battery {
		c.Battery.Source, c.Battery.Script = "sim", []agentconfig.Point{{SoC: 0.9, Load: 5}}
	}
	c.Telemetry.Every = conf.Duration(cmp.Or(p.every, time.Hour)) // the host of the test is not what is tested
	if p.tuneAgent != nil {
		p.tuneAgent(&c)
	}
	return c
}

// Kill ends a node as SIGKILL and a cut cable do: nobody hears a word from it.
func (f *Fleet) Kill(name string) {
	p := f.nodes[name]
	p.killed.Store(true)
	f.net.Isolate(p.host.Name())
	f.net.Kill(p.host.Name())
	p.stop()
	<-p.done
}

// Crash ends a node as SIGKILL does on a host that stays up: its connections are
// reset, and nobody hears another word from it. It takes no time.
func (f *Fleet) Crash(name string) {
	p := f.nodes[name]
	f.net.Kill(p.host.Name())
	f.Unplug(name)
}

// Unplug is Kill that takes no time.
func (f *Fleet) Unplug(name string) {
	p := f.nodes[name]
	p.killed.Store(true)
	f.net.Isolate(p.host.Name())
	p.stop()
}

// Freeze lets a node hear the others and never answer, as a process that was
// stopped (SIGSTOP) does whose kernel goes on; Heal takes it back.
func (f *Fleet) Freeze(name string) {
	for other, p := range f.nodes {
		if other != name {
			f.net.CutOneWay(f.nodes[name].host.Name(), p.host.Name())
		}
	}
}

// Cut severs the link between two nodes.
func (f *Fleet) Cut(a, b string) { f.net.Cut(f.nodes[a].host.Name(), f.nodes[b].host.Name()) }

// Hush holds back what one node says to another; what comes the other way arrives.
func (f *Fleet) Hush(from, to string) {
	f.net.CutOneWay(f.nodes[from].host.Name(), f.nodes[to].host.Name())
}

// CutOff severs a node from all other nodes; operators still reach it.
func (f *Fleet) CutOff(name string) {
	for other := range f.nodes {
		if other != name {
			f.Cut(name, other)
		}
	}
}

// Revive starts a node that was killed.
func (f *Fleet) Revive(name string) {
	f.t.Helper()
	f.net.Heal(f.nodes[name].host.Name())
	f.Start(name)
}

// Isolate cuts a node off from all others, which its process survives.
func (f *Fleet) Isolate(name string) { f.net.Isolate(f.nodes[name].host.Name()) }

// Heal takes back every cut.
func (f *Fleet) Heal() { f.net.Heal() }

// stop ends all nodes.
func (f *Fleet) stop() {
	f.net.Heal()
	var all sync.WaitGroup
	for _, p := range f.nodes {
		if p.done != nil {
			p.stop()
			all.Go(func() { <-p.done })
		}
	}
	all.Wait()
	time.Sleep(time.Minute) // memberlist lets its last probes run out
}

// Via returns a client of the operator that talks to the coordinators named, or
// to all that run.
func (f *Fleet) Via(names ...string) *Client {
	host := f.net.Host("10.77.1.1")
	transport := &http.Transport{DialContext: host.Dial, TLSClientConfig: &tls.Config{RootCAs: f.roots, MinVersion: tls.VersionTLS13}}
	f.t.Cleanup(transport.CloseIdleConnections)
	c := &wire.Client{HTTP: &http.Client{Transport: transport}, Token: f.token}
	for _, name := range names {
		c.BaseURLs = append(c.BaseURLs, "https://"+f.nodes[name].addresses().API)
	}
	return &Client{c, f, transport}
}

func (f *Fleet) client() *wire.Client {
	var names []string
	for _, p := range f.nodes {
		if p.role == fleet.Coordinator && p.done != nil && !p.witness {
			names = append(names, p.name)
		}
	}
	return f.Via(names...).Client
}

// retry tries until it works or ctx ends, which fails the test.
func retry[T any](ctx context.Context, f *Fleet, what string, try func() (T, error)) T {
	f.t.Helper()
	for {
		v, err := try()
		if err == nil {
			return v
		}
		if !run.Sleep(ctx, 100*time.Millisecond) {
			f.t.Fatalf("%s: %v", what, err)
		}
	}
}

// A dialer is a host's as identity.Join wants it.
type dialer struct{ *pipenet.Host }

// DialContext is Host.Dial.
func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return d.Dial(ctx, network, address)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
