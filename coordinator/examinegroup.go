package coordinator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"primespark/coordinator/checkup"
	"primespark/coordinator/config"
	"primespark/coordinator/consensus"
	"primespark/shared/doctor"
	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/mesh"
	"primespark/shared/wire"
)

// Group are the checks of the raft group and of this coordinator's place in it, for a
// host that belongs to a cluster.
func (p *patient) Group() []doctor.Check {
	if p.id == nil {
		return nil
	}
	checks := checkup.Group{Self: p.cfg.Name, Witness: p.cfg.Role == config.Witness, Status: p.status, Err: errors.New(why(p.unasked))}.Checks()
	if p.status == nil {
		return checks
	}
	var others []wire.Coordinator
	for _, c := range p.status.Coordinators {
		if c.Name != p.cfg.Name {
			others = append(others, c)
		}
	}
	checks = append(checks, checkup.Peers{Others: others, Ask: p.knock}.Checks()...)
	alive := p.status.Summary.AgentsHealthy + p.status.Summary.QuorumHave
	return append(checks, doctor.Fleet{Self: p.cfg.Name, Nodes: alive, Newest: p.status.Newest, Behind: p.status.Behind}.Checks()...)
}

// knock asks another coordinator at both of its doors.
func (p *patient) knock(ctx context.Context, c wire.Coordinator) (a checkup.Answer) {
	begin := time.Now()
	a.Raft = p.greet(ctx, c)
	a.Took = time.Since(begin)
	if c.API == "" {
		return a // a witness has none
	}
	a.Version = c.Version
	a.Ahead, a.API = p.clock(ctx, c)
	return a
}

// greet shakes hands on the raft port of another coordinator, which has to be who it is
// said to be.
func (p *patient) greet(ctx context.Context, c wire.Coordinator) error {
	conn, err := p.dial(ctx, "tcp", c.Raft)
	if err != nil {
		return err
	}
	settings := p.id.ClientTLSFor(identity.Node(c.Name, fleet.Coordinator))
	settings.NextProtos = []string{consensus.Greeting}
	secure := tls.Client(conn, settings)
	defer func() { _ = conn.Close() }() // nothing was sent on it
	return secure.HandshakeContext(ctx)
}

// clock is how far the clock of another coordinator is ahead of this host's, by the
// date of its answer, which has whole seconds.
func (p *patient) clock(ctx context.Context, c wire.Coordinator) (time.Duration, error) {
	t := &http.Transport{DialContext: p.dial, TLSClientConfig: p.id.ClientTLSFor(identity.Node(c.Name, fleet.Coordinator)), ForceAttemptHTTP2: true}
	defer t.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+c.API+wire.PathVersion, nil)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	res, err := t.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	middle := begin.Add(time.Since(begin) / 2)
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20))
	if err2 := res.Body.Close(); err == nil {
		err = err2
	}
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("it answers %s", res.Status)
	}
	if err != nil {
		return 0, err
	}
	at, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		return 0, nil // it does not tell
	}
	return at.Add(time.Second / 2).Sub(middle), nil
}

// backups are those of the configuration, as the group tells of them.
func (p *patient) backups() checkup.Backups {
	b := checkup.Backups{Configured: p.cfg.Backup.Dir != "", Every: p.cfg.Backup.Every.D(), Now: time.Now(), Known: p.status != nil}
	if p.status != nil {
		b.Last = p.status.Backup
	}
	return b
}

// mesh is this coordinator's end of the mesh, with the map that it keeps.
func (p *patient) mesh() doctor.Mesh {
	d := doctor.Mesh{Enabled: p.cfg.Mesh.Enabled, Report: p.report}
	if p.id != nil && d.Enabled {
		// A map that is missing or damaged is the same to the doctor: there is none.
		d.Map, _ = mesh.Load(p.cfg.StateDir, p.id.CA(), p.id.ID().Cluster)
	}
	d.Locals = d.Map.Locals
	return d
}
