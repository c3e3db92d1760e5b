package consensus

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"primespark/shared/fleet"
	"primespark/shared/identity"
)

// admit says whether a coordinator with a genuine certificate may speak here:
// it is in the raft configuration that this node knows. Two more may:
//
//   - anyone, while this node belongs to no group: it has nothing to protect, and
//     it is the leader who calls first;
//   - one that a member vouches for. A node that was away while the group changed
//     would otherwise refuse the very leader that brings it up to date.
func (n *Node) admit(id identity.ID) error {
	state, _ := n.fsm.State()
	if node, ok := state.Nodes[id.Name]; ok && !node.Active() {
		return fmt.Errorf("coordinator %s is %s", id.Name, node.State)
	}
	servers := n.servers()
	if len(servers) == 0 || named(servers, id.Name) || n.vouchers.has(id.Name) {
		return nil
	}
	n.vouchers.ask(id.Name)
	return fmt.Errorf("coordinator %s is not in the raft configuration", id.Name)
}

func named(servers []raft.Server, name string) bool {
	return slices.ContainsFunc(servers, func(s raft.Server) bool { return string(s.ID) == name })
}

// answersAt returns the rule for who may answer at an address of the raft
// configuration: the server that has it there. An address that has passed to
// another machine leads to nobody.
func (n *Node) answersAt(a raft.ServerAddress) identity.Accept {
	servers := n.servers()
	return func(id identity.ID) error {
		if slices.ContainsFunc(servers, func(s raft.Server) bool { return s.Address == a && string(s.ID) == id.Name }) {
			return nil
		}
		return fmt.Errorf("%s answers at %s, which is not its address in the raft configuration", id.Name, a)
	}
}

// addressOf finds where a coordinator's raft port is: by the raft configuration,
// or by what it announced when it joined.
func (n *Node) addressOf(name string) (string, error) {
	for _, s := range n.servers() {
		if string(s.ID) == name {
			return string(s.Address), nil
		}
	}
	state, _ := n.fsm.State()
	if node, ok := state.Nodes[name]; ok && node.Role == fleet.Coordinator && node.Active() && node.Addresses.Raft != "" {
		return node.Addresses.Raft, nil
	}
	return "", fmt.Errorf("coordinator %s: no raft address is known", name)
}

// vouchers remembers which strangers the members of this node's own
// configuration know as members.
type vouchers struct {
	node *Node
	mu   sync.Mutex
	good map[string]time.Time // until when
	next time.Time            // when the members may be asked again
	busy sync.WaitGroup
	end  context.Context
	stop context.CancelFunc
}

// How long a voucher holds, which is much longer than the leader needs to bring
// the configuration up to date, and how often the members are asked.
const (
	voucherLife = 30 * time.Second
	voucherRest = time.Second
)

func newVouchers(n *Node) *vouchers {
	v := &vouchers{node: n, good: map[string]time.Time{}}
	v.end, v.stop = context.WithCancel(context.Background())
	return v
}

func (v *vouchers) has(name string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return time.Now().Before(v.good[name])
}

// ask asks the members about a stranger, in the background: the stranger will
// call again. wait waits for it.
func (v *vouchers) ask(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.end.Err() != nil || time.Now().Before(v.next) {
		return
	}
	v.next = time.Now().Add(voucherRest)
	v.busy.Go(func() {
		for _, s := range v.node.servers() {
			if string(s.ID) == v.node.name {
				continue
			}
			ctx, cancel := context.WithTimeout(v.end, handshakeTimeout)
			status, err := v.node.StatusOf(ctx, string(s.ID))
			cancel()
			if err == nil && slices.ContainsFunc(status.Servers, func(s Server) bool { return s.Name == name }) {
				v.mu.Lock()
				v.good[name] = time.Now().Add(voucherLife)
				v.mu.Unlock()
				v.node.log.Info("coordinator is vouched for", "coordinator", name, "by", string(s.ID))
				return
			}
		}
	})
}

func (v *vouchers) wait() {
	v.mu.Lock()
	v.stop()
	v.mu.Unlock()
	v.busy.Wait()
}
