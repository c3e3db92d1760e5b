package consensus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/hashicorp/raft"

	"primespark/coordinator/fsm"
)

// A witness is a voter that keeps the whole log and little of the state: with two
// coordinators and a witness, a site survives the loss of any one. Raft knows no
// such thing. Three rules make one:
//
//   - It does not stand for election, unless somebody who wants to lead has less
//     than it has (needed): then nobody else can win by its vote, and what it has
//     may be acknowledged. It wins, brings the other up to date, and hands over.
//     While it leads it takes no proposal and confirms no read; these wait at the
//     coordinators that they came to, as in any election.
//   - Nobody hands it the leadership.
//   - The snapshots that shorten its log are another coordinator's (witness.Snapshot).
//     When no other is in reach the log is not shortened; it does not grow then either.

// errWitness is the answer to whoever would have a witness lead.
var errWitness = errors.New("this coordinator is a witness: it votes and does not lead")

const (
	// witnessResort is how long a group has no leader before a witness stands that
	// nobody needs, as far as it knows: twice as long as a reluctant node waits.
	witnessResort = 2 * lastResort
	// witnessRest is how long a witness that leads, and whom nobody relieved, waits
	// until it tries again.
	witnessRest = time.Second
	// stateTime bounds how long a state is fetched: 256 MiB by 20 Mbit/s.
	stateTime = 2 * time.Minute
)

// weigh notes it down if a witness cannot help the one who wants to lead.
func (n *Node) weigh(r *raft.RequestPreVoteRequest) {
	if !n.witness {
		return
	}
	index, err := n.store.LastIndex()
	var last raft.Log
	if err != nil || index == 0 || n.store.GetLog(index, &last) != nil {
		return // everything is in the snapshot; witnessResort will do
	}
	if r.LastLogTerm < last.Term || r.LastLogTerm == last.Term && r.LastLogIndex < index {
		n.vain.Store(new(time.Now()))
	}
}

// needed reports whether a witness may stand: the group has been without a leader
// for two elections, in which a coordinator that has everything would have won,
// and one that has not has asked for the vote; or it has been for long.
func (n *Node) needed() error {
	now, vain := n.leader.Get(), n.vain.Load()
	alone := time.Since(now.since)
	switch {
	case now.name != "":
	case alone >= witnessResort:
		return nil
	case alone >= 2*n.profile.Election && vain != nil && !vain.Before(now.since):
		return nil
	}
	return errWitness
}

// isWitness reports whether the agreed state has a witness of that name.
func (n *Node) isWitness(name string) bool {
	state, _ := n.fsm.State()
	return state.Nodes[name].Witness
}

// A witness is raft's view of a light FSM: its snapshots are those of others.
type witness struct {
	*fsm.FSM
	node *Node
}

// Snapshot promises a snapshot of a state that has all that is applied here.
func (w witness) Snapshot() (raft.FSMSnapshot, error) {
	state, _ := w.State()
	return borrowed{w.node, state.Index}, nil
}

// borrowed is the state of another coordinator, with the entry of the index and
// perhaps later ones. Those will be passed over when they are applied again.
type borrowed struct {
	node  *Node
	index uint64
}

// Persist fetches the state into sink, from the leader last of all: it has most
// to do.
func (b borrowed) Persist(sink raft.SnapshotSink) error {
	n := b.node
	ctx, cancel := context.WithTimeout(n.end, stateTime)
	defer cancel()
	leader := n.leaderNow()
	var asked []string
	for _, s := range n.servers() {
		if name := string(s.ID); name != n.name && name != leader && !n.isWitness(name) {
			asked = append(asked, name)
		}
	}
	if leader != "" && leader != n.name {
		asked = append(asked, leader)
	}
	err := errors.New("no other coordinator is known")
	for _, name := range asked {
		var begun bool
		if begun, err = n.fetchState(ctx, name, b.index, sink); err == nil {
			return sink.Close()
		}
		if begun {
			break // what is in the sink is not whole
		}
	}
	return errors.Join(fmt.Errorf("fetch a snapshot: %w", err), sink.Cancel())
}

func (borrowed) Release() {}

// fetchState copies a snapshot of another coordinator's state, which has the
// entry of that index, and checks it on the way. begun says that something was
// written.
func (n *Node) fetchState(ctx context.Context, name string, index uint64, to io.Writer) (begun bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+name+pathState+"?index="+strconv.FormatUint(index, 10), nil)
	if err != nil {
		return false, err
	}
	res, err := n.lasting.Do(r)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return false, fmt.Errorf("coordinator %s answers %s", name, res.Status)
	}
	state, err := fsm.ReadLight(io.TeeReader(res.Body, to))
	if err == nil && state.Index < index {
		err = fmt.Errorf("coordinator %s has entry %d, not %d", name, state.Index, index)
	}
	return true, err
}

// serveState writes a snapshot of this node's state, once it has the entry that
// is asked for.
func (n *Node) serveState(w http.ResponseWriter, r *http.Request) {
	index, err := strconv.ParseUint(r.URL.Query().Get("index"), 10, 64)
	if err != nil || n.witness {
		http.Error(w, "no index, or nothing to tell", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readWait)
	defer cancel()
	state, err := n.fsm.Watch().Until(ctx, func(s fsm.State) bool { return s.Index >= index })
	if err != nil {
		http.Error(w, "not here yet", http.StatusServiceUnavailable)
		return
	}
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(stateTime)); err != nil {
		n.log.Warn("state not sent", "err", err)
		return
	}
	if _, err := state.WriteTo(w); err != nil {
		n.log.Debug("state not sent", "err", err) // the one who asked went away, and will ask again
	}
}
