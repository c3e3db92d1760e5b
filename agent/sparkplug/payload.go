package sparkplug

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Bounds of a payload that somebody else has made.
const (
	payloadMost = 64 << 10 // bytes
	metricsMost = 1000
)

// ErrPayload is what Decode finds wrong.
var ErrPayload = errors.New("no Sparkplug payload")

// A Payload is what every message of Sparkplug B carries.
type Payload struct {
	Timestamp uint64  // when it was sent, Unix ms
	Seq       *uint64 // 0 to 255; nil in a death and in commands
	Metrics   []Metric
}

// A Metric is one named value. In a birth it has a name and, where it is told of
// again, an alias; in data the alias alone.
type Metric struct {
	Name      string
	Alias     *uint64
	Timestamp uint64 // when it was measured, Unix ms
	Type      Type
	Unit      string // told as the property engUnit; empty for none
	Value     any    // int64, float64, bool or string, as Type says; nil: null
}

// A Type is a data type of the specification (chapter 6), as far as it is used here.
type Type uint32

// The data types.
const (
	Int64   Type = 4
	Double  Type = 10
	Boolean Type = 11
	String  Type = 12
)

// Numbers of the fields in sparkplug_b.proto (specification, chapter 6).
const (
	payloadTimestamp = 1
	payloadMetrics   = 2
	payloadSeq       = 3

	metricName       = 1
	metricAlias      = 2
	metricTimestamp  = 3
	metricType       = 4
	metricNull       = 7
	metricProperties = 9
	metricLong       = 11
	metricDouble     = 13
	metricBoolean    = 14
	metricString     = 15

	propertyKeys   = 1
	propertyValues = 2
	propertyType   = 1
	propertyString = 8
)

// Encode writes a payload as protobuf.
func (p Payload) Encode() []byte {
	b := number(nil, payloadTimestamp, p.Timestamp)
	for _, m := range p.Metrics {
		b = field(b, payloadMetrics, m.encode())
	}
	if p.Seq != nil {
		b = number(b, payloadSeq, *p.Seq)
	}
	return b
}

func (m Metric) encode() (b []byte) {
	if m.Name != "" {
		b = field(b, metricName, []byte(m.Name))
	}
	if m.Alias != nil {
		b = number(b, metricAlias, *m.Alias)
	}
	b = number(b, metricTimestamp, m.Timestamp)
	b = number(b, metricType, uint64(m.Type))
	if m.Unit != "" {
		unit := field(number(nil, propertyType, uint64(String)), propertyString, []byte(m.Unit))
		b = field(b, metricProperties, field(field(nil, propertyKeys, []byte("engUnit")), propertyValues, unit))
	}
	switch v := m.Value.(type) {
	case int64:
		b = number(b, metricLong, uint64(v))
	case float64:
		b = protowire.AppendFixed64(protowire.AppendTag(b, metricDouble, protowire.Fixed64Type), math.Float64bits(v))
	case bool:
		b = number(b, metricBoolean, protowire.EncodeBool(v))
	case string:
		b = field(b, metricString, []byte(v))
	default:
		b = number(b, metricNull, 1)
	}
	return b
}

func number(b []byte, n protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
}

func field(b []byte, n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
}

// Decode reads a payload: of metrics what Metric has, save the unit. What else a
// payload may hold is passed over. It refuses what is larger than any command.
func Decode(b []byte) (p Payload, err error) {
	if len(b) > payloadMost {
		return Payload{}, fmt.Errorf("%w: %d bytes, more than %d", ErrPayload, len(b), payloadMost)
	}
	err = fields(b, func(n protowire.Number, v value) error {
		switch {
		case n == payloadTimestamp && v.kind == protowire.VarintType:
			p.Timestamp = v.number
		case n == payloadSeq && v.kind == protowire.VarintType:
			p.Seq = new(v.number)
		case n == payloadMetrics && v.kind == protowire.BytesType:
			if len(p.Metrics) == metricsMost {
				return fmt.Errorf("%w: more than %d metrics", ErrPayload, metricsMost)
			}
			m, err := decodeMetric(v.bytes)
			p.Metrics = append(p.Metrics, m)
			return err
		}
		return nil
	})
	if err != nil {
		return Payload{}, err
	}
	return p, nil
}

func decodeMetric(b []byte) (m Metric, err error) {
	err = fields(b, func(n protowire.Number, v value) error {
		switch v.kind {
		case protowire.VarintType:
			m.number(n, v.number)
		case protowire.Fixed64Type:
			if n == metricDouble {
				m.Value = math.Float64frombits(v.number)
			}
		case protowire.BytesType:
			if n != metricName && n != metricString {
				return nil
			}
			if !utf8.Valid(v.bytes) {
				return fmt.Errorf("%w: a text that is not UTF-8", ErrPayload)
			}
			if n == metricName {
				m.Name = string(v.bytes)
			} else {
				m.Value = string(v.bytes)
			}
		}
		return nil
	})
	return m, err
}

// number takes a field of a metric that is a number.
func (m *Metric) number(n protowire.Number, v uint64) {
	switch n {
	case metricAlias:
		m.Alias = new(v)
	case metricTimestamp:
		m.Timestamp = v
	case metricType:
		m.Type = Type(v)
	case metricLong:
		m.Value = int64(v)
	case metricBoolean:
		m.Value = protowire.DecodeBool(v)
	}
}

// A value is one field of a message, by its kind.
type value struct {
	kind   protowire.Type
	number uint64 // of a varint and of eight bytes
	bytes  []byte
}

// fields calls take with each field of a message.
func fields(b []byte, take func(protowire.Number, value) error) error {
	for len(b) > 0 {
		n, kind, used := protowire.ConsumeTag(b)
		if used < 0 {
			return fmt.Errorf("%w: %w", ErrPayload, protowire.ParseError(used))
		}
		b = b[used:]
		v := value{kind: kind}
		switch kind {
		case protowire.VarintType:
			v.number, used = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			v.number, used = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			v.bytes, used = protowire.ConsumeBytes(b)
		default:
			used = protowire.ConsumeFieldValue(n, kind, b)
		}
		if used < 0 {
			return fmt.Errorf("%w: %w", ErrPayload, protowire.ParseError(used))
		}
		b = b[used:]
		if err := take(n, v); err != nil {
			return err
		}
	}
	return nil
}
