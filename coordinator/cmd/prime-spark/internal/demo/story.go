package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"primespark/coordinator/cmd/prime-spark/internal/operator"
	"primespark/shared/cli"
	"primespark/shared/problem"
	"primespark/shared/rig"
	"primespark/shared/testphoto"
	"primespark/shared/wire"
)

// Model is the one that every agent has embedded.
const Model = "blazeface"

// face is where the photo's face is, as x1, y1, x2, y2 in pixels.
var face = [4]float64{180, 62, 268, 174}

// A story is one run of the demo. Its chapters come in order.
type story struct {
	cmd    *cobra.Command
	out    *cli.Out
	rig    *rig.Rig
	begin  time.Time
	double bool      // the first agent has a simulated accelerator
	leader *rig.Node // who led before it was killed
}

// step prints one line with the time since the beginning.
func (s *story) step(format string, args ...any) {
	s.out.Line("%s %s", cli.Faint(fmt.Sprintf("%5.1f s", time.Since(s.begin).Seconds())), fmt.Sprintf(format, args...))
}

// wait shows on a terminal what is being waited for.
func (s *story) wait(what string) (stop func()) { return cli.Progress(s.cmd, what) }

// start brings the fleet up.
func (s *story) start(ctx context.Context) error {
	s.out.Line("%d coordinators, %d agents and an MQTT broker, all on this machine, in %s", len(s.rig.Coordinators), len(s.rig.Agents), s.rig.Dir)
	if err := s.rig.Start(ctx, func(what string) { s.step("%s", what) }); err != nil {
		return err
	}
	done := s.wait("waiting until the fleet is healthy")
	status, err := s.rig.Healthy(ctx, Model)
	done()
	if err != nil {
		return err
	}
	s.step("%s %s leads.", status.Summary.Sentence, status.Leader)
	return nil
}

// photo has the fleet find the face, by a request to the leader's gateway.
func (s *story) photo(ctx context.Context) error {
	var err error
	if s.leader, err = s.rig.Leader(ctx); err != nil {
		return err
	}
	s.step("sending a photo of an astronaut to the gateway on %s", s.leader.Name)
	sent := time.Now()
	a, err := s.rig.Client(s.leader).InferImage(ctx, Model, testphoto.Astronaut(), nil)
	if err != nil {
		return err
	}
	took := time.Since(sent)
	found, err := operator.Detections(a)
	if err != nil {
		return err
	}
	for _, d := range found {
		s.step("found: %s, score %.2f, box %s px", cli.Text(d.Label), d.Score, operator.Box(d.Box))
	}
	s.step("%s", operator.Answered(a, took))
	if len(found) != 1 || len(found[0].Box) != 4 || overlap(face, [4]float64(found[0].Box)) < 0.5 {
		return problem.New(problem.Unexpected, "Look into the agents' logs, which --keep-dir keeps.",
			"The photo has one face, at %s, and that is not what was found.", operator.Box(face[:]))
	}
	return nil
}

// loseLeader kills the leader in the middle of traffic and waits until the
// others answer again, and agree to a change again.
func (s *story) loseLeader(ctx context.Context) error {
	s.step("killing the leader, %s (SIGKILL), while photos keep coming", s.leader.Name)
	done := s.wait("waiting for another leader")
	f, err := Failover(ctx, s.rig, s.leader)
	done()
	if err != nil {
		return err
	}
	s.step("the next answer came %s after the kill, from %s through %s", ms(f.Answer), f.Node, f.Gateway)
	s.step("a change was accepted %s after the kill; %s leads now", ms(f.Write), f.Leader)
	s.step("%d photos were sent meanwhile, %d failed; the slowest took %s", f.Sent, f.Failed, ms(f.Slowest))
	if f.Failed > 0 {
		return problem.New(problem.Unexpected, "Look into the logs, which --keep-dir keeps.",
			"%d of %d requests failed while the leader was lost, with two coordinators left to answer them: %v.", f.Failed, f.Sent, f.Fault)
	}
	return nil
}

// restore brings the killed one back.
func (s *story) restore(ctx context.Context) error {
	s.step("starting %s again", s.leader.Name)
	if err := s.leader.Start(); err != nil {
		return err
	}
	done := s.wait("waiting until it has caught up")
	status, err := s.rig.Healthy(ctx, Model)
	done()
	if err != nil {
		return err
	}
	var followers []string
	for _, c := range status.Coordinators {
		if c.Role == wire.RoleFollower {
			followers = append(followers, c.Name)
		}
	}
	s.step("%s %s leads, %s follow.", status.Summary.Sentence, status.Leader, strings.Join(followers, " and "))
	return nil
}

func ms(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// overlap is the area that two boxes share, as a part of what they cover together.
func overlap(a, b [4]float64) float64 {
	area := func(b [4]float64) float64 { return max(0, b[2]-b[0]) * max(0, b[3]-b[1]) }
	shared := area([4]float64{max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])})
	if shared == 0 {
		return 0
	}
	return shared / (area(a) + area(b) - shared)
}
