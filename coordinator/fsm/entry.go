package fsm

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"primespark/shared/problem"
	"primespark/shared/task"
)

// A Kind names a command. Kinds are written to disk: they are never renamed
// and never reused.
type Kind string

// The commands, and the struct that each one carries.
const (
	KindInit      Kind = "cluster.init"    // ClusterInit
	KindCode      Kind = "joincode.create" // CodeCreate
	KindPrune     Kind = "joincode.prune"  // Prune
	KindJoin      Kind = "node.join"       // NodeJoin
	KindAnnounce  Kind = "node.announce"   // NodeAnnounce
	KindRenew     Kind = "node.renew"      // NodeRenew
	KindApprove   Kind = "node.approve"    // NodeApprove
	KindDrain     Kind = "node.drain"      // NodeDrain
	KindUndrain   Kind = "node.undrain"    // NodeUndrain
	KindRevoke    Kind = "node.revoke"     // NodeRevoke
	KindToken     Kind = "token.create"    // TokenCreate
	KindTokenDrop Kind = "token.revoke"    // TokenRevoke
	KindTasks     Kind = "task.batch"      // TaskBatch
	KindBackup    Kind = "backup.record"   // BackupRecord

	KindGossipRotate Kind = "gossip.rotate" // GossipRotate
	KindGossipSwitch Kind = "gossip.switch" // GossipSwitch
	KindGossipDrop   Kind = "gossip.drop"   // GossipDrop
	KindAlert        Kind = "alert.change"  // AlertChange
	KindAlertSend    Kind = "alert.send"    // AlertSend
	KindSink         Kind = "sink.record"   // SinkRecord
	KindMeshAnnounce Kind = "mesh.announce" // MeshAnnounce
	KindMeshLeave    Kind = "mesh.leave"    // MeshLeave
	KindMeshRotate   Kind = "mesh.rotate"   // MeshRotate
	KindMeshAdmit    Kind = "mesh.admit"    // MeshAdmit
	KindMeshExpel    Kind = "mesh.expel"    // MeshExpel
	KindMeshRange    Kind = "mesh.range"    // MeshRange
	KindMeshPrune    Kind = "mesh.prune"    // MeshPrune
	KindModelPut     Kind = "model.put"     // ModelPut
	KindModelDrop    Kind = "model.drop"    // ModelDrop
)

// handlers is the whole command set: a new command is a struct, a method and a
// row here.
var handlers = map[Kind]handler{
	KindInit:      on((*change).clusterInit),
	KindCode:      on((*change).codeCreate),
	KindPrune:     on((*change).prune),
	KindJoin:      on((*change).nodeJoin),
	KindAnnounce:  on((*change).nodeAnnounce),
	KindRenew:     on((*change).nodeRenew),
	KindApprove:   on((*change).nodeApprove),
	KindDrain:     on((*change).nodeDrain),
	KindUndrain:   on((*change).nodeUndrain),
	KindRevoke:    on((*change).nodeRevoke),
	KindToken:     on((*change).tokenCreate),
	KindTokenDrop: on((*change).tokenRevoke),
	KindTasks:     on((*change).taskBatch),
	KindBackup:    on((*change).backupRecord),

	KindGossipRotate: on((*change).gossipRotate),
	KindGossipSwitch: on((*change).gossipSwitch),
	KindGossipDrop:   on((*change).gossipDrop),
	KindAlert:        on((*change).alertChange),
	KindAlertSend:    on((*change).alertSend),
	KindSink:         on((*change).sinkRecord),
	KindMeshAnnounce: on((*change).meshAnnounce),
	KindMeshLeave:    on((*change).meshLeave),
	KindMeshRotate:   on((*change).meshRotate),
	KindMeshAdmit:    on((*change).meshAdmit),
	KindMeshExpel:    on((*change).meshExpel),
	KindMeshRange:    on((*change).meshRange),
	KindMeshPrune:    on((*change).meshPrune),
	KindModelPut:     on((*change).modelPut),
	KindModelDrop:    on((*change).modelDrop),
}

// A Command is the body of one of the kinds.
type Command interface{ Kind() Kind }

// An Entry is a command as it stands in the log.
type Entry struct {
	Kind  Kind            `json:"kind"`
	At    time.Time       `json:"at"`            // by the proposer's clock
	Actor string          `json:"actor"`         // who wanted it: "token:ada", "node:pi-1", "coordinator:c1"
	Key   string          `json:"key,omitempty"` // of Once
	Hash  string          `json:"hash,omitempty"`
	Body  json.RawMessage `json:"body"` // always the last one: see openEntry
}

// Bounds of an entry in bytes. Of the commands about nodes, codes and tokens the
// largest has about 2 KiB; tasks bring images along.
const (
	maxEntry     = 64 << 10
	maxTaskEntry = 4 << 20
)

