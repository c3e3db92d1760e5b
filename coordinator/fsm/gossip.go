package fsm

import (
	"encoding/hex"
	"maps"
	"slices"
	"time"

	"primespark/shared/problem"
)

// Gossip is which keys the cluster's gossip has. The keys themselves are not in
// the state: each coordinator makes them of a secret that only coordinators have
// and of the salt.
//
// A change has three steps, so that gossip never breaks off: everybody learns the
// new key (install), encrypts with it (switch) and forgets the old one (drop). The
// zero value is the one key of the founding, generation 0.
type Gossip struct {
	Primary uint64      `json:"primary"`           // the generation to encrypt with
	Target  uint64      `json:"target"`            // that to come to; Primary if no key is being installed
	Held    []GossipKey `json:"held,omitempty"`    // those that are understood, the oldest first; none: generation 0
	Begun   time.Time   `json:"begun,omitzero"`    // of the newest change
	Why     string      `json:"why,omitempty"`     // for people
	Covered []string    `json:"covered,omitempty"` // the denied keys at that time, abbreviated: their nodes may know the keys before it
}

// A GossipKey is a generation and what its key is made of.
type GossipKey struct {
	Gen  uint64 `json:"gen"`
	Salt string `json:"salt,omitempty"` // 32 bytes, hexadecimal; none for generation 0
}

// Bounds of the keys.
const (
	saltSize  = 32 // bytes
	maxHeld   = 4
	maxWhy    = 128
	shortHash = 16 // characters of a denied key's hash, 64 bits
)

// Keys are those that are understood now.
func (g Gossip) Keys() []GossipKey {
	if len(g.Held) == 0 {
		return []GossipKey{{}}
	}
	return g.Held
}

// Settled reports whether no change is under way.
func (g Gossip) Settled() bool { return g.Primary == g.Target && len(g.Held) <= 1 }

// GossipDue reports whether somebody was shut out since the newest change, who may
// know the key.
func (s State) GossipDue() bool {
	for hash := range s.Denied {
		if !slices.Contains(s.Gossip.Covered, abbreviate(hash)) {
			return true
		}
	}
	return false
}

func abbreviate(hash string) string { return hash[:min(len(hash), shortHash)] }

// GossipRotate begins a change of the key. The same salt again is the same
// change, whose answer was lost. One that comes while another is under way takes
// its place: a key that nobody encrypts with yet is dropped.
type GossipRotate struct {
	Salt string `json:"salt"` // 32 random bytes, hexadecimal
	Why  string `json:"why,omitempty"`
}

// GossipSwitch has everybody encrypt with a generation that was installed.
type GossipSwitch struct {
	Gen uint64 `json:"gen"`
}

// GossipDrop has everybody forget all keys but that of a generation.
type GossipDrop struct {
	Gen uint64 `json:"gen"`
}

// Kind is gossip.rotate.
func (GossipRotate) Kind() Kind { return KindGossipRotate }

// Kind is gossip.switch.
func (GossipSwitch) Kind() Kind { return KindGossipSwitch }

// Kind is gossip.drop.
func (GossipDrop) Kind() Kind { return KindGossipDrop }

func (c *change) gossipRotate(cmd GossipRotate) (any, error) {
	salt, err := hex.DecodeString(cmd.Salt)
	if err != nil || len(salt) != saltSize || len(cmd.Why) > maxWhy || !printable(cmd.Why) {
		return nil, problem.New(problem.Invalid, "Update all coordinators to the same version.", "The salt of the gossip key, or the reason, is not valid.")
	}
	g := c.Gossip
	held := slices.Clone(g.Keys())
	if held[len(held)-1].Salt == cmd.Salt {
		return g, nil // the answer to the first one got lost
	}
	gen := held[len(held)-1].Gen + 1
	held = slices.DeleteFunc(held, func(k GossipKey) bool { return k.Gen == g.Target && g.Target != g.Primary })
	if len(held) == maxHeld {
		held = held[1:] // the last one is in use
	}
	g.Held, g.Target, g.Begun, g.Why = append(held, GossipKey{gen, cmd.Salt}), gen, c.at, cmd.Why
	g.Covered = nil
	for _, hash := range slices.Sorted(maps.Keys(c.Denied)) {
		g.Covered = append(g.Covered, abbreviate(hash))
	}
	c.Gossip = g
	c.event(Info, "", "The gossip key is being changed to generation %d.", gen)
	return g, nil
}

func (c *change) gossipSwitch(cmd GossipSwitch) (any, error) {
	switch g := c.Gossip; {
	case g.Primary == cmd.Gen && g.Target == cmd.Gen:
		return g, nil // done already
	case g.Target != cmd.Gen:
		return nil, otherChange(cmd.Gen)
	}
	c.Gossip.Primary = cmd.Gen
	c.event(Info, "", "Gossip is encrypted with the key of generation %d.", cmd.Gen)
	return c.Gossip, nil
}

func (c *change) gossipDrop(cmd GossipDrop) (any, error) {
	g := c.Gossip
	switch {
	case g.Primary != cmd.Gen || g.Target != cmd.Gen:
		return nil, otherChange(cmd.Gen)
	case g.Settled():
		return g, nil // done already
	}
	c.Gossip.Held = slices.DeleteFunc(slices.Clone(g.Held), func(k GossipKey) bool { return k.Gen != cmd.Gen })
	c.event(Info, "", "The gossip key was changed to generation %d; older ones are understood no more.", cmd.Gen)
	return c.Gossip, nil
}

func otherChange(gen uint64) error {
	return problem.New(problem.Conflict, "See prime-spark gossip-key status.", "The change of the gossip key to generation %d is not the present one.", gen)
}

func printable(s string) bool {
	return !slices.ContainsFunc([]rune(s), func(r rune) bool { return r < ' ' || r > '~' })
}
