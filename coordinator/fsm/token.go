package fsm

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"strings"

	"primespark/shared/fleet"
	"primespark/shared/problem"
)

// maxTokens bounds the operators' tokens.
const maxTokens = 256

// TokenCreate makes an operator's token. Making the same one again changes
// nothing.
type TokenCreate struct {
	ID     string `json:"id"`   // 1 to 16 of a-z and 0-9, random
	Name   string `json:"name"` // whose it is
	Hash   string `json:"hash"` // SHA-256 of the secret, hexadecimal
	Access Access `json:"access"`
}

// Kind is token.create.
func (TokenCreate) Kind() Kind { return KindToken }

func (c *change) tokenCreate(cmd TokenCreate) (any, error) {
	switch old, taken := c.Tokens[cmd.ID]; {
	case taken && old.Hash == cmd.Hash:
		return old, nil
	case taken:
		return nil, problem.New(problem.Conflict, "Try again; ids are random.", "There is a token %s already.", cmd.ID)
	case !fleet.ValidName(cmd.Name):
		return nil, problem.New(problem.Invalid, "Use 1 to 32 of a-z, 0-9 and hyphen.", "The token's name %.64q is not valid.", cmd.Name)
	case !cmd.Access.Valid():
		return nil, problem.New(problem.Invalid, "Use viewer, operator or admin.", "There is no access level %.32q.", cmd.Access)
	case !validID(cmd.ID) || !validHash(cmd.Hash):
		return nil, problem.New(problem.Invalid, "Try again; both are made by the program.", "The token's id or hash is not valid.")
	case len(c.Tokens) >= maxTokens:
		return nil, problem.New(problem.Conflict, "Revoke some that nobody uses.", "There are %d tokens, and more are not kept.", len(c.Tokens))
	}
	t := Token{ID: cmd.ID, Name: cmd.Name, Hash: cmd.Hash, Access: cmd.Access, Created: c.at}
	c.Tokens = put(c.Tokens, t.ID, t)
	c.event(Info, t.ID, "A token for %s with access %s was made.", t.Name, t.Access)
	return t, nil
}

// TokenRevoke ends a token. The last one with access admin stays: without it
// nobody could ever make another.
type TokenRevoke struct {
	ID string `json:"id"`
}

// Kind is token.revoke.
func (TokenRevoke) Kind() Kind { return KindTokenDrop }

func (c *change) tokenRevoke(cmd TokenRevoke) (any, error) {
	t, ok := c.Tokens[cmd.ID]
	if !ok {
		return nil, problem.New(problem.NotFound, "List them first.", "There is no token %.64q.", cmd.ID)
	}
	rest, _ := without(c.Tokens, func(id string, _ Token) bool { return id == cmd.ID })
	if t.Access == Admin && !hasAdmin(rest) {
		return nil, problem.New(problem.Conflict, "Make another one with access admin first.", "It is the last token with access admin.")
	}
	c.Tokens = rest
	c.event(Warning, t.ID, "The token of %s was revoked.", t.Name)
	return t, nil
}

func hasAdmin(tokens map[string]Token) bool {
	for _, t := range tokens {
		if t.Access == Admin {
			return true
		}
	}
	return false
}

// tokenPrefix makes a token recognizable to those who search texts for secrets
// that got lost.
const tokenPrefix = "pst_"

// NewToken makes a token of the given name and access: its text, which is shown
// once and kept nowhere, and the command that makes it valid.
func NewToken(name string, access Access) (text string, cmd TokenCreate) {
	return NewSeed().Token(name, access)
}

// A Seed is what random things are made of: 256 bits. The same seed makes the
// same things.
type Seed [sha256.Size]byte

// NewSeed is a fresh one.
func NewSeed() (s Seed) {
	rand.Read(s[:]) // never fails, by its documentation
	return s
}

// Bytes are 256 bits for a purpose, which tell nothing about the seed.
func (s Seed) Bytes(purpose string) []byte {
	m := hmac.New(sha256.New, s[:])
	m.Write([]byte(purpose))
	return m.Sum(nil)
}

// text is a word of at most 51 of a-z and 2-7.
func (s Seed) text(purpose string, length int) string {
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(s.Bytes(purpose)))[:length]
}

// ID is an id for a code or a token.
func (s Seed) ID() string { return s.text("id", idLength) }

// Token is NewToken by a seed.
func (s Seed) Token(name string, access Access) (text string, cmd TokenCreate) {
	id, secret := s.ID(), s.text("secret", 26) // 130 bits
	return tokenPrefix + id + "_" + secret, TokenCreate{ID: id, Name: name, Hash: Hash(secret), Access: access}
}

// NewID makes a random id for a code or a token.
func NewID() string { return NewSeed().ID() }

const idLength = 10

// Hash is how the state keeps a secret: SHA-256 in hexadecimal. Secrets are
// random and 128 bits long, so that a slow hash would gain nothing.
func Hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Authenticate tells whose token a text is. actor is "token:" and the name. It
// takes the same time for a wrong secret, wherever it is wrong.
func (s State) Authenticate(text string) (actor string, access Access, ok bool) {
	rest, whole := strings.CutPrefix(text, tokenPrefix)
	id, secret, _ := strings.Cut(rest, "_")
	t := s.Tokens[id]
	if len(text) > 128 || !whole || subtle.ConstantTimeCompare([]byte(t.Hash), []byte(Hash(secret))) != 1 {
		return "", "", false
	}
	return "token:" + t.Name, t.Access, true
}
