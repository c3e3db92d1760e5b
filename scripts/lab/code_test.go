package lab_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

// TestOneCodeOneNode: many redeem a code that is good for one, while the leader is
// killed. One is let in, and nobody else (notes on the mesh, T8).
func TestOneCodeOneNode(t *testing.T) {
	if err := oneCode(begin(t, 5*time.Minute), either(2, 10)); err != nil {
		t.Fatal(err)
	}
}

func oneCode(ctx context.Context, rounds int) (err error) {
	l, err := found(ctx, plan{})
	if err != nil {
		return err
	}
	defer l.done(&err)
	client := l.Client(l.Coordinators...)
	for round := range rounds {
		leader, err := l.leader(ctx)
		if err != nil {
			return err
		}
		var made wire.JoinCodeBody
		if err := within(ctx, 20*time.Second, "a join code", func(ctx context.Context) (err error) {
			made, err = client.CreateJoinCode(ctx, wire.JoinCodeRequest{Role: fleet.Agent, TTL: "5m", Uses: 1})
			return err
		}); err != nil {
			return err
		}
		code, err := identity.ParseJoinCode(made.Code)
		if err != nil {
			return err
		}
		prefix := fmt.Sprintf("thief-%d-", round)
		in := redeem(ctx, code, prefix, func() {
			time.Sleep(rand.N(60 * time.Millisecond)) // before, while and after the group decides
			leader.Kill()
		})
		if len(in) == 0 { // all were refused by those who had not heard of the code, or one has lost its answer
			in = redeem(ctx, code, prefix+"late-", func() {})
		}
		var all []wire.NodeBody
		if err := promised(ctx, 30*time.Second, "the list of nodes", func(ctx context.Context) (err error) {
			all, err = client.Nodes(ctx)
			return err
		}); err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(n wire.NodeBody) bool { return !strings.HasPrefix(n.Name, prefix) })
		// Whose answer was lost with the leader is a member and does not know.
		if len(in) > 1 || len(all) != 1 || len(in) == 1 && in[0] != all[0].Name {
			return broken("a code for one let %q in, and %d are members", in, len(all))
		}
		if err := leader.Start(); err != nil {
			return err
		}
		if err := l.back(ctx, leader); err != nil {
			return err
		}
	}
	return l.agree(ctx, time.Minute)
}

// redeem has nine join with one code, each until it is let in or refused, and tells
// who was let in.
func redeem(ctx context.Context, code identity.JoinCode, prefix string, meanwhile func()) (in []string) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var mu sync.Mutex
	var joining sync.WaitGroup
	for i := range 9 {
		joining.Go(func() {
			name := fmt.Sprint(prefix, i)
			for ctx.Err() == nil {
				_, err := identity.Join(ctx, &net.Dialer{Timeout: 2 * time.Second}, code, identity.JoinRequest{Name: name, Version: "lab"})
				if err == nil {
					mu.Lock()
					in = append(in, name)
					mu.Unlock()
					return
				}
				switch problem.Of(err).Code {
				case problem.Unreachable, problem.NoLeader, problem.NoQuorum, problem.NotReady, problem.Deadline:
					time.Sleep(50 * time.Millisecond)
				default:
					return
				}
			}
		})
	}
	meanwhile()
	joining.Wait()
	return in
}
