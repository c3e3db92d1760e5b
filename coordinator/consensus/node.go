// Package consensus is the raft node of a coordinator: the one way to change
// the agreed state, and the one way to read it and be sure.
//
// What Propose has acknowledged is on the disks of a majority. What Read
// returns contains everything that was acknowledged anywhere before Read was
// called. Any coordinator does both; one that does not lead asks the leader,
// once, over the raft port.
//
// A log on the disk that is not as it was written is refused (ErrCorrupt), never
// repaired by guessing.
package consensus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"primespark/coordinator/fsm"
	"primespark/shared/identity"
	"primespark/shared/run"
	"primespark/shared/watch"
)

// Config is what a Node has to know.
type Config struct {
	Dir       string                // data directory; raft.db, raft.journal and snapshots/ are made in it
	Advertise string                // host:port where the other coordinators reach the raft port; that of the listener if empty
	Profile   Profile               // zero: that of "wan"
	Identity  *identity.Identity    // of a coordinator; its name is the raft server's ID
	Log       *slog.Logger          // nil: none
	Metrics   prometheus.Registerer // nil: none
	Witness   bool                  // vote and keep the log, and do nothing else; the FSM is a light one

	disk func() error // what tests have happen before entries are written; nil for nothing
}

// Outside is what a Node touches of the world besides its directory.
type Outside struct {
	Listener net.Listener // of the raft port; the Node closes it
	// Dial opens a connection as net.Dialer.DialContext does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// A Node is this coordinator's part in the group. Open makes it, Run runs it.
type Node struct {
	name    string
	address string // as others reach it
	profile Profile
	witness bool
	log     *slog.Logger
	fsm     *fsm.FSM
	store   *store
	port    *port
	raft    *raft.Raft
	trans   *raft.NetworkTransport
	fresh   *freshness
	server  *http.Server
	client  *http.Client // to the control protocol of the others
	lasting *http.Client // the same without a limit of its own, for what takes long

	leader   *watch.Value[leadership]
	leading  *watch.Value[bool]
	stance   *watch.Value[Stance]
	barrier  atomic.Uint64 // term whose barrier has passed
	reads    sharing
	confirms confirmations
	vouchers *vouchers
	called   atomic.Pointer[time.Time]                                    // when a witness last had this node lead
	vain     atomic.Pointer[time.Time]                                    // when a witness last could not give its vote (needed)
	asked    atomic.Pointer[func(ctx context.Context, body []byte) error] // OnAsk

	stop    chan struct{}   // ends follow
	end     context.Context // ends when the node is closed: for what it fetches
	halt    context.CancelFunc
	done    sync.WaitGroup
	closing sync.Once
	closed  error
}

var _ interface {
	Run(context.Context) error
	String() string
} = (*Node)(nil)

// Tuning of raft (notes on the log's write load): snapshots are frequent so that
// the file stays small and a restart quick.
const (
	snapshotThreshold = 1024
	trailingLogs      = 1024
	snapshotInterval  = 2 * time.Minute
	snapshotsKept     = 3
	logCache          = 512 // entries; followers are fed from it
	maxPool           = 3   // idle connections to each peer
	witnessLogs       = 128 // entries that a witness keeps behind its snapshot
	rpcTimeout        = 5 * time.Second
)

// Open checks and opens the log in cfg.Dir and starts raft. A node that has
// neither log nor snapshot waits until a leader adds it to the group, or until
// Bootstrap. The state is replayed into f, which nobody else may write to.
//
// The error is ErrCorrupt if the log is damaged. The caller runs Run or Close.
func Open(cfg Config, f *fsm.FSM, out Outside) (*Node, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Profile == (Profile{}) {
		cfg.Profile = profiles["wan"]
	}
	if cfg.Advertise == "" {
		cfg.Advertise = out.Listener.Addr().String()
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make raft directory: %w", err)
	}
	st, err := openStore(cfg.Dir)
	if err != nil {
		return nil, err
	}
	n := &Node{
		name: cfg.Identity.ID().Name, address: cfg.Advertise, profile: cfg.Profile, witness: cfg.Witness, log: cfg.Log, fsm: f, store: st,
		leader: watch.New(newLeadership("")), leading: watch.New(false),
		stance: watch.New(Willing), stop: make(chan struct{}),
	}
	st.before = cfg.disk
	n.end, n.halt = context.WithCancel(context.Background())
	n.vouchers = newVouchers(n)
	n.port = newPort(out.Listener, out.Dial, cfg.Identity, n.admit, cfg.Log)
	if err := n.start(cfg); err != nil {
		n.halt()
		n.port.close()
		n.done.Wait()
		return nil, errors.Join(err, st.Close())
	}
	return n, nil
}

// start makes raft and all that talks for it.
func (n *Node) start(cfg Config) error {
	logger := raftLogger(n.log)
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(cfg.Dir, snapshotsKept, logger)
	if err != nil {
		return fmt.Errorf("open snapshots: %w", err)
	}
	if err := n.checkSnapshots(snapshots, cfg.Dir); err != nil {
		return err
	}
	if n.fresh, err = readFreshness(n.store); err != nil {
		return err
	}
	early := &soon{store: n.store, name: raft.ServerID(n.name), taken: make(chan struct{}, 1)}
	var logs raft.LogStore = early
	var machine raft.FSM = n.fsm
	if n.witness {
		machine = witness{n.fsm, n}
	} else if logs, err = raft.NewLogCache(logCache, logs); err != nil {
		return fmt.Errorf("make log cache: %w", err)
	}
	n.trans = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream:          layer{n.port.raft, n.address, n.answersAt},
		MaxPool:         maxPool,
		MaxRPCsInFlight: 1, // no pipelining: after a stall it left followers behind (hashicorp/raft#612)
		Timeout:         rpcTimeout,
		Logger:          logger,
	})
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(n.name)
	c.HeartbeatTimeout, c.ElectionTimeout = cfg.Profile.Heartbeat, cfg.Profile.Election
	c.LeaderLeaseTimeout, c.CommitTimeout = cfg.Profile.Lease, cfg.Profile.Commit
	c.SnapshotThreshold, c.SnapshotInterval, c.TrailingLogs = snapshotThreshold, snapshotInterval, trailingLogs
	if n.witness {
		c.TrailingLogs = witnessLogs
	}
	c.ShutdownOnRemove = false // a node that was removed says so; it does not vanish
	c.NoLegacyTelemetry = true
	c.Logger = logger
	guard := newGuard(n)
	n.done.Go(func() { guard.pass(n.stop) })
	n.raft, err = raft.NewRaft(c, machine, logs, n.store, steady{snapshots, cfg.Dir}, guard)
	if err != nil {
		close(n.stop)
		if cerr := n.trans.Close(); cerr != nil {
			err = errors.Join(err, cerr)
		}
		return fmt.Errorf("start raft: %w", err)
	}
	n.done.Go(func() { early.write(n.stop) })
	early.raft.Store(n.raft)
	n.serveControl()
	n.done.Go(n.port.accept)
	n.done.Go(n.follow)
	n.done.Go(n.heed)
	n.done.Go(n.yield)
	if err := n.register(cfg.Metrics); err != nil {
		return errors.Join(err, n.Close())
	}
	return nil
}

