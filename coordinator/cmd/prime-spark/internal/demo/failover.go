package demo

import (
	"context"
	"errors"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/rig"
	"primespark/shared/run"
	"primespark/shared/testphoto"
	"primespark/shared/wire"
)

// A Lost is what was seen when the leader was lost in the middle of traffic.
type Lost struct {
	Answer        time.Duration // from SIGKILL to the first answer through another coordinator
	Node, Gateway string        // who gave that answer, and through whom
	Write         time.Duration // from SIGKILL to the first change that the others agreed to
	Leader        string        // the new one
	Sent, Failed  int           // photos meanwhile
	Slowest       time.Duration // of those that were answered
	Fault         error         // of the first that failed
}

// warm is how many answers the leader's gateway gives before it is killed, so
// that connections are open and in use.
const warm = 5

// Failover kills the leader while photos go through its gateway one after the
// other, and watches what becomes of them and of a change.
func Failover(ctx context.Context, r *rig.Rig, leader *rig.Node) (Lost, error) {
	var others []*rig.Node
	for _, n := range r.Coordinators {
		if n != leader {
			others = append(others, n)
		}
	}
	traffic, stop := context.WithCancel(ctx)
	answers := make(chan answer)
	go send(traffic, r.Client(append([]*rig.Node{leader}, others...)...), answers)
	defer func() {
		stop()
		for range answers { // until send has ended
		}
	}()
	for range warm {
		a, ok := <-answers
		if !ok {
			return Lost{}, ctx.Err()
		}
		if a.err != nil {
			return Lost{}, a.err
		}
	}

	killed := leader.Kill()
	type accepted struct {
		after  time.Duration
		leader string
		err    error
	}
	wrote := make(chan accepted, 1)
	go func() { // ends with ctx, or soon after the write
		at, err := write(ctx, r.Client(others...))
		if err != nil {
			wrote <- accepted{err: err}
			return
		}
		now, err := r.Client(others...).Status(ctx)
		wrote <- accepted{at.Sub(killed), now.Leader, err}
	}()

	var l Lost
	for {
		select {
		case a, ok := <-answers:
			if !ok {
				return l, ctx.Err()
			}
			l.count(a, killed, leader)
		case w := <-wrote:
			if w.err != nil {
				return l, w.err
			}
			for l.Gateway == "" { // changes work, but no answer yet
				a, ok := <-answers
				if !ok {
					return l, ctx.Err()
				}
				l.count(a, killed, leader)
			}
			l.Write, l.Leader = w.after, w.leader
			return l, nil
		}
	}
}

// count takes one more answer into account.
func (l *Lost) count(a answer, killed time.Time, leader *rig.Node) {
	l.Sent++
	if a.err != nil {
		l.Failed++
		if l.Fault == nil {
			l.Fault = a.err
		}
		return
	}
	l.Slowest = max(l.Slowest, a.end.Sub(a.begin))
	if l.Gateway == "" && a.Gateway != leader.Name {
		l.Answer, l.Node, l.Gateway = a.end.Sub(killed), a.Node, a.Gateway
	}
}

type answer struct {
	wire.InferAnswer
	begin, end time.Time
	err        error
}

// send asks for one photo after another until ctx ends, then closes answers.
func send(ctx context.Context, client *wire.Client, answers chan<- answer) {
	defer close(answers)
	photo := testphoto.Astronaut()
	for ctx.Err() == nil {
		a := answer{begin: time.Now()}
		a.InferAnswer, a.err = client.InferImage(ctx, Model, photo, nil)
		a.end = time.Now()
		if a.err != nil && ctx.Err() != nil {
			return
		}
		select {
		case answers <- a:
		case <-ctx.Done():
			return
		}
	}
}

// write has the coordinators agree to a change, a join code, trying until they
// do; it returns when they did. A coordinator that is asked in the middle of an
// election waits for its end, so that most often the first try does it.
func write(ctx context.Context, client *wire.Client) (time.Time, error) {
	for {
		try, cancel := context.WithTimeout(ctx, 3*time.Second)
		_, err := client.CreateJoinCode(try, wire.JoinCodeRequest{Role: fleet.Agent, TTL: "1m", Uses: 1})
		cancel()
		if err == nil {
			return time.Now(), nil
		}
		if ctx.Err() != nil || !run.Sleep(ctx, 10*time.Millisecond) {
			return time.Time{}, errors.Join(ctx.Err(), err)
		}
	}
}
