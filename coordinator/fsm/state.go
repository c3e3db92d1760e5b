package fsm

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/identity"
)

// State is one version of the agreed state. A State that was handed out is
// never changed, and none of its maps and slices may be written to.
type State struct {
	Index   uint64               `json:"index"` // of the last command in it; entries of raft's own have numbers too
	Cluster Cluster              `json:"cluster,omitzero"`
	Nodes   map[string]Node      `json:"nodes,omitempty"`  // by name
	Codes   map[string]Code      `json:"codes,omitempty"`  // by id
	Tokens  map[string]Token     `json:"tokens,omitempty"` // by id
	Denied  map[string]time.Time `json:"denied,omitempty"` // key hash of a certificate -> when all such have expired
	Former  map[string]Former    `json:"former,omitempty"` // key hash -> whose it was, until its certificate expires
	Seq     uint64               `json:"seq"`              // of the last event
	Events  []Event              `json:"events,omitempty"` // the newest MaxEvents, oldest first
	Tasks   Tasks                `json:"tasks,omitzero"`
	Backup  Backup               `json:"backup,omitzero"`
	Gossip  Gossip               `json:"gossip,omitzero"`
	Alerts  map[string]Alert     `json:"alerts,omitempty"` // by key: those that hold, and resolved ones whose end is not told yet
	Sinks   map[string]Sink      `json:"sinks,omitempty"`  // by name
	Mesh    Mesh                 `json:"mesh,omitzero"`
	Models  map[string]Model     `json:"models,omitempty"` // by name
}

// Cluster is what the cluster as a whole is.
type Cluster struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
}

// A NodeState is what was decided about a node.
type NodeState string

// The states of a node.
const (
	Pending  NodeState = "pending"  // joined, waits for an operator
	Approved NodeState = "approved" // takes part
	Draining NodeState = "draining" // takes part, gets no new work
	Revoked  NodeState = "revoked"  // its certificate is refused everywhere
)

// A Node is what was decided about one node, and what it announced of itself.
type Node struct {
	Name      string             `json:"name"`
	Role      fleet.Role         `json:"role"`
	State     NodeState          `json:"state"`
	Addresses identity.Addresses `json:"addresses,omitzero"`
	Version   string             `json:"version,omitempty"`
	Witness   bool               `json:"witness,omitempty"` // a coordinator that votes and keeps the log, and does nothing else
	Key       string             `json:"key"`               // identity.KeyHash of its certificate
	Code      string             `json:"code,omitempty"`    // id of the join code it came by
	Joined    time.Time          `json:"joined"`            // last join
	Changed   time.Time          `json:"changed"`           // last change of any field
}

// Active reports whether the node takes part: approved or draining.
func (n Node) Active() bool { return n.State == Approved || n.State == Draining }

// A Code is a join code that was made. It stays until it expires, used up or
// not, so that "used already" can be told from "never heard of".
type Code struct {
	ID      string     `json:"id"`
	Hash    string     `json:"hash"` // SHA-256 of the secret, hexadecimal
	Role    fleet.Role `json:"role"`
	Uses    int        `json:"uses"`             // left
	Rejoin  bool       `json:"rejoin,omitempty"` // may take over the name of a node that has not been revoked
	Hold    bool       `json:"hold,omitempty"`   // nodes wait for approval
	Expires time.Time  `json:"expires"`
	By      string     `json:"by"` // the actor who made it
}

// An Access is what a token allows.
type Access string

// The levels of access, each one including those before it.
const (
	Viewer   Access = "viewer"
	Operator Access = "operator"
	Admin    Access = "admin"
)

// Valid reports whether a is one of the levels.
func (a Access) Valid() bool { return a == Viewer || a == Operator || a == Admin }

// A Token is an operator's key to the API.
type Token struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"` // for people and for the audit: "ada"
	Hash    string    `json:"hash"` // SHA-256 of the secret, hexadecimal
	Access  Access    `json:"access"`
	Created time.Time `json:"created"`
}