// Encode returns the log entry of a command that actor decided on at time at. It
// refuses what would be too large for the log, or out of bounds; what it returns
// a coordinator of this version can apply, and needs no Check.
func Encode(at time.Time, actor string, c Command) ([]byte, error) {
	e := Entry{Kind: c.Kind(), At: at.UTC(), Actor: actor}
	if once, ok := c.(Once); ok {
		c, e.Key, e.Hash = once.Command, once.Call.Key, once.Call.Hash
	}
	body, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", c.Kind(), err)
	}
	e.Body = body
	b, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", c.Kind(), err)
	}
	return b, e.bounded(b)
}

// Check reports what would keep this coordinator from applying an entry that
// another one encoded. The leader calls it before such an entry enters the log,
// where nothing can be refused any more.
func Check(data []byte) error {
	if err := fits(KindTasks, data); err != nil {
		return err // before it is decoded
	}
	var e Entry
	if err := strict(data, &e); err != nil {
		return refuse(err)
	}
	if err := e.bounded(data); err != nil {
		return err
	}
	if err := handlers[e.Kind].check(e.Body); err != nil {
		return refuse(err)
	}
	return nil
}

func refuse(err error) error {
	return &problem.Error{
		Code: problem.Invalid, Err: err,
		Detail: "The leader does not understand the command.",
		Remedy: "Update all coordinators to the same version, then try again.",
	}
}

// fits bounds the bytes of an entry of that kind.
func fits(k Kind, data []byte) error {
	most := maxEntry
	if k == KindTasks {
		most = maxTaskEntry
	}
	if len(data) > most {
		return problem.New(problem.TooLarge, "Send less.", "The command has %d bytes, at most %d are allowed.", len(data), most)
	}
	return nil
}

// bounded checks what an entry has besides its body, and how long it is.
func (e Entry) bounded(data []byte) error {
	if _, ok := handlers[e.Kind]; !ok {
		return refuse(fmt.Errorf("unknown kind %q", e.Kind))
	}
	if len(e.Key) > task.MaxKey || len(e.Hash) > 2*sha256.Size {
		return refuse(errors.New("its Idempotency-Key is out of bounds"))
	}
	if len(e.Actor) > 64 || e.At.Year() < 1 || e.At.Year() > 9000 {
		return refuse(errors.New("its actor or time is out of bounds"))
	}
	return fits(e.Kind, data)
}

// openEntry decodes an entry as it stands in the log. Encode puts the body last,
// and it may be a megabyte: it is cut out instead of being read over and over. In
// the strings before it, a quote is never bare.
func openEntry(data []byte) (Entry, error) {
	const start, cut = `{"kind":"`, `,"body":`
	var e Entry
	if i := bytes.Index(data, []byte(cut)); i > 0 && bytes.HasPrefix(data, []byte(start)) && data[len(data)-1] == '}' {
		if json.Unmarshal(append(data[:i:i], '}'), &e) == nil && e.Actor != "" {
			e.Body = data[i+len(cut) : len(data)-1]
			return e, nil
		}
	}
	var whole Entry
	err := json.Unmarshal(data, &whole)
	return whole, err
}

// strict decodes one JSON value and refuses fields that v does not have: a
// newer coordinator's command must not be half understood.
func strict(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

// A handler is a row of the table: how to check a body, and how to apply it.
type handler struct {
	check func(json.RawMessage) error
	apply func(*change, json.RawMessage) (any, error, error)
}

// on makes a row of a method that takes the command C.
func on[C Command](apply func(*change, C) (any, error)) handler {
	return handler{
		check: func(body json.RawMessage) error { var c C; return strict(body, &c) },
		apply: func(ch *change, body json.RawMessage) (v any, refused, bad error) {
			var c C
			if err := json.Unmarshal(body, &c); err != nil {
				return nil, nil, err
			}
			v, refused = apply(ch, c)
			return v, refused, nil
		},
	}
}

// apply returns the state after one entry, the events that it caused, and the
// answer to its proposer. s stays as it is.
func (s State) apply(index uint64, e Entry) (State, []Event, Result) {
	h, ok := handlers[e.Kind]
	if !ok {
		panic(fmt.Sprintf("raft log %d: unknown command %q; this coordinator is older than the log, update it", index, e.Kind))
	}
	c := &change{State: s, at: e.At, kind: e.Kind, actor: e.Actor}
	c.Index = index
	var v any
	var refused, bad error
	if e.Key != "" {
		v, refused, bad = c.applyOnce(h, e)
	} else {
		v, refused, bad = h.apply(c, e.Body)
	}
	if refused == nil && c.Cluster.Name == "" {
		refused = problem.New(problem.Conflict, "Found it first: prime-spark-coordinator init.", "The cluster has not been founded.")
	}
	if bad != nil {
		panic(fmt.Sprintf("raft log %d: body of %s: %v", index, e.Kind, bad))
	}
	if refused != nil {
		s.Index = index
		return s, nil, Result{Err: refused}
	}
	return c.State, c.events, Result{Value: v}
}
