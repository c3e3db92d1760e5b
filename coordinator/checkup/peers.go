package checkup

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"primespark/shared/doctor"
	"primespark/shared/wire"
)

// Peers are the other coordinators, as this one finds them.
type Peers struct {
	Others []wire.Coordinator
	// Ask knocks at both doors of one.
	Ask func(ctx context.Context, c wire.Coordinator) Answer
}

// An Answer is what came of asking a coordinator.
type Answer struct {
	Raft, API error         // why there was none; nil also for a door that it has not
	Took      time.Duration // of the handshake on the raft port
	Version   string
	Ahead     time.Duration // its clock before this host's, to within a second; 0 if it did not tell
}

// Checks are those of the others.
func (p Peers) Checks() []doctor.Check {
	if len(p.Others) == 0 {
		return nil
	}
	return []doctor.Check{{Section: "group", Name: "others", Look: p.look}}
}

// askTime bounds the asking of one; all are asked at once.
const askTime = 5 * time.Second

// apart is how far two clocks may be apart. A coordinator's clock is in what it
// proposes, and certificates begin and end by it.
const apart = 2 * time.Second

const doors = "On it: sudo systemctl status prime-spark-coordinator. Between the two no firewall may drop 7480/tcp (API) and 7481/tcp (raft)."

func (p Peers) look(ctx context.Context) (found []doctor.Result) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	answers := make([]Answer, len(p.Others))
	var all sync.WaitGroup
	for i, c := range p.Others {
		all.Go(func() { answers[i] = p.Ask(ctx, c) })
	}
	all.Wait()
	var well []string
	for i, c := range p.Others {
		a := answers[i]
		trouble := false
		for _, door := range []struct {
			name, address string
			err           error
		}{{"raft", c.Raft, a.Raft}, {"API", c.API, a.API}} {
			if door.err != nil {
				trouble = true
				found = append(found, doctor.Result{
					Severity: doctor.Warning, Code: "group.unreachable", Remedy: doors,
					Detail: fmt.Sprintf("%s does not answer at %s (%s): %v.", c.Name, door.address, door.name, door.err),
				})
			}
		}
		if a.Ahead.Abs() > apart {
			trouble = true
			found = append(found, doctor.Result{
				Severity: doctor.Warning, Code: "group.clock", Remedy: "sudo timedatectl set-ntp true on both; timedatectl timesync-status shows the server.",
				Detail: fmt.Sprintf("The clock of %s is %v %s this host's.", c.Name, a.Ahead.Abs().Round(time.Second), before(a.Ahead)),
			})
		}
		if !trouble {
			well = append(well, strings.TrimSpace(fmt.Sprintf("%s %s", c.Name, a.Version))+fmt.Sprintf(" in %.1f ms", a.Took.Seconds()*1000))
		}
	}
	if len(well) > 0 {
		found = append(found, doctor.Result{Severity: doctor.OK, Detail: "Answered: " + strings.Join(well, ", ")})
	}
	return found
}

func before(ahead time.Duration) string {
	if ahead > 0 {
		return "ahead of"
	}
	return "behind"
}
