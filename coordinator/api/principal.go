package api

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/problem"
)

// A Role is what somebody may do. The first three are those of tokens, each
// one with the rights of those before it; a node proves itself by certificate.
type Role string

// The roles.
const (
	Nobody   Role = "none"
	Viewer   Role = "viewer"
	Operator Role = "operator"
	Admin    Role = "admin"
	Node     Role = "node"
	Fellow   Role = "coordinator" // a node that is one
)

// A Permission is what a route asks for.
type Permission string

// The permissions, and the roles that have them. A viewer may look at
// everything and set nothing going, not even an inference.
const (
	Public     Permission = "public"
	View       Permission = "view"
	Infer      Permission = "infer"
	Operate    Permission = "operate"
	Administer Permission = "administer"
	Belong     Permission = "belong" // what a node asks for itself
	Assist     Permission = "assist" // what coordinators do for each other
)

var granted = map[Permission][]Role{
	Public:     {Nobody, Viewer, Operator, Admin, Node, Fellow},
	View:       {Viewer, Operator, Admin, Node, Fellow},
	Infer:      {Operator, Admin, Node, Fellow},
	Operate:    {Operator, Admin},
	Administer: {Admin},
	Belong:     {Node, Fellow},
	Assist:     {Fellow},
}

func (p Permission) valid() bool { _, ok := granted[p]; return ok }

// to reports whether a role has the permission; one that is unknown has none.
func (p Permission) to(r Role) bool { return slices.Contains(granted[p], r) }

// A Principal is who makes a request.
type Principal struct {
	Actor string // for the audit: "token:ada", "agent:pi-1", "loopback"
	Role  Role
	// Ambient says that the browser vouches for the request without being asked
	// (a cookie, the loopback address), so that another site's page could have made it.
	Ambient bool
	Session bool // by the page's cookie
}

// identify finds out who makes a request that came in by d. A token that is
// sent counts and nothing else; then a certificate, the page's cookie, and the
// role that the listener gives to anybody.
func (a *API) identify(d door, r *http.Request) (Principal, error) {
	state, _ := a.cfg.Group.State()
	token := r.Header.Get("Authorization")
	certified := r.TLS != nil && len(r.TLS.PeerCertificates) > 0
	switch {
	case state.Cluster.Name == "" && (token != "" || certified):
		return Principal{}, blank()
	case token != "":
		return byToken(state, token)
	case certified:
		return byCertificate(state, r)
	}
	if c, err := r.Cookie(cookieName); err == nil {
		if p, ok := a.bySession(state, c.Value, time.Now()); ok {
			return p, nil
		}
	}
	if d.role != Nobody {
		return Principal{Actor: "loopback", Role: d.role, Ambient: true}, nil
	}
	return anybody, nil
}

// blank is the answer of a coordinator that has just started and knows nobody yet:
// its log is carried out once a leader has said how far it counts. Others know.
func blank() error {
	return &problem.Error{
		Code: problem.NotReady, RetryAfter: time.Second,
		Detail: "This coordinator has just started and cannot tell yet who may do what.", Remedy: "Try again in a second, or ask another coordinator.",
	}
}

// anybody is who shows nothing.
var anybody = Principal{Actor: "anybody", Role: Nobody}

func byToken(state fsm.State, header string) (Principal, error) {
	scheme, token, _ := strings.Cut(header, " ")
	if strings.EqualFold(scheme, "Bearer") {
		if actor, access, ok := state.Authenticate(strings.TrimSpace(token)); ok {
			return Principal{Actor: actor, Role: Role(access)}, nil
		}
	}
	return Principal{}, problem.New(problem.Unauthorized, "Check it, or have another one made: prime-spark token create.",
		"The token is not valid in this cluster.")
}

// byCertificate trusts the chain, which the TLS handshake has checked, but asks
// the state anew for each request: a connection may be older than a revocation.
func byCertificate(state fsm.State, r *http.Request) (Principal, error) {
	id, err := identity.Peer(r.TLS)
	if err != nil {
		return Principal{}, &problem.Error{
			Code: problem.Unauthorized, Err: err, Detail: "The certificate is not one of this cluster.",
			Remedy: "Join the cluster, or send a token instead.",
		}
	}
	own := r.TLS.PeerCertificates[0]
	if time.Now().After(own.NotAfter) { // the handshake may be long ago
		return Principal{}, problem.New(problem.Unauthorized, "Renew it, or join again with a new code.", "The certificate of %s has expired.", id)
	}
	n, ok := state.Nodes[id.Name]
	if !ok || !n.Active() || n.Role != id.Role || state.Refused(id, identity.KeyHash(own)) {
		return Principal{}, problem.New(problem.Forbidden, "Have it approved, or join it again with a new code.",
			"The node %s is not an approved member of this cluster.", id.Name)
	}
	role := Node
	if id.Role == fleet.Coordinator {
		role = Fellow
	}
	return Principal{Actor: string(id.Role) + ":" + id.Name, Role: role}, nil
}

// allow refuses what p may not do.
func allow(p Principal, want Permission) error {
	switch {
	case want.to(p.Role):
		return nil
	case p.Role == Nobody:
		return problem.New(problem.Unauthorized, "Send Authorization: Bearer TOKEN, use a node's certificate, or log in on the page.",
			"This needs a token.")
	}
	return problem.New(problem.Forbidden, "Use a token of another role; an admin makes one with prime-spark token create.",
		"The role %s may not do this; it takes %s.", p.Role, words(granted[want]))
}

// adminOnly refuses what only an admin may do of a thing that operators may do.
func adminOnly(p Principal, what string) error {
	if p.Role == Admin {
		return nil
	}
	return problem.New(problem.Forbidden, "Use an admin's token.", "To %s takes the role admin, and yours is %s.", what, p.Role)
}

func words(roles []Role) string {
	var s []string
	for _, r := range roles {
		s = append(s, string(r))
	}
	return strings.Join(s, " or ")
}
