// Package checkup is what the doctor looks at on a coordinator only: the group and the
// ways to its other members, the log, and the backups.
package checkup

import (
	"context"
	"fmt"
	"slices"

	"primespark/shared/doctor"
	"primespark/shared/wire"
)

// A Group is the raft group, as one of its coordinators tells of it.
type Group struct {
	Self    string
	Witness bool             // this coordinator only votes
	Status  *wire.StatusBody // nil: nobody could be asked
	Err     error            // why
}

// Checks are those of the group.
func (g Group) Checks() []doctor.Check {
	return []doctor.Check{{Section: "group", Name: "quorum", Look: g.quorum}, {Section: "group", Name: "this one", Look: g.own}}
}

func (g Group) quorum(context.Context) []doctor.Result {
	if g.Status == nil {
		return []doctor.Result{{
			Severity: doctor.Warning, Code: "group.unknown", Detail: fmt.Sprintf("Nobody tells how the group is: %v.", g.Err),
			Remedy: "Start this one, or see that it reaches the others: sudo systemctl start prime-spark-coordinator.",
		}}
	}
	s := g.Status.Summary
	switch {
	case g.Status.Leader == "" || s.QuorumHave < s.QuorumNeed:
		return []doctor.Result{{
			Severity: doctor.Fault, Code: "group.no_quorum",
			Detail: fmt.Sprintf("The group cannot decide: alive are %d of %d voters, it takes %d, and %s leads.", s.QuorumHave, s.Voters, s.QuorumNeed, name(g.Status.Leader)),
			Remedy: "Start the other coordinators, and see that this one reaches them. If they are gone for good: sudo prime-spark-coordinator recover --from-one, with the daemon stopped.",
		}}
	case s.QuorumHave < s.Voters:
		return []doctor.Result{{
			Severity: doctor.Warning, Code: "group.voter_lost",
			Detail: fmt.Sprintf("%s leads in term %d; alive are %d of %d voters, and it takes %d.", g.Status.Leader, g.Status.Term, s.QuorumHave, s.Voters, s.QuorumNeed),
			Remedy: "Bring those back that are not alive, or take one that is gone for good out of the group: prime-spark revoke NAME.",
		}}
	}
	found := doctor.One(doctor.OK, fmt.Sprintf("%s leads in term %d; alive are %d of %d voters, and it takes %d", g.Status.Leader, g.Status.Term, s.QuorumHave, s.Voters, s.QuorumNeed), "")
	if g.Status.Advice != "" {
		found = append(found, doctor.Result{Severity: doctor.Info, Code: "group.size", Detail: fmt.Sprintf("Number of voters: %d.", s.Voters), Remedy: g.Status.Advice})
	}
	return found
}

func name(leader string) string {
	if leader == "" {
		return "nobody"
	}
	return leader
}

// farBehind is how many changes a coordinator may have to carry out yet that is well:
// some seconds of a busy fleet.
const farBehind = 1000

// own looks at this coordinator's place in the group.
func (g Group) own(context.Context) []doctor.Result {
	if g.Status == nil {
		return nil
	}
	i := slices.IndexFunc(g.Status.Coordinators, func(c wire.Coordinator) bool { return c.Name == g.Self })
	if i < 0 || g.Status.Removed {
		return []doctor.Result{{
			Severity: doctor.Fault, Code: "group.removed", Detail: "The others do not count this coordinator any more: it was taken out of the group, or revoked.",
			Remedy: "Stop it, move its state_dir away, and have it join anew: prime-spark join-code create --role coordinator, then prime-spark-coordinator join.",
		}}
	}
	c := g.Status.Coordinators[i]
	switch {
	case !c.Voter:
		return []doctor.Result{{
			Severity: doctor.Info, Code: "group.no_voter", Detail: "It follows the group, and does not vote yet.",
			Remedy: "It votes once it has caught up; if it does not within minutes, look whether the others reach its raft.listen.",
		}}
	case c.Behind != nil && *c.Behind > farBehind:
		return []doctor.Result{{
			Severity: doctor.Warning, Code: "group.behind", Detail: fmt.Sprintf("It has %d agreed changes to carry out yet.", *c.Behind),
			Remedy: "It catches up by itself; if the number grows, its disk or its link to the leader is too slow.",
		}}
	}
	role := c.Role
	if g.Witness {
		role = wire.RoleWitness
	}
	return doctor.One(doctor.OK, "It votes, as "+role, "")
}
