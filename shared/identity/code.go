package identity

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"strconv"
	"strings"

	"primespark/shared/fleet"
)

// A JoinCode is what a new node needs to trust a cluster and to be trusted by
// it. Whoever holds it can join until it expires or is used up: it is a secret.
type JoinCode struct {
	ID        string            // which code it is, 1 to 16 of a-z and 0-9
	Secret    [16]byte          // random; coordinators keep only its hash
	Role      fleet.Role        // what the node may become
	Cluster   string            //
	CA        [sha256.Size]byte // of the authority's public key (its SPKI)
	Addresses []string          // host:port of the API of 1 to 8 coordinators
}

// CAHash is the value that a join code pins: the SHA-256 of the authority's
// public key.
func CAHash(ca *x509.Certificate) [sha256.Size]byte {
	return sha256.Sum256(ca.RawSubjectPublicKeyInfo)
}

// Bounds of a code's text and parts.
const (
	codePrefix   = "PS1."
	codeGroup    = 6    // characters between hyphens, for the eye
	maxCodeText  = 4096 // in bytes, as typed
	maxCodeID    = 16
	maxAddresses = 8
	maxAddress   = 255
)

// codeText is Crockford's base 32: no I, L, O or U, so that what is read aloud
// or typed from paper comes out right.
var codeText = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// roleBytes are the roles as a code writes them.
var roleBytes = map[fleet.Role]byte{fleet.Agent: 'a', fleet.Coordinator: 'c'}

// String is the code as it is printed and typed: PS1. and groups of letters and
// digits. It ends with a checksum, so that a typo is told apart from a code
// that nobody knows.
func (c JoinCode) String() string {
	b := []byte{roleBytes[c.Role]}
	b = append(b, c.CA[:]...)
	b = append(b, c.Secret[:]...)
	b = appendShort(b, c.ID)
	b = appendShort(b, c.Cluster)
	b = append(b, byte(len(c.Addresses)))
	for _, a := range c.Addresses {
		b = appendShort(b, a)
	}
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	var text strings.Builder
	text.WriteString(codePrefix)
	for i, r := range codeText.EncodeToString(b) {
		if i > 0 && i%codeGroup == 0 {
			text.WriteByte('-')
		}
		text.WriteRune(r)
	}
	return text.String()
}

// Check tells what keeps c from being a code that can be used.
func (c JoinCode) Check() error {
	switch {
	case !c.Role.Valid():
		return fmt.Errorf("role %q is neither coordinator nor agent", c.Role)
	case !fleet.ValidName(c.Cluster):
		return fmt.Errorf("cluster name %q is not valid", c.Cluster)
	case !validCodeID(c.ID):
		return fmt.Errorf("id %q is not 1 to %d of a-z and 0-9", c.ID, maxCodeID)
	case len(c.Addresses) == 0 || len(c.Addresses) > maxAddresses:
		return fmt.Errorf("%d addresses; a code has 1 to %d", len(c.Addresses), maxAddresses)
	}
	for _, a := range c.Addresses {
		if err := CheckAddress(a); err != nil {
			return err
		}
	}
	return nil
}

// CheckAddress reports what is wrong with a host:port that others shall dial:
// a host name or IP address, and a port from 1 to 65535.
func CheckAddress(a string) error {
	host, port, err := net.SplitHostPort(a)
	if err != nil || host == "" || len(a) > maxAddress {
		return fmt.Errorf("address %.64q: not of the form host:port", a)
	}
	if strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`/\@?#"'<>&`, r) }) {
		return fmt.Errorf("address %.64q: the host has a character that no host has", a)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("address %.64q: the port is not a number from 1 to 65535", a)
	}
	return nil
}

func validCodeID(id string) bool {
	return id != "" && len(id) <= maxCodeID &&
		!strings.ContainsFunc(id, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
}

// ErrCode is the kind of every error of ParseJoinCode.
var ErrCode = errors.New("not a join code")

// ParseJoinCode reads a join code as a person types it: in either case, with or
// without hyphens and spaces, with O for 0 and I or L for 1.
func ParseJoinCode(text string) (JoinCode, error) {
	fail := func(what string, args ...any) (JoinCode, error) {
		return JoinCode{}, fmt.Errorf("%w: %s", ErrCode, fmt.Sprintf(what, args...))
	}
	if len(text) > maxCodeText {
		return fail("it is longer than %d characters", maxCodeText)
	}
	text = strings.ToUpper(strings.Join(strings.Fields(text), ""))
	body, ok := strings.CutPrefix(text, codePrefix)
	if !ok {
		return fail("it does not begin with %s; copy the whole code, from %[1]s on", codePrefix)
	}
	body = strings.NewReplacer("-", "", "O", "0", "I", "1", "L", "1").Replace(body)
	b, err := codeText.DecodeString(body)
	if at, bad := errors.AsType[base32.CorruptInputError](err); bad {
		return fail("a character near place %d does not occur in codes; compare it with the original", int(at)+1)
	}
	if len(b) < 1+sha256.Size+16+4 {
		return fail("it is too short; copy the whole code")
	}
	b, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(b, castagnoli) != sum {
		return fail("its checksum does not match; a character is wrong, missing or too many")
	}
	c, ok := decodeCode(b)
	if !ok {
		return fail("its content is cut off")
	}
	if err := c.Check(); err != nil {
		return fail("%v", err)
	}
	return c, nil
}

// decodeCode reads the bytes under the checksum; ok is false when they do not
// end where a code ends.
func decodeCode(b []byte) (c JoinCode, ok bool) {
	for role, letter := range roleBytes {
		if b[0] == letter {
			c.Role = role
		}
	}
	b = b[1:]
	b = b[copy(c.CA[:], b):]
	b = b[copy(c.Secret[:], b):]
	if c.ID, b, ok = cutShort(b); !ok {
		return c, false
	}
	if c.Cluster, b, ok = cutShort(b); !ok || len(b) == 0 {
		return c, false
	}
	n := int(b[0])
	b = b[1:]
	for range n {
		var a string
		if a, b, ok = cutShort(b); !ok {
			return c, false
		}
		c.Addresses = append(c.Addresses, a)
	}
	return c, len(b) == 0
}

// appendShort writes a string of at most 255 bytes after its length.
func appendShort(b []byte, s string) []byte {
	s = s[:min(len(s), maxAddress)]
	return append(append(b, byte(len(s))), s...)
}

func cutShort(b []byte) (s string, rest []byte, ok bool) {
	if len(b) == 0 || len(b) < 1+int(b[0]) {
		return "", nil, false
	}
	n := 1 + int(b[0])
	return string(b[1:n]), b[n:], true
}
