// Package beacon tells the neighbours in a host's networks where its WireGuard
// listens, and hears where theirs do: by IPv4 multicast, with nobody in between. So
// nodes of one network find each other when their addresses have changed since the
// last map, and there is no Internet.
//
// What is heard is a hint and proves nothing: whoever answers there has to know the
// private key. A node is not named but by a hash of its public keys, which tells
// something only to those who have the map.
package beacon

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/netip"

	"primespark/shared/mesh"
)

// Port is that of beacons, UDP, and Group where they go: organization-local addresses
// are for whoever wants them (RFC 2365, section 6.2), and a hop limit of 1 keeps them
// in the network.
const Port = 7489

// Group is where beacons go.
var Group = netip.AddrFrom4([4]byte{239, 192, 74, 83})

// magic begins each beacon; its last byte is the version.
var magic = []byte("psm\x01")

// A Tag stands for a public key.
type Tag [8]byte

// TagOf is the tag of a key.
func TagOf(k mesh.PublicKey) (t Tag) {
	sum := sha256.Sum256(append([]byte("prime-spark mesh beacon\x00"), k[:]...))
	copy(t[:], sum[:])
	return t
}

// A Hello is what one beacon says.
type Hello struct {
	Port uint16 // UDP, where WireGuard listens
	Tags []Tag  // of the node's keys, 1 to mesh.MaxKeys
}

// Encode makes the packet.
func (h Hello) Encode() []byte {
	b := binary.BigEndian.AppendUint16(bytes.Clone(magic), h.Port)
	for _, t := range h.Tags[:min(len(h.Tags), mesh.MaxKeys)] {
		b = append(b, t[:]...)
	}
	return b
}

// Decode reads a packet that anybody may have sent.
func Decode(b []byte) (h Hello, err error) {
	rest, ours := bytes.CutPrefix(b, magic)
	if !ours || len(rest) < 2 {
		return h, errors.New("it is no beacon of the mesh, or of another version")
	}
	h.Port = binary.BigEndian.Uint16(rest)
	rest = rest[2:]
	if n := len(rest) / len(Tag{}); h.Port == 0 || n < 1 || n > mesh.MaxKeys || len(rest)%len(Tag{}) != 0 {
		return Hello{}, errors.New("a beacon of the mesh has no port, or a strange number of keys")
	}
	for len(rest) > 0 {
		h.Tags = append(h.Tags, Tag(rest[:len(Tag{})]))
		rest = rest[len(Tag{}):]
	}
	return h, nil
}