// A Severity is how much an event matters.
type Severity string

// The severities.
const (
	Info    Severity = "info"
	Warning Severity = "warning"
)

// An Event is the audit record of a change: part of the entry that made it.
type Event struct {
	Seq      uint64    `json:"seq"` // 1, 2, 3, ... for the life of the cluster
	At       time.Time `json:"at"`  // by the proposer's clock; Seq is the order
	Kind     Kind      `json:"kind"`
	Actor    string    `json:"actor"`
	Subject  string    `json:"subject,omitempty"` // the node, code or token that it is about
	Severity Severity  `json:"severity"`
	Detail   string    `json:"detail"` // one sentence
}

// Checksum is the SHA-256 of the whole state in canonical JSON, hexadecimal, in
// which the sum of the tasks stands for them. Two coordinators at the same Index
// have the same one, or one of them is broken. It costs about a millisecond,
// however many tasks there are: for status, not for every request.
func (s State) Checksum() string {
	type rest State
	// Maps are written in the order of their keys, so equal states are equal bytes.
	b, err := json.Marshal(struct {
		rest
		Tasks string `json:"tasks,omitempty"`
	}{rest(s), s.Tasks.Sum()})
	if err != nil {
		panic(fmt.Sprintf("a State cannot be encoded: %v", err)) // its times are checked before they get in
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// EventsAfter returns at most limit events that came after seq, oldest first.
func (s State) EventsAfter(seq uint64, limit int) []Event {
	i, _ := slices.BinarySearchFunc(s.Events, seq+1, func(e Event, want uint64) int { return cmp.Compare(e.Seq, want) })
	after := s.Events[i:]
	return slices.Clip(after[:min(len(after), max(limit, 0))])
}

// NodeList returns the nodes in the order of their names.
func (s State) NodeList() []Node {
	return slices.SortedFunc(maps.Values(s.Nodes), byName)
}

func byName(a, b Node) int { return cmp.Compare(a.Name, b.Name) }

// Coordinators returns the coordinators that take part, in the order of their
// names.
func (s State) Coordinators() []Node {
	var few []Node // of perhaps a thousand, and this is asked all the time
	for _, n := range s.Nodes {
		if n.Role == fleet.Coordinator && n.Active() {
			few = append(few, n)
		}
	}
	slices.SortFunc(few, byName)
	return few
}

// Active counts the nodes that take part.
func (s State) Active() (count int) {
	for _, n := range s.Nodes {
		if n.Active() {
			count++
		}
	}
	return count
}

// Refused reports whether a certificate must not be accepted any more: its key
// is on the deny list, or the node of that name is revoked. It is what
// identity.Identity.SetDeny wants.
func (s State) Refused(id identity.ID, keyHash string) bool {
	_, denied := s.Denied[keyHash]
	return denied || s.Nodes[id.Name].State == Revoked
}

// change is a State in the making: a copy whose maps are copied before the
// first write to each.
type change struct {
	State
	at     time.Time
	kind   Kind
	actor  string
	events []Event
}

// put returns a copy of m with one more or another value.
func put[K comparable, V any](m map[K]V, k K, v V) map[K]V {
	c := maps.Clone(m)
	if c == nil {
		c = map[K]V{}
	}
	c[k] = v
	return c
}

// without returns a copy of m from which the keys that drop holds of are gone,
// and how many these were.
func without[K comparable, V any](m map[K]V, drop func(K, V) bool) (map[K]V, int) {
	c := maps.Clone(m)
	maps.DeleteFunc(c, drop)
	return c, len(m) - len(c)
}

// event records what the command did.
func (c *change) event(severity Severity, subject, detail string, args ...any) {
	c.Seq++
	c.events = append(c.events, Event{
		Seq: c.Seq, At: c.at, Kind: c.kind, Actor: c.actor,
		Subject: subject, Severity: severity, Detail: fmt.Sprintf(detail, args...),
	})
}
