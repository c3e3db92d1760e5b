package coordinator

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"primespark/shared/identity"
	"primespark/shared/netaddr"
	"primespark/shared/run"
)

// How often a coordinator looks where its host is reached, and how long another address
// has to last before it is told: a cable that is pulled and put back is no move.
const (
	roving   = 2 * time.Second
	dwelling = 10 * time.Second
)

// errMoved ends what a coordinator does at an address that is not its host's any more.
var errMoved = errors.New("the host is reached at another address")

// where finds out where the others reach this coordinator. lone tells that its host has no
// address but its own loopback's, as while it boots and waits for DHCP.
func (p *ports) where(cfg addresses, own []netip.Addr) (reached identity.Addresses, lone bool, err error) {
	if p.api != nil {
		if reached.API, err = netaddr.Advertise(cfg.api, p.api.Addr(), own); err != nil {
			return reached, false, err
		}
	}
	if reached.Raft, err = netaddr.Advertise(cfg.raft, p.raft.Addr(), own); err != nil {
		return reached, false, err
	}
	bound, err := netip.ParseAddrPort(p.raft.Addr().String())
	lone = err == nil && cfg.raft == "" && bound.Addr().IsUnspecified() && netaddr.Best(own).IsLoopback()
	return reached, lone, nil
}

// addresses are those that the configuration names, if it does.
type addresses struct{ api, raft string }

// stays reports whether what is told at an address is the same now, or reaches one of the
// host's own all the same.
func stays(told, now string, own []netip.Addr) bool {
	at, err := netip.ParseAddrPort(told)
	return told == now || err == nil && slices.ContainsFunc(own, func(a netip.Addr) bool { return a.Unmap() == at.Addr() })
}

// rove ends with errMoved when the host has no more the address that the others are told.
// One that has lost its network keeps what it had, and so does one that got a second
// address, be it a better one.
func (s *seat) rove() run.Part {
	return run.Func("addresses", func(ctx context.Context) error {
		told, lone := s.ports.reached, s.ports.lone
		told.Gossip = ""
		var since time.Time // of another address; zero: there is none
		failing := false
		for run.Sleep(ctx, roving) {
			now, nowhere := told, false
			own, err := s.own()
			if err == nil {
				now, nowhere, err = s.ports.where(s.named(), own)
			}
			switch {
			case err != nil:
				if !failing {
					s.log.Warn("cannot look at the host's addresses", "err", err)
				}
			case nowhere, !lone && stays(told.API, now.API, own) && stays(told.Raft, now.Raft, own):
				since = time.Time{}
			case since.IsZero() && !lone:
				since = time.Now()
			case lone || time.Since(since) >= dwelling:
				s.log.Info("the host's address has changed, starting anew at it", "was", told.Raft, "is", now.Raft)
				s.moving.Store(true)
				return errMoved
			}
			failing = err != nil
		}
		return nil
	})
}

func (s *seat) named() addresses { return addresses{s.cfg.HTTP.Advertise, s.cfg.Raft.Advertise} }
