package gossiptest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"

	"github.com/hashicorp/memberlist"

	"primespark/shared/fleet"
	"primespark/shared/pipenet"
)

// A Forger has the gossip key and says with it what it likes, in anybody's name,
// by packets of memberlist's protocol that no honest node sends.
type Forger struct {
	Net   *Net
	Host  *pipenet.Host
	Key   []byte
	Label string // the cluster's name
}

// memberlist's types of messages (net.go, messageType).
const (
	typeSuspect = 3
	typeAlive   = 4
	typeDead    = 5
	typeUser    = 8
)

// Dead says that a node died; from the node itself, that it left.
func (f Forger) Dead(to, node, from string, incarnation uint32) error {
	return f.send(to, append([]byte{typeDead}, fields(
		"Incarnation", incarnation, "Node", node, "From", from)...))
}

// Suspect says that a node does not answer.
func (f Forger) Suspect(to, node, from string, incarnation uint32) error {
	return f.send(to, append([]byte{typeSuspect}, fields(
		"Incarnation", incarnation, "Node", node, "From", from)...))
}

// Alive says that a node is there, at an address and with what it says of itself.
func (f Forger) Alive(to string, m fleet.Member, ip net.IP, port uint16, incarnation uint32) error {
	meta, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return f.send(to, append([]byte{typeAlive}, fields(
		"Incarnation", incarnation, "Node", m.Name, "Addr", string(ip.To4()), "Port", uint32(port), "Meta", string(meta), "Vsn", "\x01\x05\x02\x00\x00\x00")...))
}

// Say sends a record as package gossip passes it on: a version byte and JSON.
func (f Forger) Say(to string, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return f.send(to, append([]byte{typeUser, 1}, b...))
}

// send encrypts a message and puts it on the network.
func (f Forger) send(to string, message []byte) error {
	block, err := aes.NewCipher(f.Key)
	if err != nil {
		return err
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		return err
	}
	packet := make([]byte, 13, 13+len(message)+16)
	packet[0] = 1 // version of the encryption: AES-GCM without padding
	rand.Read(packet[1:])
	packet = seal.Seal(packet, packet[1:13], message, []byte(f.Label))
	if packet, err = memberlist.AddLabelHeaderToPacket(packet, f.Label); err != nil {
		return err
	}
	if !f.Net.Send(f.Host, to, packet) {
		return fmt.Errorf("packet to %s was lost", to)
	}
	return nil
}

// fields encodes names and values, which are strings and numbers of 32 bits, as a
// map of MessagePack.
func fields(pairs ...any) []byte {
	out := []byte{0x80 | byte(len(pairs)/2)}
	for _, p := range pairs {
		switch v := p.(type) {
		case string:
			out = binary.BigEndian.AppendUint16(append(out, 0xda), uint16(len(v)))
			out = append(out, v...)
		case uint32:
			out = binary.BigEndian.AppendUint32(append(out, 0xce), v)
		default:
			panic(fmt.Sprintf("gossiptest: a %T cannot be encoded", p))
		}
	}
	return out
}
