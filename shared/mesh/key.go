package mesh

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
)

// KeySize is the length of a WireGuard key in bytes: Curve25519.
const KeySize = 32

// A PublicKey names an end of a tunnel. As text it is base64, as WireGuard's own
// tools write it.
type PublicKey [KeySize]byte

// A PrivateKey is a secret, and never shown in a log.
type PrivateKey [KeySize]byte

// errKey is of a text that is no key. It does not repeat the text, which may be a
// private one.
var errKey = errors.New("not a WireGuard key; it is 44 characters of base64, as wg genkey and wg pubkey write it")

// GenerateKey makes a private key.
func GenerateKey() (PrivateKey, error) {
	var k PrivateKey
	if _, err := rand.Read(k[:]); err != nil {
		return k, fmt.Errorf("make a WireGuard key: %w", err)
	}
	// As wg genkey does (RFC 7748, section 5): the same key in every program.
	k[0] &= 248
	k[31] = k[31]&127 | 64
	return k, nil
}

// Public is the other half of k.
func (k PrivateKey) Public() PublicKey {
	private, err := ecdh.X25519().NewPrivateKey(k[:])
	if err != nil {
		panic(err) // of a length that the type makes impossible
	}
	return PublicKey(private.PublicKey().Bytes())
}

// Text is the key in base64, for a configuration file and for nothing else.
func (k PrivateKey) Text() string { return base64.StdEncoding.EncodeToString(k[:]) }

// MarshalText is Text, for the file that the key is kept in.
func (k PrivateKey) MarshalText() ([]byte, error) { return []byte(k.Text()), nil }

// UnmarshalText reads what Text wrote.
func (k *PrivateKey) UnmarshalText(text []byte) error { return decodeKey(k[:], text) }

// String names what it is, and never what it holds.
func (PrivateKey) String() string { return "a WireGuard private key" }

// GoString is String.
func (k PrivateKey) GoString() string { return k.String() }

// LogValue keeps the key out of logs.
func (k PrivateKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// IsZero reports whether k is no key at all.
func (k PublicKey) IsZero() bool { return k == PublicKey{} }

// String is the key in base64.
func (k PublicKey) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

// MarshalText is String.
func (k PublicKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what String wrote, and accepts no other spelling of it.
func (k *PublicKey) UnmarshalText(text []byte) error { return decodeKey(k[:], text) }

// ParsePublicKey reads what PublicKey.String wrote.
func ParsePublicKey(text string) (k PublicKey, err error) {
	err = k.UnmarshalText([]byte(text))
	return k, err
}

func decodeKey(into, text []byte) error {
	b, err := base64.StdEncoding.Strict().DecodeString(string(text))
	if err != nil || len(b) != KeySize || len(text) != base64.StdEncoding.EncodedLen(KeySize) {
		return errKey
	}
	copy(into, b)
	return nil
}
