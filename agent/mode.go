package agent

import "primespark/shared/fleet"

// modeOf tells how much of the cluster a node sees: normal if a coordinator is
// alive that has a quorum, isolated if nobody else is alive.
func modeOf(self string, view fleet.View) fleet.Mode {
	mode := fleet.Isolated
	for _, n := range view {
		if n.Name == self || n.Liveness != fleet.Alive {
			continue
		}
		if n.Role == fleet.Coordinator && n.Vital.Mode == fleet.Normal {
			return fleet.Normal
		}
		mode = fleet.Degraded
	}
	return mode
}
