package consensus

import (
	"context"
	"errors"
	"time"
)

// leadership is who leads, as raft on this coordinator knows.
type leadership struct {
	name  string // "" for nobody
	since time.Time
	over  context.Context // ends when it does; nil for nobody
	end   context.CancelFunc
}

// newLeadership is one that begins now.
func newLeadership(name string) leadership {
	l := leadership{name: name, since: time.Now()}
	if name != "" {
		l.over, l.end = context.WithCancel(context.Background())
	}
	return l
}

// turn has a leadership follow on the present one.
func (n *Node) turn(to leadership) {
	n.leader.Update(func(was leadership) leadership {
		if was.name != "" {
			was.end()
		}
		return to
	})
}

// refresh takes over what raft says of the leadership now.
func (n *Node) refresh() {
	if now, was := n.leaderNow(), n.leader.Get().name; now != was {
		n.turn(newLeadership(now))
		switch now {
		case "":
			n.log.Info("leader lost", "was", was, "term", n.raft.CurrentTerm())
		default:
			n.log.Info("leader found", "leader", now, "term", n.raft.CurrentTerm())
		}
	}
	if lead := n.leads(); lead != n.leading.Get() {
		n.leading.Store(lead)
	}
}

// errMoved is the cause that a try's context ends with when its leader is lost.
var errMoved = errors.New("the leader was lost")

// while returns a context that ends when somebody else leads, or nobody; end
// releases it.
func (n *Node) while(ctx context.Context, leader string) (term context.Context, end func()) {
	term, cancel := context.WithCancelCause(ctx)
	now := n.leader.Get()
	if now.name != leader {
		cancel(errMoved)
		return term, func() {}
	}
	forget := context.AfterFunc(now.over, func() { cancel(errMoved) })
	return term, func() { forget(); cancel(nil) }
}
