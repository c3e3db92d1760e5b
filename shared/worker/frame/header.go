package frame

import (
	"encoding/binary"
	"fmt"
)

// Version is the version of what is said here.
const Version = 1

// Bounds of what either side accepts.
const (
	HeaderSize = 40
	MaxPayload = 64 << 10 // bytes; a LoadReply with MaxTensors tensors fits
	MaxModels  = 32       // in one worker
	MaxTensors = 64       // of one model, both sides together
	MaxDepth   = 32       // inferences of one model at a time
	MaxArena   = 1 << 30  // bytes
	MaxName    = 127      // bytes of the name of a model or tensor
	MaxDims    = 8        // dimensions of a tensor
)

// magic is "PSW1" in the order of the bytes.
const magic = 0x31575350

// A Type says what a message asks, or answers.
type Type uint16

// The types; see the package comment.
const (
	Hello Type = 1 + iota
	Device
	Load
	Map
	Infer
	Ping
	Sense
	Unload
	Bye
	Start
)

var typeNames = [...]string{"", "hello", "device", "load", "map", "infer", "ping", "sense", "unload", "bye", "start"}

func (t Type) String() string {
	if t >= Hello && t <= Start {
		return typeNames[t]
	}
	return fmt.Sprintf("type %d", uint16(t))
}

// flagReply marks a reply.
const flagReply = 1

// A Header stands before every message.
type Header struct {
	Type   Type
	Reply  bool
	Seq    uint32
	Status Status
	Model  uint32
	A, B   uint64
}

// appendTo appends the header of a message with a payload of length bytes.
func (h Header) appendTo(b []byte, length int) []byte {
	var flags uint16
	if h.Reply {
		flags = flagReply
	}
	b = binary.LittleEndian.AppendUint32(b, magic)
	b = binary.LittleEndian.AppendUint16(b, uint16(h.Type))
	b = binary.LittleEndian.AppendUint16(b, flags)
	b = binary.LittleEndian.AppendUint32(b, h.Seq)
	b = binary.LittleEndian.AppendUint32(b, uint32(h.Status))
	b = binary.LittleEndian.AppendUint32(b, uint32(length))
	b = binary.LittleEndian.AppendUint32(b, h.Model)
	b = binary.LittleEndian.AppendUint64(b, h.A)
	return binary.LittleEndian.AppendUint64(b, h.B)
}

// A Message is a header and its payload.
type Message struct {
	Header
	Payload []byte
}

// Encode returns m as one packet. It fails if the payload is too long.
func (m Message) Encode() ([]byte, error) { return m.appendTo(nil) }

func (m Message) appendTo(b []byte) ([]byte, error) {
	if len(m.Payload) > MaxPayload {
		return nil, fmt.Errorf("%v message with %d bytes of payload, at most %d", m.Type, len(m.Payload), MaxPayload)
	}
	return append(m.Header.appendTo(b, len(m.Payload)), m.Payload...), nil
}

// Decode takes one packet apart. The payload shares the packet's memory. What is
// not a message of this version is refused.
func Decode(packet []byte) (Message, error) {
	if len(packet) < HeaderSize {
		return Message{}, fmt.Errorf("packet of %d bytes, a header alone has %d", len(packet), HeaderSize)
	}
	le := binary.LittleEndian
	if got := le.Uint32(packet); got != magic {
		return Message{}, fmt.Errorf("packet begins with %08x, want %08x", got, magic)
	}
	m := Message{Payload: packet[HeaderSize:], Header: Header{
		Type:   Type(le.Uint16(packet[4:])),
		Reply:  le.Uint16(packet[6:])&flagReply != 0,
		Seq:    le.Uint32(packet[8:]),
		Status: Status(le.Uint32(packet[12:])),
		Model:  le.Uint32(packet[20:]),
		A:      le.Uint64(packet[24:]),
		B:      le.Uint64(packet[32:]),
	}}
	switch length := le.Uint32(packet[16:]); {
	case uint64(length) != uint64(len(m.Payload)):
		return Message{}, fmt.Errorf("%v message says %d bytes of payload and has %d", m.Type, length, len(m.Payload))
	case length > MaxPayload:
		return Message{}, fmt.Errorf("%v message with %d bytes of payload, at most %d", m.Type, length, MaxPayload)
	case le.Uint16(packet[6:])&^flagReply != 0:
		return Message{}, fmt.Errorf("%v message with unknown flags %#x", m.Type, le.Uint16(packet[6:]))
	}
	return m, nil
}
