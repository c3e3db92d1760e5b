package fsm

import (
	"crypto/subtle"
	"encoding/hex"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/problem"
)

// Bounds of join codes.
const (
	maxCodes   = 256
	maxUses    = 1000
	maxCodeTTL = 30 * 24 * time.Hour
)

// CodeCreate makes a join code. Making the same one again changes nothing.
type CodeCreate struct {
	ID      string     `json:"id"`   // 1 to 16 of a-z and 0-9, random
	Hash    string     `json:"hash"` // SHA-256 of the secret, hexadecimal
	Role    fleet.Role `json:"role"`
	Uses    int        `json:"uses"` // 0 means 1
	Rejoin  bool       `json:"rejoin,omitempty"`
	Hold    bool       `json:"hold,omitempty"`
	Expires time.Time  `json:"expires"`
}

// Kind is joincode.create.
func (CodeCreate) Kind() Kind { return KindCode }

func (c *change) codeCreate(cmd CodeCreate) (any, error) {
	switch old, taken := c.Codes[cmd.ID]; {
	case taken && old.Hash == cmd.Hash:
		return old, nil
	case taken:
		return nil, problem.New(problem.Conflict, "Try again; ids are random.", "There is a join code %s already.", cmd.ID)
	case !validID(cmd.ID) || !validHash(cmd.Hash) || !cmd.Role.Valid():
		return nil, problem.New(problem.Invalid, "Give a role, coordinator or agent.", "The join code's id, hash or role %.32q is not valid.", cmd.Role)
	case cmd.Uses < 0 || cmd.Uses > maxUses:
		return nil, problem.New(problem.Invalid, "Give 1 to 1000.", "A join code cannot have %d uses.", cmd.Uses)
	case !cmd.Expires.After(c.at) || cmd.Expires.Sub(c.at) > maxCodeTTL:
		return nil, problem.New(problem.Invalid, "Give a lifetime of more than 0 and at most 720h.", "The join code's lifetime is out of bounds.")
	case len(c.Codes) >= maxCodes:
		return nil, problem.New(problem.Conflict, "Wait until some have expired, or make one code with several uses.", "There are %d join codes, and more are not kept.", len(c.Codes))
	}
	code := Code{
		ID: cmd.ID, Hash: cmd.Hash, Role: cmd.Role, Uses: max(1, cmd.Uses),
		Rejoin: cmd.Rejoin, Hold: cmd.Hold, Expires: cmd.Expires.UTC(), By: c.actor,
	}
	c.Codes = put(c.Codes, code.ID, code)
	c.event(Info, code.ID, "A join code for %d of role %s was made.", code.Uses, code.Role)
	return code, nil
}

// Redeem finds the code that a node shows, with the hash of its secret, at time
// at. The answer to a wrong secret is the same as to an unknown id.
func (s State) Redeem(id, hash string, at time.Time) (Code, error) {
	code, ok := s.Codes[id]
	switch {
	case !ok, subtle.ConstantTimeCompare([]byte(code.Hash), []byte(hash)) != 1:
		return Code{}, problem.New(problem.Forbidden, "Have a new one made: prime-spark join-code create.",
			"The join code is not known here; it is mistyped, of long ago, or of another cluster.")
	case !code.Expires.After(at):
		return Code{}, problem.New(problem.Forbidden, "Have a new one made: prime-spark join-code create.",
			"The join code expired at %s.", code.Expires.Format(time.RFC3339))
	}
	return code, nil
}

// Prune drops the join codes that have expired, and the denied and the former
// keys whose certificates all have.
type Prune struct{}

// Kind is joincode.prune.
func (Prune) Kind() Kind { return KindPrune }

// Pruned is the answer to Prune.
type Pruned struct {
	Codes  int `json:"codes"`
	Denied int `json:"denied"`
	Former int `json:"former,omitempty"`
}

func (c *change) prune(Prune) (any, error) {
	var p Pruned
	c.Codes, p.Codes = without(c.Codes, func(_ string, code Code) bool { return !code.Expires.After(c.at) })
	c.Denied, p.Denied = without(c.Denied, func(_ string, until time.Time) bool { return !until.After(c.at) })
	c.Former, p.Former = without(c.Former, func(_ string, f Former) bool { return !f.Until.After(c.at) })
	return p, nil
}

// Prunable reports whether Prune would do anything at time at.
func (s State) Prunable(at time.Time) bool {
	for _, code := range s.Codes {
		if !code.Expires.After(at) {
			return true
		}
	}
	for _, until := range s.Denied {
		if !until.After(at) {
			return true
		}
	}
	for _, f := range s.Former {
		if !f.Until.After(at) {
			return true
		}
	}
	return false
}

// validHash reports whether s is a SHA-256 in lower-case hexadecimal.
func validHash(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32 && hex.EncodeToString(b) == s
}

// validID reports whether s is 1 to 16 of a-z and 0-9.
func validID(s string) bool {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			return false
		}
	}
	return s != "" && len(s) <= 16
}
