package wire

import (
	"encoding/json"
	"fmt"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/model"
)

// StatusBody answers GET /v1/status: the coordinators and the fleet in one look.
type StatusBody struct {
	Cluster       string        `json:"cluster"`
	Mode          fleet.Mode    `json:"mode"`
	Leader        string        `json:"leader"` // empty if none is known
	Term          uint64        `json:"term"`
	AppliedIndex  uint64        `json:"applied_index"`
	StateChecksum string        `json:"state_checksum"` // of the state at AppliedIndex; equal on all coordinators
	Coordinators  []Coordinator `json:"coordinators"`
	Summary       Summary       `json:"summary"`
	Backup        *BackupStatus `json:"backup,omitempty"` // nil before the first scheduled one
	// Advice says what would let the group survive more; empty if its number is a good one.
	Advice string `json:"advice,omitempty"`
	// Removed says that the others count the coordinator that answers no more: what
	// it shows is of the time when they still did.
	Removed bool `json:"removed,omitempty"`
	// Behind are the nodes that are alive and run an older version than others do; Newest
	// is what those run.
	Behind []string `json:"outdated,omitempty"`
	Newest string   `json:"newest,omitempty"`
}

// GroupAdvice is what to do about a group with so many voters; empty if they are
// a good number. An even one survives no more losses than one less does.
func GroupAdvice(voters int) string {
	switch {
	case voters == 1:
		return "Add two, or one and a witness (role: witness)."
	case voters == 2:
		return "Two survive no loss, as one does: add a third, or a witness (role: witness)."
	case voters > 0 && voters%2 == 0:
		return fmt.Sprintf("%d survive no more than %d do: add one, or a witness (role: witness), or remove one.", voters, voters-1)
	}
	return ""
}

// The roles of a coordinator in the raft group, as the one asked sees them.
const (
	RoleLeader      = "leader"
	RoleFollower    = "follower"
	RoleCandidate   = "candidate"
	RoleUnreachable = "unreachable"
	RoleWitness     = "witness" // a voter that never leads and has no API
)

// A Coordinator is one member of the raft group.
type Coordinator struct {
	Name          string `json:"name"`
	Role          string `json:"role"`
	API           string `json:"api,omitempty"`  // host:port
	Raft          string `json:"raft,omitempty"` // host:port
	Voter         bool   `json:"voter"`
	Alive         bool   `json:"alive"`
	Version       string `json:"version,omitempty"`
	LastContactMS *int64 `json:"last_contact_ms,omitempty"` // since word from the leader, where that is known

	// Of its own account, some seconds old; nil where it has told nothing, or is silent.
	Behind    *uint64  `json:"behind,omitempty"`          // changes that are agreed on and that it has not carried out yet
	DiskFree  *uint64  `json:"disk_free_bytes,omitempty"` // under its state
	DiskWrite *float64 `json:"disk_write_ms,omitempty"`   // that a small write takes to last, as a rule

	Conditions []string `json:"conditions,omitempty"` // what it says is wrong with itself: codes of /readyz, warnings too
}

// A Summary is the fleet in one sentence, and the numbers that it is made of.
type Summary struct {
	Sentence      string   `json:"sentence"`
	AgentsTotal   int      `json:"agents_total"`   // approved or draining; the revoked do not count
	AgentsHealthy int      `json:"agents_healthy"` // alive, ready and approved
	QuorumHave    int      `json:"quorum_have"`    // voters that are alive
	QuorumNeed    int      `json:"quorum_need"`
	Voters        int      `json:"voters"`
	OnBattery     int      `json:"on_battery"`             // agents, alive
	MinutesLeft   *float64 `json:"minutes_left,omitempty"` // the least of those on battery
}

// NodeBody is one node: what was decided of it, and what gossip knows of it.
type NodeBody struct {
	Name        string             `json:"name"`
	Role        fleet.Role         `json:"role"`
	State       string             `json:"state"` // pending, approved, draining or revoked
	Liveness    fleet.Liveness     `json:"liveness"`
	Since       time.Time          `json:"since,omitzero"`     // of the liveness
	LastSeen    time.Time          `json:"last_seen,omitzero"` // its newest word of itself
	Mode        fleet.Mode         `json:"mode,omitempty"`
	Ready       bool               `json:"ready"`
	Reasons     []string           `json:"reasons,omitempty"` // why it is not, codes of /readyz
	Power       fleet.Power        `json:"power,omitzero"`
	Temperature *float64           `json:"temperature,omitempty"` // °C
	Throttled   []string           `json:"throttled,omitempty"`   // why the processor is held back
	CPU         float64            `json:"cpu"`                   // 0 to 1
	Memory      float64            `json:"memory"`                // 0 to 1
	InFlight    int                `json:"in_flight"`
	Queue       int                `json:"queue"`
	Models      []fleet.Serving    `json:"models"`
	Accelerator *fleet.Accelerator `json:"accelerator,omitempty"`
	Addresses   map[string]string  `json:"addresses"` // api, raft, gossip: host:port
	Version     string             `json:"version,omitempty"`
}

