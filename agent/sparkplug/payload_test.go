package sparkplug

import (
	"bytes"
	"context"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// schema is the payload as the specification's proto has it, compiled from its text.
func schema(t testing.TB) protoreflect.MessageDescriptor {
	t.Helper()
	text, err := os.ReadFile("testdata/sparkplug_b.proto")
	if err != nil {
		t.Fatal(err)
	}
	c := protocompile.Compiler{Resolver: &protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(map[string]string{"b.proto": string(text)})}}
	files, err := c.Compile(context.Background(), "b.proto")
	if err != nil {
		t.Fatal(err)
	}
	return files[0].Messages().ByName("Payload")
}

// parse reads a payload as any other host does: by the schema. What the schema does
// not know is a fault.
func parse(t testing.TB, schema protoreflect.MessageDescriptor, b []byte) *dynamicpb.Message {
	t.Helper()
	m := dynamicpb.NewMessage(schema)
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatal(err)
	}
	if len(m.GetUnknown()) > 0 {
		t.Errorf("fields that the schema does not have: %x", m.GetUnknown())
	}
	return m
}

var everything = Payload{
	Timestamp: 1_700_000_000_000, Seq: new(uint64(0)),
	Metrics: []Metric{
		{Name: "bdSeq", Timestamp: 1, Type: Int64, Value: int64(255)},
		{Name: "negative", Alias: new(uint64(1)), Timestamp: 2, Type: Int64, Value: int64(-1)},
		{Name: "temperature", Alias: new(uint64(2)), Timestamp: 3, Type: Double, Unit: "°C", Value: 51.25},
		{Alias: new(uint64(300)), Timestamp: 4, Type: Double, Value: math.SmallestNonzeroFloat64},
		{Name: "Node Control/Rebirth", Timestamp: 5, Type: Boolean, Value: false},
		{Name: "Node/mode", Timestamp: 6, Type: String, Value: ""},
		{Name: "gone", Alias: new(uint64(3)), Timestamp: 7, Type: Double},
	},
}

// TestEncodeAsTheSchemaHasIt holds the encoder against another implementation.
func TestEncodeAsTheSchemaHasIt(t *testing.T) {
	m := parse(t, schema(t), everything.Encode())
	want := dynamicpb.NewMessage(schema(t))
	err := protojson.Unmarshal([]byte(`{"timestamp": 1700000000000, "seq": 0, "metrics": [
		{"name": "bdSeq", "timestamp": 1, "datatype": 4, "longValue": 255},
		{"name": "negative", "alias": 1, "timestamp": 2, "datatype": 4, "longValue": "18446744073709551615"},
		{"name": "temperature", "alias": 2, "timestamp": 3, "datatype": 10, "doubleValue": 51.25,
			"properties": {"keys": ["engUnit"], "values": [{"type": 12, "stringValue": "°C"}]}},
		{"alias": 300, "timestamp": 4, "datatype": 10, "doubleValue": 5e-324},
		{"name": "Node Control/Rebirth", "timestamp": 5, "datatype": 11, "booleanValue": false},
		{"name": "Node/mode", "timestamp": 6, "datatype": 12, "stringValue": ""},
		{"name": "gone", "alias": 3, "timestamp": 7, "datatype": 10, "isNull": true}]}`), want)
	if err != nil {
		t.Fatal(err)
	}
	// Both are of the same text and of two compilations, so bytes are compared.
	in := proto.MarshalOptions{Deterministic: true}
	a, err := in.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	b, err := in.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Errorf("encoded\n%s\nwant\n%s", protojson.Format(m), protojson.Format(want))
	}
}

func TestDecode(t *testing.T) {
	got, err := Decode(everything.Encode())
	if err != nil {
		t.Fatal(err)
	}
	want := everything
	want.Metrics = append([]Metric(nil), want.Metrics...)
	want.Metrics[2].Unit = "" // which is passed over
	if !reflect.DeepEqual(got, want) {
		t.Errorf("decoded %+v, want %+v", got, want)
	}
}

func TestDecodeRefuses(t *testing.T) {
	metric := func(b []byte) []byte { return field(nil, payloadMetrics, b) }
	many := Payload{Metrics: make([]Metric, metricsMost+1)}.Encode()
	for name, b := range map[string][]byte{
		"cut off":       everything.Encode()[:40],
		"too large":     bytes.Repeat([]byte{0}, payloadMost+1),
		"many metrics":  many,
		"no UTF-8":      metric(field(nil, metricName, []byte{0xff})),
		"no tag":        {0},
		"an open group": protowire.AppendTag(nil, 9, protowire.StartGroupType),
	} {
		if p, err := Decode(b); err == nil {
			t.Errorf("%s: taken as %+v", name, p)
		} else if !strings.Contains(err.Error(), "no Sparkplug payload") || len(p.Metrics) > 0 {
			t.Errorf("%s: %v, %+v", name, err, p)
		}
	}
}

// FuzzDecode: whatever comes is decoded within bounds or refused, and what is
// decoded is what the schema says of the same bytes.
func FuzzDecode(f *testing.F) {
	f.Add(everything.Encode())
	f.Add(Payload{}.Encode())
	f.Add([]byte{0x12, 0x02, 0x70, 0x01})
	payload := schema(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(p.Encode())
		if err != nil || len(again.Metrics) != len(p.Metrics) {
			t.Fatalf("%x: encoded anew it is refused, or has %d metrics and not %d: %v", b, len(again.Metrics), len(p.Metrics), err)
		}
		m := dynamicpb.NewMessage(payload)
		if proto.Unmarshal(b, m) != nil {
			return // it looks into what is passed over here
		}
		get := func(m protoreflect.Message, name protoreflect.Name) protoreflect.Value {
			return m.Get(m.Descriptor().Fields().ByName(name))
		}
		metrics := get(m, "metrics").List()
		if p.Timestamp != get(m, "timestamp").Uint() || len(p.Metrics) != metrics.Len() {
			t.Fatalf("%x: %+v, and the schema reads %s", b, p, protojson.Format(m))
		}
		for i, one := range p.Metrics {
			if other := metrics.Get(i).Message(); one.Name != get(other, "name").String() || one.Timestamp != get(other, "timestamp").Uint() {
				t.Fatalf("%x: metric %d is %+v, and the schema reads %s", b, i, one, protojson.Format(m))
			}
		}
	})
}
