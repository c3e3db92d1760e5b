package coordinator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"primespark/coordinator/checkup"
	"primespark/coordinator/config"
	"primespark/coordinator/consensus"
	"primespark/shared/doctor"
	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/mesh"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

// Examine looks at this coordinator as a support engineer would. It may run or not;
// where one of the group runs, what it knows is asked for. dial is the way out; nil:
// the host's network.
func Examine(ctx context.Context, cfg config.Config, dial func(ctx context.Context, network, address string) (net.Conn, error)) doctor.Report {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	id, err := identity.Load(identityDir(cfg))
	p := &patient{cfg: cfg, id: id, dial: dial, refused: err}
	p.ask(ctx)
	checks := append(p.Checks(), p.Group()...)
	for _, part := range []interface{ Checks() []doctor.Check }{
		doctor.Host{},
		doctor.State{Dir: cfg.StateDir},
		checkup.Log{Running: p.running(), Busy: consensus.ErrBusy, Verify: func() error { return consensus.Verify(raftDir(cfg)) }},
		p.backups(),
		doctor.Membership{
			Role: fleet.Coordinator, Dir: identityDir(cfg), Ports: portsOf(cfg),
			Running: func(context.Context) bool { return p.running() },
		},
		p.mesh(),
	} {
		checks = append(checks, part.Checks()...)
	}
	r := doctor.Run(ctx, cfg.Name, checks)
	if p.status != nil {
		r.Tell("group", p.status)
	}
	if p.running() {
		r.Tell("coordinator", p.ready)
	}
	return r
}

// A patient is a coordinator that is looked at: what it and the group say of it.
type patient struct {
	cfg     config.Config
	id      *identity.Identity // nil: refused says why
	refused error
	dial    func(ctx context.Context, network, address string) (net.Conn, error)

	silent  error // why the coordinator of this host was not asked; nil: it runs, and said ready
	ready   wire.ReadyBody
	status  *wire.StatusBody // of the group; nil: unasked says why
	unasked error
	report  *mesh.Report // of this coordinator's end of the mesh
}

func (p *patient) running() bool { return p.silent == nil }

// examineTime bounds the asking of one coordinator.
const examineTime = 5 * time.Second

// ask asks this host's coordinator how it is, and then whoever answers how the group
// is.
func (p *patient) ask(ctx context.Context) {
	p.silent, p.unasked = errNobody, errNobody
	if p.id == nil {
		p.silent, p.unasked = p.refused, p.refused
		return
	}
	own := ownAPI(p.cfg)
	client, hangUp := p.client(own)
	defer hangUp()
	short, cancel := context.WithTimeout(ctx, examineTime)
	defer cancel()
	p.ready, p.silent = client.Ready(short)

	var all []string
	if p.cfg.Role != config.Witness && p.running() {
		all = append(all, own)
	}
	for _, address := range p.id.Peers().API {
		all = append(all, "https://"+address)
	}
	if len(all) == 0 {
		p.unasked = p.silent
		return
	}
	client, done := p.client(all...)
	defer done()
	long, stop := context.WithTimeout(ctx, 2*examineTime)
	defer stop()
	status, err := client.Status(long)
	if p.unasked = err; err != nil {
		return
	}
	p.status = &status
	if !p.cfg.Mesh.Enabled {
		return
	}
	view, err := client.MeshView(long)
	if err != nil {
		return // the check of the mesh says that nothing is known
	}
	if i := slices.IndexFunc(view.Nodes, func(n wire.MeshNodeBody) bool { return n.Name == p.cfg.Name }); i >= 0 {
		p.report = view.Nodes[i].Report
	}
}

// errNobody says that no coordinator runs on this host.
var errNobody = errors.New("no coordinator runs here")

// client speaks to coordinators as this one does.
func (p *patient) client(bases ...string) (c *wire.Client, hangUp func()) {
	t := &http.Transport{DialContext: p.dial, TLSClientConfig: p.id.ClientTLS(fleet.Coordinator), TLSHandshakeTimeout: examineTime, ForceAttemptHTTP2: true}
	return &wire.Client{BaseURLs: bases, HTTP: &http.Client{Transport: t}, Stale: true}, t.CloseIdleConnections
}

// ownAPI is where the coordinator of a configuration answers its own host.
func ownAPI(cfg config.Config) string {
	scheme, at := "https://", cfg.HTTP.Listen
	switch {
	case cfg.Role == config.Witness:
		scheme, at = "http://", cfg.HTTP.Loopback
	case cfg.HTTP.TLS == "off":
		scheme = "http://"
	}
	host, port, err := net.SplitHostPort(at)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		at = net.JoinHostPort("127.0.0.1", port)
	}
	return scheme + at
}

// portsOf are the ports that a coordinator listens on.
func portsOf(cfg config.Config) []doctor.Port {
	all := append(doctor.Gossiping(cfg.Gossip.Listen), doctor.Port{Key: "raft.listen", Network: "tcp", Address: cfg.Raft.Listen})
	if cfg.Role != config.Witness {
		all = append(all, doctor.Port{Key: "http.listen", Network: "tcp", Address: cfg.HTTP.Listen})
	}
	if cfg.HTTP.Loopback != "" {
		all = append(all, doctor.Port{Key: "http.loopback", Network: "tcp", Address: cfg.HTTP.Loopback})
	}
	if cfg.MQTT.Embedded {
		all = append(all, doctor.Port{Key: "mqtt.listen", Network: "tcp", Address: cfg.MQTT.Listen})
	}
	return all
}

// Checks are those of the daemon.
func (p *patient) Checks() []doctor.Check {
	return []doctor.Check{{Section: "coordinator", Name: "daemon", Look: p.daemon}}
}

func (p *patient) daemon(context.Context) []doctor.Result {
	switch {
	case errors.Is(p.silent, fs.ErrNotExist):
		return nil // the check of the membership tells that there is none
	case errors.Is(p.silent, fs.ErrPermission):
		return doctor.One(doctor.Info, "Whether a coordinator runs here is not known: its identity may not be read by this user.", "Run it with sudo.")
	case errors.Is(p.silent, syscall.ECONNREFUSED), errors.Is(p.silent, errNobody):
		return doctor.One(doctor.Info, "No coordinator runs here now.", "sudo systemctl start prime-spark-coordinator, or prime-spark-coordinator run.")
	case p.silent != nil:
		return doctor.One(doctor.Fault, "The coordinator of this host does not answer: "+why(p.silent)+".", "journalctl -u prime-spark-coordinator -n 50, then sudo systemctl restart prime-spark-coordinator.")
	}
	found := doctor.One(doctor.OK, fmt.Sprintf("%s runs, %s of cluster %s", p.cfg.Name, p.cfg.Role, p.id.ID().Cluster), "")
	for severity, reasons := range map[doctor.Severity][]wire.Reason{doctor.Fault: p.ready.Reasons, doctor.Warning: p.ready.Warnings} {
		for _, c := range reasons {
			found = append(found, doctor.Result{Severity: severity, Code: c.Code, Detail: c.Detail, Remedy: c.Remedy})
		}
	}
	slices.SortStableFunc(found[1:], func(a, b doctor.Result) int { return strings.Compare(a.Code, b.Code) })
	return found
}

// why is the reason at the bottom of an error, which a problem's own words leave out.
func why(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*problem.Error](err); ok && e.Err != nil {
		return e.Err.Error()
	}
	return strings.TrimSuffix(err.Error(), ".")
}