// checkSnapshots refuses a directory whose snapshots are all damaged, with the
// command that helps. Raft falls back from a damaged one to an older one; where
// the log does not go on from that, it ends the process, or forgets entries.
func (n *Node) checkSnapshots(s raft.SnapshotStore, dir string) error {
	list, err := s.List()
	if err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	where := filepath.Join(dir, "snapshots")
	if len(list) == 0 {
		// Without a snapshot the log begins at 1, or what came before it is gone.
		if first, err := n.store.FirstIndex(); err != nil || first > 1 {
			return corrupt(where, "snapshots", fmt.Errorf("none is there, and the log begins at entry %d (%w)", first, orNone(err)))
		}
		return nil
	}
	var bad error
	for _, meta := range list {
		_, r, err := s.Open(meta.ID) // checks its CRC
		if err == nil {
			err = errors.Join(n.readable(r), r.Close())
		}
		if err == nil {
			err = n.goesOn(meta.Index, list[0].Index)
		}
		if err == nil {
			return n.leaveBehind(meta.Index)
		}
		n.log.Warn("snapshot cannot be used, trying an older one", "snapshot", meta.ID, "err", err)
		bad = err
	}
	return corrupt(where, "every snapshot", bad)
}

// readable reports what is wrong with the state in a snapshot.
func (n *Node) readable(r io.Reader) (err error) {
	if n.witness {
		_, err = fsm.ReadLight(r)
	} else {
		_, err = fsm.ReadState(r)
	}
	return err
}

