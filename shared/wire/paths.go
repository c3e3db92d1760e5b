// Package wire is what a coordinator and its clients say to each other over
// HTTP: paths, headers, bodies, and a client that finds a coordinator that answers.
// The server and the client use the same types, so they cannot drift apart.
//
// JSON names never change their meaning; fields may be added. Errors of the
// client are *problem.Error, as the server sent them.
package wire

import "net/url"

// The paths of a coordinator.
const (
	PathLive      = "/livez"
	PathReady     = "/readyz"
	PathMetrics   = "/metrics"
	PathVersion   = "/v1/version"
	PathStatus    = "/v1/status"
	PathNodes     = "/v1/nodes"
	PathJoinCodes = "/v1/join-codes"
	PathJoin      = "/v1/join"
	PathTokens    = "/v1/tokens"
	PathRoute     = "/v1/route"
	PathEvents    = "/v1/events"
	PathStream    = "/v1/stream"
	PathIndex     = "/v2/repository/index"
)

// The headers that Prime Spark adds to HTTP.
const (
	HeaderNode     = "X-Prime-Spark-Node"     // answer: the agent that computed it
	HeaderBackend  = "X-Prime-Spark-Backend"  // answer: its engine
	HeaderGateway  = "X-Prime-Spark-Gateway"  // answer: the coordinator that passed it on
	HeaderAttempts = "X-Prime-Spark-Attempts" // answer: how many agents were asked, 1 and up
	HeaderMissing  = "X-Prime-Spark-Missing"  // answer: agents that it should be of, and is not, for want of an answer
	HeaderCache    = "X-Prime-Spark-Cache"    // answer: "hit" if it was computed before, "miss" if the next one may be
	HeaderTiming   = "Server-Timing"          // answer: queue, decode, infer and post, in ms
	HeaderDeadline = "X-Deadline-Ms"          // request: answer within so many ms, or not at all
	HeaderPriority = "X-Priority"             // request: 0 to 7, 0 first
	HeaderIndex    = "X-Index"                // answer: the raft index that a read shows
	HeaderStale    = "X-Stale"                // answer: "1" if the read may be old
	HeaderReason   = "X-Stale-Reason"         // beside it: "removed" if the others count this coordinator no more
	HeaderLength   = "Inference-Header-Content-Length"
)

// NodePath is the path of one node.
func NodePath(name string) string { return PathNodes + "/" + url.PathEscape(name) }

// An Action is what an operator does to a node.
type Action string

// The actions.
const (
	Approve Action = "approve" // a pending node may take part
	Drain   Action = "drain"   // no new work; what it has it finishes
	Undrain Action = "undrain"
	Revoke  Action = "revoke" // for good: its certificate is refused from now on
)

// Actions are all of them, in the order in which a node's life meets them.
var Actions = [...]Action{Approve, Drain, Undrain, Revoke}

// NodeActionPath is where to post an action.
func NodeActionPath(name string, a Action) string { return NodePath(name) + ":" + string(a) }

// ModelPath is the path of a model of the Open Inference Protocol.
func ModelPath(model string) string { return "/v2/models/" + url.PathEscape(model) }