// NodesBody answers GET /v1/nodes.
type NodesBody struct {
	Nodes []NodeBody `json:"nodes"`
}

// RouteBody answers GET /v1/route: who would be asked, in which order, and why.
type RouteBody struct {
	Model      string      `json:"model"`
	Candidates []Candidate `json:"candidates"` // best first
	Rejected   []Rejected  `json:"rejected"`
}

// A Candidate is a node that can answer. The lowest score is asked first,
// save where one of several that are about as good was drawn; Reason says so.
type Candidate struct {
	Node   string             `json:"node"`
	Score  float64            `json:"score"` // expected ms until the answer
	Terms  map[string]float64 `json:"terms"` // in_flight, queue, sent, others, latency_ms, power; state_of_charge and minutes_left where known
	Reason string             `json:"reason"`
}

// A Rejected is a node that cannot.
type Rejected struct {
	Node   string `json:"node"`
	Reason string `json:"reason"`
}

// An Event is something that happened. Severity is info, warning or error.
type Event struct {
	ID       string    `json:"id"` // see EventID
	At       time.Time `json:"at"`
	Code     string    `json:"code"`
	Severity string    `json:"severity"`
	Node     string    `json:"node,omitempty"`  // whom it is about
	Actor    string    `json:"actor,omitempty"` // who did it
	Detail   string    `json:"detail"`
	Remedy   string    `json:"remedy,omitempty"`
}

// EventsBody answers GET /v1/events, newest last.
type EventsBody struct {
	Events []Event `json:"events"`
}

// JoinCodeRequest is the body of POST /v1/join-codes.
type JoinCodeRequest struct {
	Role   fleet.Role `json:"role"`
	TTL    string     `json:"ttl,omitempty"`    // a Go duration; 15m if empty
	Uses   int        `json:"uses,omitempty"`   // 1 if 0
	Rejoin bool       `json:"rejoin,omitempty"` // may take over the name of a member, with a new key
	Hold   bool       `json:"hold,omitempty"`   // nodes wait for approval
}

// JoinCodeBody is its answer. The code is a secret and shown only once.
type JoinCodeBody struct {
	ID      string     `json:"id"`
	Role    fleet.Role `json:"role"`
	Code    string     `json:"code"`
	Expires time.Time  `json:"expires"`
	Uses    int        `json:"uses"`
}

// TokenRequest is the body of POST /v1/tokens. Role is viewer, operator or admin.
type TokenRequest struct {
	Name string `json:"name"`
	Role string `json:"role"`
}

// TokenBody is its answer. The token is a secret and shown only once.
type TokenBody struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Role  string `json:"role"`
	Token string `json:"token"`
}

// TokensBody answers GET /v1/tokens, by name.
type TokensBody struct {
	Tokens []TokenRow `json:"tokens"`
}

// A TokenRow is a token without its secret, which nobody has but its owner.
type TokenRow struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Role    string    `json:"role"`
	Created time.Time `json:"created"`
}

// ReadyBody answers GET /readyz, with status 200 or 503.
type ReadyBody struct {
	Ready    bool     `json:"ready"`
	Reasons  []Reason `json:"reasons"`            // why it is not
	Warnings []Reason `json:"warnings,omitempty"` // what it goes on with, less well than it should
}

// A Reason is why a node is not ready, or not as well as it should be.
type Reason struct {
	Code   string    `json:"code"`
	Detail string    `json:"detail"`
	Remedy string    `json:"remedy,omitempty"`
	Since  time.Time `json:"since"`
}

// A ModelRow is one row of the fleet's repository index: a model, and who has it.
type ModelRow struct {
	model.Status
	Nodes []string `json:"nodes"`
}

// A Message is one piece of GET /v1/stream: an Event for type "event", a
// Summary for type "fleet".
type Message struct {
	Type string
	ID   string // of the event; empty for "fleet"
	Data json.RawMessage
}

// The types of a Message.
const (
	MessageEvent = "event"
	MessageFleet = "fleet"
)