// goesOn reports whether the log leads without a gap from a snapshot up to one
// index to that of the newest snapshot: what lies between was acknowledged.
func (n *Node) goesOn(index, newest uint64) error {
	first, err := n.store.FirstIndex()
	if err != nil {
		return err
	}
	last, err := n.store.LastIndex()
	switch {
	case err != nil:
		return err
	case first > index+1:
		return fmt.Errorf("it ends with entry %d, and the log begins at %d", index, first)
	case index < newest && last < newest:
		return fmt.Errorf("it ends with entry %d, and the log with %d before %d", index, last, newest)
	}
	return nil
}

// leaveBehind drops a log that ends before a snapshot does: this node was stopped
// while it took over one of the leader's. The entries after it would not follow on
// what is left of the log.
func (n *Node) leaveBehind(index uint64) error {
	first, err := n.store.FirstIndex()
	if err != nil {
		return err
	}
	last, err := n.store.LastIndex()
	if err != nil || last == 0 || last >= index {
		return err
	}
	n.log.Info("log dropped, the snapshot goes on beyond it", "last", last, "snapshot", index)
	return n.store.DeleteRange(first, last)
}

// orNone keeps a missing error readable within a longer text.
func orNone(err error) error {
	if err == nil {
		return errors.New("the log itself is whole")
	}
	return err
}

// Bootstrap founds a group whose only voter is this node. On a node that has a
// log already it changes nothing.
func (n *Node) Bootstrap() error {
	if n.raft.LastIndex() == 0 {
		if err := n.fresh.end(); err != nil { // nobody counts on what it may have forgotten
			return err
		}
	}
	err := n.raft.BootstrapCluster(raft.Configuration{Servers: []raft.Server{{
		Suffrage: raft.Voter, ID: raft.ServerID(n.name), Address: raft.ServerAddress(n.address),
	}}}).Error()
	if err != nil && !errors.Is(err, raft.ErrCantBootstrap) {
		return fmt.Errorf("found the raft group: %w", err)
	}
	if n.leader.Get().name == "" {
		n.turn(newLeadership("")) // an election is on its way: worth waiting for
	}
	return nil
}

// Run works until ctx ends, then hands the leadership over, if this node leads,
// and closes it.
func (n *Node) Run(ctx context.Context) error {
	<-ctx.Done()
	return n.Close()
}

func (n *Node) String() string { return "raft node" }

// Flush returns when all that the log was given is on the disk, or why it is not. It
// takes as long as the disk does.
func (n *Node) Flush() error { return n.store.Flush() }

// Close ends the node: it hands the leadership over if it can, and gives the
// port and the log back. Further calls return what the first one did.
func (n *Node) Close() error {
	n.closing.Do(func() {
		n.handOver()
		n.halt()
		err := n.raft.Shutdown().Error()
		close(n.stop)
		err = errors.Join(err, n.server.Close())
		n.client.CloseIdleConnections()
		n.trans.CloseStreams()
		n.port.close()
		n.done.Wait()
		n.vouchers.wait()
		n.leading.Store(false)
		if err = errors.Join(err, n.store.Close()); err != nil {
			n.closed = fmt.Errorf("close raft node: %w", err)
		}
	})
	return n.closed
}

