package coordinator

import (
	"net"

	"primespark/coordinator/config"
	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/identity"
)

// companion finds the agent on the host of this coordinator: the one that the
// configuration names, or the only one whose API is announced at the same host.
// Of several nobody knows which one is meant.
func companion(cfg config.Config, at identity.Addresses, view fleet.View) (found fleet.Node, ok bool) {
	own := hostOf(at.Raft)
	for _, n := range view {
		if n.Role != fleet.Agent || n.Liveness != fleet.Alive {
			continue
		}
		if n.Name == cfg.Node {
			return n, true
		}
		if cfg.Node == "" && own != "" && hostOf(n.API) == own {
			if ok {
				return fleet.Node{}, false
			}
			found, ok = n, true
		}
	}
	return found, ok
}

// hostOf is the host of "host:port"; empty if it is none.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	return host
}

// lend puts what the companion says of the host into what this coordinator says of
// itself: the leader goes by that (lead.Yield).
func (s *seat) lend(v fleet.Vital) fleet.Vital {
	n, ok := companion(s.cfg, s.ports.reached, s.living.View().Get())
	if !ok {
		return v
	}
	v.Power, v.Temperature = n.Vital.Power, n.Vital.Temperature
	for _, code := range n.Vital.Reasons {
		if code == string(health.LowBattery) {
			v.Reasons = append(v.Reasons[:len(v.Reasons):len(v.Reasons)], code)
		}
	}
	return v
}
