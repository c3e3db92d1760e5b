package coordinator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"slices"
	"syscall"

	"primespark/coordinator/api"
	"primespark/coordinator/config"
	"primespark/coordinator/consensus"
	"primespark/coordinator/enroll"
	"primespark/coordinator/fsm"
	"primespark/shared/identity"
	"primespark/shared/logs"
	"primespark/shared/netlimit"
	"primespark/shared/problem"
)

// crowd is how many connections the API's port holds: a fleet of a thousand agents has
// two or three each, besides people's and programs'.
var crowd = netlimit.Limits{All: 16384, Host: 512}

// brokerCrowd is the same of the embedded broker.
var brokerCrowd = netlimit.Limits{All: 4096, Host: 256}

// ports are the listeners of a coordinator; loopback and mqtt may be nil, and on
// a witness api is.
type ports struct {
	raft, api, loopback, mqtt net.Listener
	reached                   identity.Addresses // where the others reach them
	lone                      bool               // that is on this host only: it has no address yet
}

// listen opens all ports, or none.
func listen(ctx context.Context, cfg config.Config, out Outside) (p *ports, err error) {
	p = &ports{}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	for _, one := range []struct {
		into    *net.Listener
		key, at string
		wanted  bool
	}{
		{&p.raft, "raft.listen", cfg.Raft.Listen, true},
		{&p.api, "http.listen", cfg.HTTP.Listen, cfg.Role != config.Witness},
		{&p.loopback, "http.loopback", cfg.HTTP.Loopback, cfg.HTTP.Loopback != ""},
		{&p.mqtt, "mqtt.listen", cfg.MQTT.Listen, cfg.MQTT.Embedded},
	} {
		if !one.wanted {
			continue
		}
		if *one.into, err = out.Listen(ctx, "tcp", one.at); err != nil {
			return p, inUse(one.key, one.at, err)
		}
	}
	own, err := out.own()
	if err != nil {
		return p, err
	}
	p.reached, p.lone, err = p.where(addresses{cfg.HTTP.Advertise, cfg.Raft.Advertise}, own)
	return p, err
}

// Close closes what no part has closed yet.
func (p *ports) Close() error {
	var errs []error
	for _, l := range []net.Listener{p.raft, p.api, p.loopback, p.mqtt} {
		if l == nil {
			continue
		}
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// tls is how the API's port is served: certificates are asked for, so that nodes
// can show theirs, and not demanded, since people have tokens.
func (p *ports) tls(cfg config.Config, id *identity.Identity) *tls.Config {
	if cfg.HTTP.TLS == "off" {
		return nil
	}
	return id.ServerTLS(tls.VerifyClientCertIfGiven)
}

// inUse words an address that cannot be listened on.
func inUse(key, address string, err error) error {
	remedy := "Choose another one with " + key + "."
	if errors.Is(err, syscall.EADDRINUSE) {
		remedy = "Stop the program that uses it (another coordinator?), or choose another one with " + key + "."
	}
	return &problem.Error{Code: problem.Conflict, Err: err, Detail: fmt.Sprintf("The coordinator cannot listen on %s.", address), Remedy: remedy}
}

func address(l net.Listener) string {
	if l == nil {
		return ""
	}
	return l.Addr().String()
}

// part names the part in its log.
func part(log *slog.Logger, name string) *slog.Logger { return log.With(logs.PartKey, name) }

func sorted(all iter.Seq[string]) []string { return slices.Sorted(all) }

// apiStanding words the raft group for the API.
func apiStanding(s consensus.Status) api.Standing {
	a := api.Standing{Role: s.Role, Leader: s.Leader, Term: s.Term, LastContact: s.LastContact}
	for _, server := range s.Servers {
		a.Servers = append(a.Servers, api.Peer{Name: server.Name, Address: server.Address, Voter: server.Voter})
	}
	return a
}

// enrollment is the enroller as the API uses it.
type enrollment struct{ *enroll.Enroller }

// NewCode makes a join code.
func (e enrollment) NewCode(ctx context.Context, actor string, spec api.CodeSpec) (string, fsm.Code, error) {
	return e.Enroller.NewCode(ctx, actor, enroll.CodeSpec{
		Role: spec.Role, TTL: spec.TTL, Uses: spec.Uses, Rejoin: spec.Rejoin, Hold: spec.Hold, Seed: spec.Seed, Call: spec.Call,
	})
}