// handOver passes the leadership to another voter, so that a planned stop costs
// milliseconds and not an election. Without another one there is nothing to do.
func (n *Node) handOver() {
	if n.raft.State() != raft.Leader {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*n.profile.Election)
	defer cancel()
	switch err := n.TransferLeadership(ctx); {
	case errors.Is(err, errNoHeir):
		n.log.Info("no other coordinator that can lead answers, so nobody is handed the leadership")
	case err != nil:
		n.log.Warn("leadership not handed over, the others will elect", "err", err)
	default:
		n.log.Info("leadership handed over")
	}
}

// State is the newest state that this coordinator knows, and a channel that
// closes at the next one. It may be behind; Read is not.
func (n *Node) State() (fsm.State, <-chan struct{}) { return n.fsm.State() }

// Leading tells whether this node leads. Two nodes can both think so for a
// moment: whoever acts on it only proposes, and only one's commands count.
func (n *Node) Leading() *watch.Value[bool] { return n.leading }

// follow keeps leader and leading up to date, and the port free of those who
// are members no more.
func (n *Node) follow() {
	changes := make(chan raft.Observation, 1)
	// A full channel is no loss: everything is read anew on each wake.
	o := raft.NewObserver(changes, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState, raft.PeerObservation:
			return true
		}
		return false
	})
	n.raft.RegisterObserver(o)
	defer n.raft.DeregisterObserver(o)
	links := make(chan raft.Observation, 64)
	l := raft.NewObserver(links, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.FailedHeartbeatObservation, raft.ResumedHeartbeatObservation:
			return true
		}
		return false
	})
	n.raft.RegisterObserver(l)
	defer n.raft.DeregisterObserver(l)
	down := map[raft.ServerID]bool{}
	second := time.NewTicker(time.Second) // for changes of the configuration, which nobody tells of
	defer second.Stop()
	for {
		_, turned := n.stance.Load()
		n.refresh()
		n.matured()
		n.port.sweep()
		select {
		case <-n.stop:
			return
		case <-turned:
		case <-second.C:
		case <-changes:
		case <-n.raft.LeaderCh():
		case o := <-links:
			n.link(o, down)
		}
	}
}

// calm is how long those rest who look at every change of the state though few
// concern them: a busy queue changes it a thousand times a second.
const calm = 100 * time.Millisecond

// heed keeps the port free of those whom the state shuts out.
func (n *Node) heed() {
	for {
		_, changed := n.fsm.State()
		n.port.sweep()
		if !run.Sleep(n.end, calm) {
			return
		}
		select {
		case <-changed:
		case <-n.end.Done():
			return
		}
	}
}

// link logs a coordinator that cannot be reached, when it begins and when it
// ends.
func (n *Node) link(o raft.Observation, down map[raft.ServerID]bool) {
	switch d := o.Data.(type) {
	case raft.FailedHeartbeatObservation:
		if !down[d.PeerID] {
			down[d.PeerID] = true
			n.log.Warn("coordinator does not answer, trying on", "coordinator", string(d.PeerID))
		}
	case raft.ResumedHeartbeatObservation:
		if down[d.PeerID] {
			delete(down, d.PeerID)
			n.log.Info("coordinator answers again", "coordinator", string(d.PeerID))
		}
	}
}

// servers is the raft configuration as this node knows it, committed or not. It
// is raft's own memory: nobody writes to it.
func (n *Node) servers() []raft.Server {
	// The future is complete when it is made: raft keeps a copy without a lock.
	f := n.raft.GetConfiguration()
	if f.Error() != nil {
		return nil // shut down
	}
	return f.Configuration().Servers
}
