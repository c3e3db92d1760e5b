package dispatch

import (
	"fmt"
	"strings"
	"time"

	"primespark/coordinator/route"
	"primespark/shared/fleet"
	"primespark/shared/problem"
)

// hope orders the failures of several tries: the higher, the more it helps the
// client to hear of this one.
func hope(c problem.Code) int {
	switch c {
	case problem.Busy:
		return 5
	case problem.NotReady, problem.NoCapacity:
		return 4
	case problem.Deadline:
		return 3
	case problem.Unexpected:
		return 2
	case problem.NotFound:
		return 1
	}
	return 0
}

// nobody is the problem of a request without a candidate: the model is nowhere,
// or those that have it cannot answer now.
func nobody(model string, c route.Choice, view fleet.View) *problem.Error {
	var able []string
	agents, starting := 0, false
	for _, n := range view {
		if n.Role != fleet.Agent {
			continue
		}
		agents++
		starting = starting || n.Liveness == fleet.Alive && !n.Vital.Ready
		for _, s := range n.Vital.Models {
			if s.Name == model {
				able = append(able, n.Name)
			}
		}
	}
	if agents > 0 && len(able) == 0 && !starting {
		return problem.New(problem.NotFound, "prime-spark models lists the models that there are.", "No agent has the model %q.", model)
	}
	detail := "There is no agent."
	switch {
	case len(able) > 0:
		detail = fmt.Sprintf("No agent with the model %q can answer now: %s.", model, reasons(c, able))
	case agents > 0:
		detail = fmt.Sprintf("No agent has the model %q yet, and some are still starting.", model)
	}
	return &problem.Error{
		Code: problem.NoCapacity, Detail: detail, RetryAfter: 2 * time.Second,
		Remedy: "Try again in a few seconds; prime-spark route explain tells of each agent why.",
	}
}

// reasons lists why those nodes were rejected, three at most.
func reasons(c route.Choice, names []string) string {
	var out []string
	for _, r := range c.Rejected {
		for _, n := range names {
			if r.Node == n && len(out) < 3 {
				out = append(out, n+" "+r.Reason)
			}
		}
	}
	return strings.Join(out, "; ")
}

// late is the problem of a request whose time is over.
func late(model string, cause *problem.Error) *problem.Error {
	return &problem.Error{
		Code: problem.Deadline, Err: cause,
		Detail: fmt.Sprintf("No agent answered for the model %q in the time that was given.", model),
		Remedy: "Give more time with X-Deadline-Ms, or try again.",
	}
}
